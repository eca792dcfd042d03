//! What strangers send to an open port.

use std::{
    future::poll_fn,
    net::{SocketAddr, UdpSocket},
    pin::Pin,
};

use futures::future::join;
use libp2p::{Transport, multiaddr::Protocol};
use str0m::ice::{StunMessage, TransId};
use webrtc::native::direct::MAX_HALF_OPEN_PER_IP;

use super::side::{Server, dial, in_time, node};

fn port(server: &Server) -> SocketAddr {
    let port = server.address.iter().find_map(|part| match part {
        Protocol::Udp(port) => Some(port),
        _ => None,
    });
    SocketAddr::from(([127, 0, 0, 1], port.unwrap()))
}

/// A connectivity check with this name in it, signed with something.
fn check(username: &str) -> Vec<u8> {
    let message = StunMessage::binding_request(username, TransId::new(), true, 1, 1, true);
    let mut packet = vec![0; 512];
    let len = message
        .to_bytes(Some(b"something"), &mut packet, |_, _| [0; 20])
        .unwrap();
    packet.truncate(len);
    packet
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_does_not_keep_others_out() {
    let mut server = Server::start(&[]).await;
    let to = port(&server);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut random = 1_u64;
    for round in 0..2000_u32 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let len = (random >> 33) as usize % 1200;
        let mut packet: Vec<u8> = (0..len).map(|at| (random >> (at % 50)) as u8).collect();
        if round % 3 == 0 {
            packet = check("libp2p+webrtc+v9/whatever:abcd");
        }
        stranger.send_to(&packet, to).unwrap();
    }
    let (mut client, peer) = node(&[]);
    let address = server.address.clone();
    let (dialled, (found, _)) = join(dial(&mut client, address), server.accept()).await;
    assert_eq!((dialled.unwrap().0, found), (server.peer, peer));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_can_have_only_so_many_connections_in_their_handshake() {
    let mut server = Server::start(&[]).await;
    let to = port(&server);
    let greeting = check("libp2p+webrtc+v1/abcdefghijkl:libp2p+webrtc+v1/abcdefghijkl");
    // Each from a port of its own, and at last one from another address.
    let strangers: Vec<_> = (0..100)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .chain([UdpSocket::bind("127.0.0.2:0").unwrap()])
        .collect();
    for stranger in &strangers {
        stranger.send_to(&greeting, to).unwrap();
    }
    let mut let_in = Vec::new();
    loop {
        let event = in_time(poll_fn(|cx| {
            Transport::poll(Pin::new(&mut server.transport), cx)
        }))
        .await;
        let (upgrade, from) = event.into_incoming().unwrap();
        if from.to_string().starts_with("/ip4/127.0.0.2/") {
            break;
        }
        let_in.push(upgrade);
    }
    assert_eq!(let_in.len(), MAX_HALF_OPEN_PER_IP);
}

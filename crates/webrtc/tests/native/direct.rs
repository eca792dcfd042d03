//! WebRTC-direct: who is let in.

use futures::future::{Either, join, select};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, multihash::Multihash};
use std::pin::pin;
use webrtc::Error;

use super::side::{Server, dial, in_time, node};

#[tokio::test(flavor = "multi_thread")]
async fn one_port_serves_many() {
    let mut server = Server::start(&[]).await;
    let address = server.address.clone();
    let dialling = futures::future::join_all((0..8).map(|_| {
        let address = address.clone();
        async move {
            let (mut client, peer) = node(&[]);
            (peer, dial(&mut client, address).await.unwrap())
        }
    }));
    let accepting = async {
        let mut accepted = Vec::new();
        for _ in 0..8 {
            let transport = &mut server.transport;
            let event = std::future::poll_fn(|cx| {
                libp2p::Transport::poll(std::pin::Pin::new(&mut *transport), cx)
            })
            .await;
            let (upgrade, _) = event.into_incoming().unwrap();
            accepted.push(tokio::spawn(upgrade));
        }
        let mut peers = Vec::new();
        for connection in accepted {
            let (peer, connection) = connection.await.unwrap().unwrap();
            peers.push((peer, connection));
        }
        peers
    };
    let (dialled, accepted) = in_time(join(dialling, accepting)).await;
    let mut ours: Vec<PeerId> = dialled.iter().map(|(peer, _)| *peer).collect();
    let mut seen: Vec<PeerId> = accepted.iter().map(|(peer, _)| *peer).collect();
    ours.sort();
    seen.sort();
    assert_eq!(ours, seen);
}

/// What a dial says while the server accepts whatever it can.
async fn refused(server: &mut Server, address: Multiaddr, secret: &[u8]) -> Error {
    let (mut client, _) = node(secret);
    let mut accepting = pin!(async {
        loop {
            if let Ok((_, connection)) = server.attempt().await {
                // Kept until the client has made up its mind.
                std::mem::forget(connection);
            }
        }
    });
    let dialling = pin!(dial(&mut client, address));
    match in_time(select(dialling, &mut accepting)).await {
        Either::Left((result, _)) => match result {
            Err(error) => error,
            Ok((peer, _)) => panic!("connected with {peer}"),
        },
        Either::Right(_) => unreachable!("it accepts for ever"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_another_certificate_is_not_the_server() {
    let mut server = Server::start(&[]).await;
    let other = Multihash::wrap(0x12, &[7; 32]).unwrap();
    let address: Multiaddr = server
        .address
        .iter()
        .map(|part| match part {
            Protocol::Certhash(_) => Protocol::Certhash(other),
            part => part,
        })
        .collect();
    let error = refused(&mut server, address, &[]).await;
    assert!(!matches!(error, Error::Handshake(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_know_the_secret_get_in() {
    let mut server = Server::start(b"secret").await;
    let address = server.address.clone();
    for wrong in [&b""[..], b"guess"] {
        let error = refused(&mut server, address.clone(), wrong).await;
        assert!(
            matches!(error, Error::Handshake(_) | Error::Closed),
            "{error}"
        );
    }
    let (mut client, peer) = node(b"secret");
    let (dialled, (found, _)) = join(dial(&mut client, address), server.accept()).await;
    assert_eq!((dialled.unwrap().0, found), (server.peer, peer));
}

//! Addresses that a node is seen by, and whether others reach it there.

use std::{net::Ipv4Addr, time::Duration};

use futures::StreamExt;
use libp2p::{SwarmBuilder, identify, multiaddr::Protocol, noise, swarm::SwarmEvent, tcp, yamux};
use network::{Config, ConnectionLimits, Event, Handle, Multiaddr, Outcomes, Reserve};
use tokio::net::{TcpListener, TcpStream};

use crate::node::{Node, PATIENCE, TCP, config};

/// A node that listens at an address of this machine by which nobody sees it, as behind a router; and at which port.
async fn behind_a_router() -> (Node, u16) {
    let mut node = Node::start(Config {
        listen: vec!["/ip4/127.0.0.2/tcp/0".parse().unwrap()],
        reserve: Reserve::Never,
        ..config()
    });
    let address = node.address().await;
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    (node, port.unwrap())
}

/// By which address that node is seen.
fn seen(port: u16) -> Multiaddr {
    Multiaddr::from(Ipv4Addr::LOCALHOST).with(Protocol::Tcp(port))
}

/// Lets others in where they see the node.
async fn let_in(router: TcpListener, port: u16) {
    while let Ok((mut outside, _)) = router.accept().await {
        tokio::spawn(async move {
            let mut inside = TcpStream::connect(("127.0.0.2", port)).await.unwrap();
            // Ends when they part.
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}

/// Where a node tells a stranger that it is to be found.
async fn told(address: Multiaddr) -> Vec<Multiaddr> {
    let mut stranger = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|key| {
            identify::Behaviour::new(identify::Config::new("/test".to_owned(), key.public()))
        })
        .unwrap()
        .build();
    stranger.dial(address).unwrap();
    let all = async {
        loop {
            let event = stranger.select_next_some().await;
            if let SwarmEvent::Behaviour(identify::Event::Received { info, .. }) = event {
                return info.listen_addrs;
            }
        }
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .expect("it says who it is")
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let all = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect(what);
}

async fn probed(handle: &Handle) -> Outcomes {
    let none = Outcomes::default();
    until("an address is tried", || handle.probes() != none).await;
    handle.probes()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_others_reach_a_node_is_told() {
    let (relay, to_relay) = Node::bootstrap().await;
    let _relay = relay.in_background();
    // The port may be another one's at the other address.
    let (mut node, port, router) = loop {
        let (node, port) = behind_a_router().await;
        if let Ok(router) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            break (node, port, router);
        }
    };
    tokio::spawn(let_in(router, port));
    let own = node.handle.listening().remove(0);
    assert!(!told(own.clone()).await.contains(&seen(port)));
    node.handle.dial(to_relay);
    let reached = seen(port).with(Protocol::P2p(node.peer()));
    assert_eq!(node.address().await, reached);
    let handle = node.in_background();
    assert_eq!(handle.listening(), [own, reached.clone()]);
    let expected = Outcomes {
        succeeded: 1,
        failed: 0,
    };
    assert_eq!(probed(&handle).await, expected);
    // Whoever is told finds it there.
    assert!(told(reached).await.contains(&seen(port)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_reaches_a_node_is_not_told() {
    let (relay, to_relay) = Node::bootstrap().await;
    let _relay = relay.in_background();
    let (node, port) = behind_a_router().await;
    let own = node.handle.listening();
    let handle = node.in_background();
    handle.dial(to_relay);
    let expected = Outcomes {
        succeeded: 0,
        failed: 1,
    };
    assert_eq!(probed(&handle).await, expected);
    assert_eq!(handle.listening(), own);
    let told = told(own[0].clone()).await;
    assert!(!told.contains(&seen(port)), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_meet_through_a_relay_dial_each_other_at_the_same_time() {
    let (relay, to_relay) = Node::bootstrap().await;
    let _relay = relay.in_background();
    let start = || {
        Node::start(Config {
            listen: vec![TCP.parse().unwrap()],
            // Somewhere else: where they listen is then for others to find out.
            external: vec!["/ip4/192.0.2.1/tcp/1".parse().unwrap()],
            bootstrap: vec![to_relay.clone()],
            reserve: Reserve::Always,
            kad_server: false,
            direct: true,
            // They have other ways, too, and are to take all of them here.
            limits: ConnectionLimits {
                per_peer: 16,
                ..ConnectionLimits::default()
            },
            ..config()
        })
    };
    let relayed = async |node: &mut Node| {
        node.wait(|event| match event {
            Event::Listening { address } if address.to_string().contains("p2p-circuit") => {
                Some(address)
            }
            _ => None,
        })
        .await
    };
    let (mut one, mut other) = (start(), start());
    let to_one = relayed(&mut one).await;
    relayed(&mut other).await;
    let one_id = one.peer();
    let (one, other) = (one.in_background(), other.in_background());
    other.dial(to_one);
    until("one of them gets through", || {
        one.hole_punches().succeeded + other.hole_punches().succeeded > 0
    })
    .await;
    until(
        "the relay is left",
        || matches!(&other.paths(one_id)[..], [path] if !path.relayed),
    )
    .await;
}

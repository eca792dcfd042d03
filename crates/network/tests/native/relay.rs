use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{AsyncReadExt, FutureExt, StreamExt, stream::FuturesUnordered};
use libp2p::{
    StreamProtocol, SwarmBuilder, noise, relay,
    swarm::{NetworkBehaviour, SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use network::{
    Config, Event, Grant, Granter, Identity, Multiaddr, Path, PeerId, RelayLimits, Reserve,
};

use crate::node::{Node, PATIENCE, WEBSOCKET, config, request};

/// A node that listens nowhere, and its address through the relay.
async fn hidden(bootstrap: &Multiaddr) -> (Node, Multiaddr) {
    let mut node = Node::start(Config {
        bootstrap: vec![bootstrap.clone()],
        reserve: Reserve::Always,
        kad_server: false,
        ..config()
    });
    let address = node.address().await;
    (node, address)
}

async fn connected(node: &mut Node, other: PeerId) -> Path {
    node.wait(|event| match event {
        Event::Connected { peer, path } if peer == other => Some(path),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_without_a_way_to_each_other_talk_through_the_relay() {
    let (bootstrap, address) = Node::bootstrap().await;
    let bootstrap = bootstrap.in_background();
    let ((mut one, to_one), (mut other, _)) = (hidden(&address).await, hidden(&address).await);
    assert_eq!(bootstrap.circuits().opened, 0);
    assert!(to_one.to_string().contains("/p2p-circuit/"));
    let (one_id, other_id) = (one.peer(), other.peer());
    other.handle.dial(to_one);
    let to_other = connected(&mut one, other_id).await;
    assert!(
        to_other.relayed && to_other.address.to_string().contains("/p2p-circuit/"),
        "{to_other:?}"
    );
    assert!(connected(&mut other, one_id).await.relayed);
    one.hello_from(other_id).await;
    // More than the 128 KiB that relays allow by default.
    for id in 0..32 {
        other
            .handle
            .send_when_possible(one_id, request(id, 1 << 20))
            .await
            .unwrap();
    }
    for id in 0..32 {
        assert_eq!(one.message_from(other_id).await, request(id, 1 << 20));
    }
    let circuits = bootstrap.circuits();
    assert_eq!((circuits.open, circuits.opened), (1, 1));
    other.handle.shutdown();
    one.gone(other_id).await;
    let closed = async {
        while bootstrap.circuits().open > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let closed = tokio::time::timeout(crate::node::PATIENCE, closed);
    closed.await.expect("none is open any more");
    assert_eq!(bootstrap.circuits().opened, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_dialled_through_a_relay_that_is_being_dialled_itself() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let (mut one, to_one) = hidden(&address).await;
    let one_id = one.peer();
    let mut other = Node::start(Config {
        bootstrap: vec![address],
        kad_server: false,
        ..config()
    });
    other.handle.dial(to_one);
    let path = other.wait(|event| match event {
        Event::Connected { peer, path } if peer == one_id => Some(path),
        Event::DialFailed { reason, .. } => panic!("{reason}"),
        _ => None,
    });
    assert!(path.await.relayed);
    one.hello_from(other.peer()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_peers_of_a_model_are_found_and_dialled_through_the_relay() {
    const MODEL: [u8; 32] = [9; 32];
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let ((one, _), (mut other, _)) = (hidden(&address).await, hidden(&address).await);
    let one_id = one.peer();
    let one = one.in_background();
    one.provide(MODEL);
    let handle = other.handle.clone();
    let searching = tokio::spawn(async move {
        loop {
            handle.find_providers(MODEL);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    other.hello_from(one_id).await;
    searching.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_connections_dialled_at_once_one_is_kept_and_nothing_is_lost() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let ((mut one, to_one), (mut other, to_other)) =
        (hidden(&address).await, hidden(&address).await);
    let (one_id, other_id) = (one.peer(), other.peer());
    one.handle.dial(to_other);
    other.handle.dial(to_one);
    one.hello_from(other_id).await;
    let sender = other.handle.clone();
    other.hello_from(one_id).await;
    let other = other.in_background();
    // Long enough for the second connection to be given up in between.
    let sending = tokio::spawn(async move {
        for id in 0..60 {
            sender.send(one_id, request(id, 1 << 10)).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let mut next = 0;
    while next < 60 {
        let message = one.message_from(other_id).await;
        if !matches!(message, protocol::Message::Hello(_)) {
            assert_eq!(message, request(next, 1 << 10));
            next += 1;
        }
    }
    sending.await.unwrap();
    one.settled(other_id).await;
    assert_eq!(other.paths(one_id).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_met_through_the_relay_is_then_reached_directly_and_nothing_is_lost() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let (mut one, _) = hidden(&address).await;
    // This one listens too, but the other one is told its address at the relay only. Neither keeps a part of the DHT,
    // or they would meet there.
    let mut other = Node::start(Config {
        listen: vec![crate::node::TCP.parse().unwrap()],
        bootstrap: vec![address],
        reserve: Reserve::Always,
        kad_server: false,
        ..config()
    });
    let relayed = other.wait(|event| match event {
        Event::Listening { address } if address.to_string().contains("p2p-circuit") => {
            Some(address)
        }
        _ => None,
    });
    one.handle.dial(relayed.await);
    let (one_id, other_id) = (one.peer(), other.peer());
    assert!(connected(&mut one, other_id).await.relayed);
    let sender = one.handle.clone();
    tokio::spawn(async move {
        for id in 0..200 {
            sender
                .send_when_possible(other_id, request(id, 20_000))
                .await
                .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let mut next = 0;
    while next < 200 {
        let message = other.message_from(one_id).await;
        if !matches!(message, protocol::Message::Hello(_)) {
            assert_eq!(message, request(next, 20_000));
            next += 1;
        }
    }
    let _other = other.in_background();
    while one.settled(other_id).await.relayed {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_node_that_returns_relays_again() {
    let identity = network::Identity::generate();
    let start = |listen: Multiaddr| {
        Node::start(Config {
            identity: identity.clone(),
            listen: vec![listen],
            relay_server: Some(RelayLimits::default()),
            ..config()
        })
    };
    let mut first = start(crate::node::WEBSOCKET.parse().unwrap());
    let address = first.address().await;
    let bootstrap_id = first.peer();
    let first = first.in_background();
    let (mut node, relayed) = hidden(&address).await;
    first.shutdown();
    node.gone(bootstrap_id).await;
    while !node.handle.listening().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let without_peer = address
        .iter()
        .filter(|part| !matches!(part, libp2p::multiaddr::Protocol::P2p(_)))
        .collect();
    let _second = start(without_peer).in_background();
    assert_eq!(node.address().await, relayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_listen_nowhere_end_with_a_connection_of_their_own() {
    let (bootstrap, address) = Node::bootstrap().await;
    let _bootstrap = bootstrap.in_background();
    let start = || {
        Node::start(Config {
            bootstrap: vec![address.clone()],
            reserve: Reserve::Always,
            kad_server: false,
            direct: true,
            webrtc_ip: Some(std::net::Ipv4Addr::LOCALHOST.into()),
            ..config()
        })
    };
    let (mut one, mut other) = (start(), start());
    let to_one = one.address().await;
    // Who is not at the relay yet does not get through it.
    other.address().await;
    let (one_id, other_id) = (one.peer(), other.peer());
    other.handle.dial(to_one);
    let sender = other.handle.clone();
    other.hello_from(one_id).await;
    let _other = other.in_background();
    // Long enough for the connection to be replaced in between.
    let sending = tokio::spawn(async move {
        for id in 0..60 {
            let sent = sender.send_when_possible(one_id, request(id, 64 << 10));
            sent.await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let mut next = 0;
    while next < 60 {
        let message = one.message_from(other_id).await;
        if !matches!(message, protocol::Message::Hello(_)) {
            assert_eq!(message, request(next, 64 << 10));
            next += 1;
        }
    }
    sending.await.unwrap();
    let path = one.settled(other_id).await;
    assert!(!path.relayed, "{path:?}");
    assert!(path.address.to_string().contains("/webrtc"), "{path:?}");
}

/// A TURN server that nobody ever asks for anything; each of its credentials is one more question.
fn granter() -> (Granter, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let granter = Granter::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Grant {
            url: "turn:127.0.0.1:9?transport=udp".into(),
            username: "u".into(),
            password: "p".into(),
            seconds: 3600,
        }
    });
    (granter, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_asked_once_for_the_use_of_its_turn_server_and_again_when_it_was_started_anew()
{
    let identity = Identity::generate();
    let entry = |listen: Multiaddr, granter| {
        Node::start(Config {
            listen: vec![listen],
            turn: Some(granter),
            direct: true,
            ..Config::new(identity.clone())
        })
    };
    let until = async |asked: &AtomicUsize, times| {
        let all = async {
            while asked.load(Ordering::Relaxed) < times {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, all).await;
        waited.expect("nobody asks");
    };
    let (first, asked) = granter();
    let mut node = entry(WEBSOCKET.parse().unwrap(), first);
    let address = node.address().await;
    let _client = Node::start(Config {
        bootstrap: vec![address.clone()],
        direct: true,
        ..config()
    })
    .in_background();
    until(&asked, 1).await;
    // Gone, and back at the same place without any memory of what it has granted.
    let handle = node.in_background();
    handle.shutdown();
    drop(handle);
    let (second, again) = granter();
    let mut address = address;
    address.pop();
    let restarted = loop {
        let mut node = entry(address.clone(), second.clone());
        let listens = node
            .wait(|event| match event {
                Event::Listening { .. } => Some(true),
                Event::ListenFailed { .. } => Some(false),
                _ => None,
            })
            .await;
        if listens {
            break node;
        }
    };
    let _restarted = restarted.in_background();
    until(&again, 1).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    assert_eq!(again.load(Ordering::Relaxed), 1);
}

/// A relay that does so much for others, and its address.
async fn relay(limits: RelayLimits) -> Multiaddr {
    let mut node = Node::start(Config {
        listen: vec![WEBSOCKET.parse().unwrap()],
        relay_server: Some(limits),
        ..config()
    });
    let address = node.address().await;
    node.in_background();
    address
}

/// A node that is connected with the relay and can be reached nowhere.
async fn asker(relay: &Multiaddr) -> Node {
    let mut node = Node::start(Config {
        bootstrap: vec![relay.clone()],
        reserve: Reserve::Never,
        kad_server: false,
        ..config()
    });
    node.wait(|event| matches!(event, Event::Connected { .. }).then_some(()))
        .await;
    node
}

/// Whether the relay connects with the one who has this address; why not.
async fn reaches(node: &mut Node, address: &Multiaddr) -> Result<(), String> {
    let wanted = match address.iter().last() {
        Some(libp2p::multiaddr::Protocol::P2p(peer)) => peer,
        other => panic!("{other:?}"),
    };
    node.handle.dial(address.clone());
    node.wait(|event| match event {
        Event::Connected { peer, path } if peer == wanted => {
            assert!(path.relayed, "{path:?}");
            Some(Ok(()))
        }
        Event::DialFailed { reason, .. } => Some(Err(reason)),
        _ => None,
    })
    .await
}

const OVER_THE_LIMIT: &str = "resource limit exceeded";

#[tokio::test(flavor = "multi_thread")]
async fn who_has_as_many_connections_through_the_relay_as_it_may_gets_no_more_and_others_do() {
    let relay = relay(RelayLimits {
        circuits_per_peer: 2,
        ..RelayLimits::default()
    })
    .await;
    let mut hidden = [
        hidden(&relay).await,
        hidden(&relay).await,
        hidden(&relay).await,
    ];
    let peers: Vec<_> = hidden.iter().map(|(node, _)| node.peer()).collect();
    let addresses: Vec<_> = hidden.iter().map(|(_, address)| address.clone()).collect();
    let (mut greedy, mut other) = (asker(&relay).await, asker(&relay).await);
    assert_eq!(reaches(&mut greedy, &addresses[0]).await, Ok(()));
    assert_eq!(reaches(&mut greedy, &addresses[1]).await, Ok(()));
    let refused = reaches(&mut greedy, &addresses[2]).await.unwrap_err();
    assert!(refused.contains(OVER_THE_LIMIT), "{refused}");
    // Those it has stay, and others get theirs, even to those that the greedy one is connected with.
    for to in [0, 2] {
        assert_eq!(reaches(&mut other, &addresses[to]).await, Ok(()));
        hidden[to].0.hello_from(other.peer()).await;
    }
    greedy.handle.send(peers[0], request(1, 10)).unwrap();
    let node = &mut hidden[0].0;
    while node.message_from(greedy.peer()).await != request(1, 10) {}
    // Who gives one up may have another one, once the relay knows.
    greedy.handle.disconnect(peers[1]);
    hidden[1].0.gone(greedy.peer()).await;
    while let Err(reason) = reaches(&mut greedy, &addresses[2]).await {
        assert!(reason.contains(OVER_THE_LIMIT), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_through_the_relay_that_carries_too_much_is_cut_and_no_other_one() {
    const MOST: usize = 256 << 10;
    let relay = relay(RelayLimits {
        circuit_bytes: MOST as u64,
        ..RelayLimits::default()
    })
    .await;
    let ((mut one, to_one), (mut two, to_two)) = (hidden(&relay).await, hidden(&relay).await);
    let (one_id, two_id) = (one.peer(), two.peer());
    let (mut greedy, mut other) = (asker(&relay).await, asker(&relay).await);
    assert_eq!(reaches(&mut greedy, &to_one).await, Ok(()));
    assert_eq!(reaches(&mut other, &to_two).await, Ok(()));
    one.hello_from(greedy.peer()).await;
    two.hello_from(other.peer()).await;
    // What is within the limit arrives.
    greedy.handle.send(one_id, request(1, MOST / 2)).unwrap();
    assert_eq!(one.message_from(greedy.peer()).await, request(1, MOST / 2));
    greedy.handle.send(one_id, request(2, MOST)).unwrap();
    one.wait(|event| match event {
        Event::Disconnected { peer } => (peer == greedy.peer()).then_some(()),
        Event::Message { message, .. } => panic!("{} got through", message.kind()),
        _ => None,
    })
    .await;
    greedy.gone(one_id).await;
    other.handle.send(two_id, request(3, 10)).unwrap();
    assert_eq!(two.message_from(other.peer()).await, request(3, 10));
    // It was the connection that carried too much: there may be another one.
    assert_eq!(reaches(&mut greedy, &to_one).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_the_relay_too_often_is_refused_and_others_are_not() {
    const MOST: u32 = 4;
    let relay = relay(RelayLimits {
        requests_per_peer: MOST,
        ..RelayLimits::default()
    })
    .await;
    let (hidden, to_hidden) = hidden(&relay).await;
    let _hidden = hidden.in_background();
    let (mut greedy, mut other) = (asker(&relay).await, asker(&relay).await);
    // Who is not there costs the relay as much as who is.
    let mut asked = 0;
    let refused = loop {
        let mut nobody = to_hidden.clone();
        nobody.pop();
        nobody.push(libp2p::multiaddr::Protocol::P2p(PeerId::random()));
        asked += 1;
        let reason = reaches(&mut greedy, &nobody).await.unwrap_err();
        if !reason.contains("no reservation") {
            break reason;
        }
    };
    assert!(refused.contains(OVER_THE_LIMIT), "{refused}");
    assert!(asked > MOST);
    assert_eq!(reaches(&mut other, &to_hidden).await, Ok(()));
}

#[derive(NetworkBehaviour)]
struct Stranger {
    relay: relay::client::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// Begins to arrange so many direct connections with a node and goes on with none of them. Gives how many of those are
/// given up by the node, as they are.
fn arrange_nothing(to: Multiaddr, times: usize) -> impl futures::Stream<Item = ()> {
    let mut stranger = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_, relay| Stranger {
            relay,
            streams: libp2p_stream::Behaviour::new(),
        })
        .unwrap()
        .build();
    let Some(libp2p::multiaddr::Protocol::P2p(node)) = to.iter().last() else {
        panic!("{to} names nobody");
    };
    let mut control = stranger.behaviour().streams.new_control();
    stranger
        .dial(DialOpts::peer_id(node).addresses(vec![to]).build())
        .unwrap();
    let (tell, connected) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut tell = Some(tell);
        loop {
            match stranger.select_next_some().await {
                SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == node => {
                    if let Some(tell) = tell.take() {
                        tell.send(()).unwrap();
                    }
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    });
    let open = async move {
        connected.await.unwrap();
        let mut streams = Vec::new();
        for _ in 0..times {
            let name = StreamProtocol::new("/webrtc-signaling/0.0.1");
            streams.push(control.open_stream(node, name).await.unwrap());
        }
        let ended = streams.into_iter().map(async |mut stream| {
            let _ = stream.read(&mut [0]).await;
        });
        ended.collect::<FuturesUnordered<_>>()
    };
    futures::stream::once(open).flatten()
}

/// A node gives up an attempt that nobody goes on with after twenty seconds; one that it refuses, at once.
const AT_ONCE: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_arranges_no_more_than_two_direct_connections_at_once() {
    let mut bootstrap = Node::start(Config {
        listen: vec![crate::node::TCP.parse().unwrap()],
        relay_server: Some(network::RelayLimits::default()),
        ..config()
    });
    let address = bootstrap.address().await;
    let _bootstrap = bootstrap.in_background();
    let mut node = Node::start(Config {
        bootstrap: vec![address],
        reserve: Reserve::Always,
        kad_server: false,
        direct: true,
        webrtc_ip: Some(std::net::Ipv4Addr::LOCALHOST.into()),
        ..config()
    });
    let through_relay = node.address().await;
    let _node = node.in_background();
    let given_up = arrange_nothing(through_relay, 6);
    let mut given_up = std::pin::pin!(given_up);
    let refused = tokio::time::timeout(AT_ONCE, given_up.by_ref().take(4).count()).await;
    assert_eq!(refused.expect("they are refused at once"), 4);
    // The others are waited for.
    assert_eq!(given_up.next().now_or_never(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_directly_arranges_nothing() {
    let mut node = Node::start(Config {
        listen: vec![crate::node::TCP.parse().unwrap()],
        direct: true,
        webrtc_ip: Some(std::net::Ipv4Addr::LOCALHOST.into()),
        ..config()
    });
    let address = node.address().await;
    let _node = node.in_background();
    let refused = arrange_nothing(address, 1).count();
    let refused = tokio::time::timeout(AT_ONCE, refused).await;
    assert_eq!(refused.expect("it is refused at once"), 1);
}

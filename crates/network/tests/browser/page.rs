//! Two nodes in one page: to each other and to the network they are as strange as two tabs.

use std::{future::Future, pin::pin, time::Duration};

use futures::{StreamExt, future::Either};
use futures_timer::Delay;
use network::{Config, Event, Events, Handle, IceServer, Identity, Multiaddr, Path, PeerId};
use protocol::{ComputeRequest, Message, RequestId};
use wasm_bindgen_test::{console_log, wasm_bindgen_test as test, wasm_bindgen_test_configure};
use web_time::Instant;

wasm_bindgen_test_configure!(run_in_browser);

const PATIENCE: Duration = Duration::from_secs(40);

struct Node {
    handle: Handle,
    events: Events,
    address: Multiaddr,
}

impl Node {
    /// Starts and waits until others can reach it through the bootstrap node.
    async fn start(direct: bool) -> Self {
        Self::with(Config {
            direct,
            ..Config::new(Identity::generate())
        })
        .await
    }

    async fn with(mut config: Config) -> Self {
        config.bootstrap = vec![super::BOOTSTRAP.parse().unwrap()];
        let (handle, mut events, driver) = network::start(config).unwrap();
        wasm_bindgen_futures::spawn_local(driver);
        let address = wait(&mut events, |event| match event {
            Event::Listening { address } => Some(address),
            Event::BootstrapUnreachable { reason, .. } => panic!("no bootstrap node: {reason}"),
            _ => None,
        });
        let address = address.await;
        Self {
            handle,
            events,
            address,
        }
    }

    fn peer(&self) -> PeerId {
        self.handle.local_peer()
    }

    async fn wait<T>(&mut self, pick: impl FnMut(Event) -> Option<T>) -> T {
        wait(&mut self.events, pick).await
    }

    async fn message_from(&mut self, other: PeerId) -> Message {
        self.wait(|event| match event {
            Event::Message { peer, message } if peer == other => Some(message),
            _ => None,
        })
        .await
    }

    async fn path_to(&mut self, other: PeerId) -> Path {
        self.wait(|event| match event {
            Event::Connected { peer, path } | Event::PathChanged { peer, path }
                if peer == other =>
            {
                Some(path)
            }
            _ => None,
        })
        .await
    }
}

async fn wait<T>(events: &mut Events, mut pick: impl FnMut(Event) -> Option<T>) -> T {
    in_time(async {
        loop {
            let event = events.next().await.expect("the node has ended");
            if let Some(found) = pick(event) {
                return found;
            }
        }
    })
    .await
}

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    match futures::future::select(pin!(work), Delay::new(PATIENCE)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => panic!("nothing happened in time"),
    }
}

fn request(id: u64, len: usize) -> Message {
    Message::ComputeRequest(ComputeRequest {
        id: RequestId(id),
        fragment: [1; 32],
        body: vec![id as u8; len].into(),
        priority: protocol::Priority::Interactive,
        patience: None,
    })
}

async fn pair(direct: bool) -> (Node, Node) {
    meet(Node::start(direct).await, Node::start(direct).await).await
}

async fn meet(mut one: Node, mut other: Node) -> (Node, Node) {
    // The lower id is the one that makes the connection direct; let the other one begin.
    if one.peer() > other.peer() {
        std::mem::swap(&mut one, &mut other);
    }
    other.handle.dial(one.address.clone());
    assert!(other.path_to(one.peer()).await.relayed);
    assert!(one.path_to(other.peer()).await.relayed);
    (one, other)
}

/// Sends back and forth until the time is known.
async fn measure(one: &mut Node, other: &mut Node, what: &str) {
    let (one_id, other_id) = (one.peer(), other.peer());
    let start = Instant::now();
    const ROUNDS: u64 = 100;
    for id in 0..ROUNDS {
        one.handle.send(other_id, request(id, 16 << 10)).unwrap();
        while other.message_from(one_id).await != request(id, 16 << 10) {}
        other.handle.send(one_id, request(id, 16 << 10)).unwrap();
        while one.message_from(other_id).await != request(id, 16 << 10) {}
    }
    let round_trip = start.elapsed() / ROUNDS as u32;
    let start = Instant::now();
    for id in 0..10 {
        one.handle.send(other_id, request(id, 1 << 20)).unwrap();
    }
    for id in 0..10 {
        assert_eq!(other.message_from(one_id).await, request(id, 1 << 20));
    }
    console_log!(
        "{what}: 16 KiB there and back {round_trip:?}, 10 MiB in {:?}",
        start.elapsed()
    );
}

async fn say_goodbye(one: &Node, other: &mut Node) {
    let start = Instant::now();
    one.handle.shutdown();
    let gone = one.peer();
    other
        .wait(|event| matches!(event, Event::Disconnected { peer } if peer == gone).then_some(()))
        .await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "a goodbye is noticed at once, not when a time-out is over"
    );
    other.handle.shutdown();
}

#[test]
async fn a_web_socket_that_is_refused_is_said_to_have_failed() {
    let mut node = Node::start(false).await;
    // Nobody listens there; it is a port that browsers do not refuse by themselves.
    let nobody: Multiaddr = "/ip4/127.0.0.1/tcp/42006/ws".parse().unwrap();
    let asked = Instant::now();
    node.handle.dial(nobody.clone());
    let failed = |event| match event {
        Event::DialFailed { address, .. } if address == nobody => Some(()),
        _ => None,
    };
    node.wait(failed).await;
    // By itself, not because connecting may not take longer.
    assert!(asked.elapsed() < Duration::from_secs(15));
}

#[test]
async fn tabs_talk_through_the_relay() {
    let (mut one, mut other) = pair(false).await;
    assert!(matches!(
        one.message_from(other.peer()).await,
        Message::Hello(_)
    ));
    assert!(matches!(
        other.message_from(one.peer()).await,
        Message::Hello(_)
    ));
    measure(&mut one, &mut other, "relayed").await;
    say_goodbye(&one, &mut other).await;
}

#[test]
async fn tabs_move_to_a_direct_connection_and_lose_nothing() {
    let (mut one, mut other) = pair(true).await;
    let (one_id, other_id) = (one.peer(), other.peer());
    let sender = one.handle.clone();
    let start = Instant::now();
    // Before, while and after the streams move.
    const COUNT: u64 = 300;
    wasm_bindgen_futures::spawn_local(async move {
        for id in 0..COUNT {
            sender
                .send_when_possible(other_id, request(id, 20_000))
                .await
                .unwrap();
            Delay::new(Duration::from_millis(10)).await;
        }
    });
    let (mut next, mut direct, mut hellos) = (0, false, 0);
    while next < COUNT || !direct {
        let event = other.wait(Some).await;
        match event {
            Event::Message {
                message: Message::Hello(_),
                ..
            } => hellos += 1,
            Event::Message { peer, message } if peer == one_id => {
                assert_eq!(message, request(next, 20_000));
                next += 1;
            }
            Event::PathChanged { peer, path } if peer == one_id => {
                assert!(!path.relayed, "{path:?}");
                direct = true;
                console_log!("direct after {:?}, {next} messages", start.elapsed());
            }
            Event::Disconnected { peer } => assert_ne!(peer, one_id),
            _ => {}
        }
    }
    assert!(hellos >= 2, "one for each stream");
    assert!(!one.path_to(other_id).await.relayed);
    measure(&mut one, &mut other, "direct").await;
    // The connection through the relay is closed once nothing uses it.
    in_time(async {
        while one.handle.paths(other_id).len() + other.handle.paths(one_id).len() > 2 {
            Delay::new(Duration::from_millis(100)).await;
        }
    })
    .await;
    say_goodbye(&one, &mut other).await;
}

#[test]
async fn tabs_that_cannot_connect_directly_stay_with_the_relay() {
    // A server address that the browser refuses, so that every attempt fails.
    let ice_servers = vec![IceServer {
        urls: vec!["nonsense".to_owned()],
        ..IceServer::default()
    }];
    let config = || Config {
        ice_servers: ice_servers.clone(),
        ..Config::new(Identity::generate())
    };
    let (one, mut other) = meet(Node::with(config()).await, Node::with(config()).await).await;
    let (one_id, other_id) = (one.peer(), other.peer());
    for id in 0..30 {
        one.handle.send(other_id, request(id, 1000)).unwrap();
        while other.message_from(one_id).await != request(id, 1000) {}
        Delay::new(Duration::from_millis(100)).await;
    }
    assert!(one.handle.paths(other_id)[0].relayed);
    say_goodbye(&one, &mut other).await;
}

#[test]
async fn tabs_of_a_model_find_each_other() {
    const MODEL: [u8; 32] = [3; 32];
    let start = Instant::now();
    let (one, mut other) = (Node::start(false).await, Node::start(false).await);
    console_log!("two nodes reachable after {:?}", start.elapsed());
    one.handle.provide(MODEL);
    let one_id = one.peer();
    let mut events = one.events;
    wasm_bindgen_futures::spawn_local(async move { while events.next().await.is_some() {} });
    let searcher = other.handle.clone();
    wasm_bindgen_futures::spawn_local(async move {
        for _ in 0..200 {
            searcher.find_providers(MODEL);
            Delay::new(Duration::from_millis(200)).await;
        }
    });
    assert!(matches!(
        other.message_from(one_id).await,
        Message::Hello(_)
    ));
    one.handle.shutdown();
    other.handle.shutdown();
}

/// Sends to a native node, which sends everything back.
async fn echoes(node: &mut Node, other: PeerId, what: &str) {
    let start = Instant::now();
    const ROUNDS: u64 = 50;
    for id in 0..ROUNDS {
        node.handle.send(other, request(id, 16 << 10)).unwrap();
        while node.message_from(other).await != request(id, 16 << 10) {}
    }
    let round_trip = start.elapsed() / ROUNDS as u32;
    let start = Instant::now();
    for id in 0..10 {
        node.handle.send(other, request(id, 1 << 20)).unwrap();
    }
    for id in 0..10 {
        assert_eq!(node.message_from(other).await, request(id, 1 << 20));
    }
    console_log!(
        "{what}: 16 KiB there and back {round_trip:?}, 10 MiB there and back in {:?}",
        start.elapsed()
    );
}

#[test]
async fn a_tab_dials_a_native_node_by_its_address_and_certificate() {
    let (handle, mut events, driver) = network::start(Config::new(Identity::generate())).unwrap();
    wasm_bindgen_futures::spawn_local(driver);
    handle.dial(super::DIRECT.parse().unwrap());
    let other = wait(&mut events, |event| match event {
        Event::Connected { peer, path } => {
            assert!(
                path.address.to_string().contains("/webrtc-direct/"),
                "{path:?}"
            );
            Some(peer)
        }
        Event::DialFailed { reason, .. } => panic!("{reason}"),
        _ => None,
    })
    .await;
    let address = super::DIRECT.parse().unwrap();
    let mut node = Node {
        handle,
        events,
        address,
    };
    assert!(matches!(node.message_from(other).await, Message::Hello(_)));
    echoes(&mut node, other, "WebRTC-direct").await;
    node.handle.shutdown();
}

#[test]
async fn a_tab_and_a_native_node_that_listens_nowhere_connect_directly() {
    let mut node = Node::start(true).await;
    let hidden: PeerId = super::HIDDEN.parse().unwrap();
    // Where this node can be reached, with the other one's name at the end.
    let relayed = node
        .address
        .to_string()
        .replace(&node.peer().to_string(), super::HIDDEN);
    node.handle.dial(relayed.parse().unwrap());
    assert!(node.path_to(hidden).await.relayed);
    let direct = node.path_to(hidden).await;
    assert!(!direct.relayed, "{direct:?}");
    echoes(&mut node, hidden, "arranged, with a native node").await;
    node.handle.shutdown();
}

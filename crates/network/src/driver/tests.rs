//! What only shows inside: a node driven step by step, with others that run by themselves.

use std::{future::poll_fn, task::Poll, time::Duration};

use futures::{FutureExt, StreamExt};
use libp2p::{
    PeerId, StreamProtocol, SwarmBuilder,
    multiaddr::Protocol,
    noise,
    swarm::{ConnectionId, DialError},
    tcp, yamux,
};
use protocol::{Bitmap, Channel, Hello, Message, Role};

use super::{
    Driver, MAX_BANNED,
    peer::{Connection, Peer},
    routing::GIVE_UP_AFTER,
    watch::TURN,
};
use crate::{Config, Event, Events, Handle, Identity, Path, handle};

/// How long anything may take. Far more than it takes; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(identity: Identity) -> Config {
    let mut config = Config::new(identity);
    config.direct = false;
    config.hello = Hello {
        agent: "test".to_owned(),
        version: protocol::VERSION,
        role: Role::Worker,
        model: Some([7; 32]),
        computes: Bitmap::full(3),
        stores: Bitmap::new(3),
        runs: None,
        finishes: false,
    };
    config
}

/// A node that moves only while a test waits for something.
pub(super) struct Slow {
    handle: Handle,
    events: Events,
    pub(super) driver: Driver,
}

impl Slow {
    pub(super) fn start() -> Self {
        let mut config = config(Identity::generate());
        config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let (handle, events, ends) = handle::connect(&config);
        let mut driver = Driver::new(config, ends).unwrap();
        driver.listen();
        Self {
            handle,
            events,
            driver,
        }
    }

    /// Goes on until the test has found what it looks for, in the driver or in what is said of it.
    async fn until<T>(
        &mut self,
        mut look: impl FnMut(&mut Driver, Option<Event>) -> Option<T>,
    ) -> T {
        let search = poll_fn(|cx| {
            loop {
                let ended = self.driver.poll(cx).is_ready();
                let event = self.events.next().now_or_never().flatten();
                let is_last = event.is_none();
                if let Some(found) = look(&mut self.driver, event) {
                    return Poll::Ready(found);
                }
                assert!(!ended, "the node has ended");
                if is_last {
                    // The driver has seen to it that this task is woken.
                    return Poll::Pending;
                }
            }
        });
        let found = tokio::time::timeout(PATIENCE, search).await;
        found.expect("nothing happened in time")
    }

    async fn hello_from(&mut self, other: PeerId) {
        self.until(|_, event| match event {
            Some(Event::Message {
                peer,
                message: Message::Hello(_),
            }) if peer == other => Some(()),
            _ => None,
        })
        .await;
    }

    /// Another one that runs by itself and dials this one.
    async fn dialled_by(&mut self, identity: &Identity) -> Handle {
        let address = self
            .until(|driver, _| driver.swarm.listeners().next().cloned())
            .await;
        let (handle, mut events, driver) = crate::start(config(identity.clone())).unwrap();
        tokio::spawn(driver);
        tokio::spawn(async move { while events.next().await.is_some() {} });
        handle.dial(address);
        handle
    }

    fn connections(&self, peer: PeerId) -> Vec<ConnectionId> {
        let known = self.driver.peers.get(&peer);
        known.map_or(Vec::new(), |it| {
            it.connections.iter().map(|it| it.id).collect()
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_again_is_not_searched_through_any_more() {
    let mut node = Slow::start();
    let peer = PeerId::random();
    let address = "/ip4/192.0.2.1/tcp/1".parse().unwrap();
    node.driver.route(peer, [address].into_iter());
    let is_routed = |node: &mut Slow| {
        let kad = &mut node.driver.swarm.behaviour_mut().kad;
        kad.kbuckets().any(|bucket| {
            let mut entries = bucket.iter();
            entries.any(|it| *it.node.key.preimage() == peer)
        })
    };
    let fail = |node: &mut Slow| node.driver.routing_failed(peer, &DialError::NoAddresses);
    let wait = |node: &mut Slow| {
        let since = node.driver.routing.failed.get_mut(&peer).unwrap();
        *since = since.checked_sub(GIVE_UP_AFTER).unwrap();
    };
    fail(&mut node);
    wait(&mut node);
    fail(&mut node);
    assert!(is_routed(&mut node), "nobody can be reached from here");
    let identity = Identity::generate();
    let _other = node.dialled_by(&identity).await;
    node.hello_from(identity.peer_id()).await;
    fail(&mut node);
    fail(&mut node);
    assert!(is_routed(&mut node), "it may be busy");
    wait(&mut node);
    fail(&mut node);
    assert!(!is_routed(&mut node));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_by_another_way_is_heard_when_this_side_closes_the_one_before() {
    let mut node = Slow::start();
    let identity = Identity::generate();
    let peer = identity.peer_id();
    let _before = node.dialled_by(&identity).await;
    node.hello_from(peer).await;
    let [before] = node.connections(peer)[..] else {
        panic!("one connection");
    };
    let _after = node.dialled_by(&identity).await;
    // Its stream waits until the first one has ended.
    let waits = |driver: &mut Driver, _| {
        let known = driver.peers.get_mut(&peer)?;
        known.half(Channel::Compute).has_waiting().then_some(())
    };
    node.until(waits).await;
    assert_eq!(node.connections(peer).len(), 2);
    assert!(node.driver.swarm.close_connection(before));
    node.hello_from(peer).await;
    assert_eq!(node.driver.readers.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_turn_never_comes_is_given_up_with_what_it_has_brought() {
    let mut node = Slow::start();
    let identity = Identity::generate();
    let peer = identity.peer_id();
    let _before = node.dialled_by(&identity).await;
    node.hello_from(peer).await;
    let _after = node.dialled_by(&identity).await;
    let waits = |driver: &mut Driver| {
        let known = driver.peers.get_mut(&peer).unwrap();
        known.half(Channel::Compute).has_waiting()
    };
    node.until(|driver, _| waits(driver).then_some(())).await;
    for _ in 0..TURN {
        node.driver.watch();
    }
    assert!(waits(&mut node.driver));
    node.driver.watch();
    assert!(!waits(&mut node.driver));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_before_is_not_held_against_who_has_returned() {
    let mut node = Slow::start();
    let address = node
        .until(|driver, _| driver.swarm.listeners().next().cloned())
        .await;
    let mut silent = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())
        .unwrap()
        .build();
    let (peer, other) = (*silent.local_peer_id(), node.handle.local_peer());
    let mut control = silent.behaviour().new_control();
    silent.dial(address.with(Protocol::P2p(other))).unwrap();
    tokio::spawn(async move { while silent.next().await.is_some() {} });
    // It does not say hello.
    tokio::spawn(async move {
        let name = StreamProtocol::new(Channel::Compute.name());
        let _open = loop {
            match control.open_stream(other, name.clone()).await {
                Ok(stream) => break stream,
                // Not connected yet.
                Err(_) => tokio::task::yield_now().await,
            }
        };
        std::future::pending::<()>().await;
    });
    node.until(|driver, _| (driver.readers.len() == 1).then_some(()))
        .await;
    let session = |driver: &mut Driver, number| {
        let known = driver.peers.get_mut(&peer).unwrap();
        std::mem::replace(&mut known.session, number)
    };
    let before = session(&mut node.driver, u64::MAX);
    for _ in 0..20 {
        node.driver.watch();
    }
    assert_eq!(node.handle.refused().stalled, 0);
    session(&mut node.driver, before);
    node.driver.watch();
    assert_eq!(node.handle.refused().stalled, 1);
    node.until(|driver, _| driver.readers.is_empty().then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_those_from_whom_this_side_parts() {
    let mut node = Slow::start();
    for _ in 0..3 {
        let identity = Identity::generate();
        let peer = identity.peer_id();
        let other = node.dialled_by(&identity).await;
        node.hello_from(peer).await;
        assert_eq!(node.driver.readers.len(), 1);
        node.handle.disconnect(peer);
        let is_empty = |driver: &mut Driver, _| {
            let empty = driver.peers.is_empty() && driver.readers.is_empty();
            empty.then_some(())
        };
        node.until(is_empty).await;
        other.shutdown();
    }
}

#[tokio::test]
async fn so_many_are_kept_out_and_the_oldest_are_forgotten() {
    let mut node = Slow::start();
    let strangers: Vec<_> = (0..MAX_BANNED + 10).map(|_| PeerId::random()).collect();
    for stranger in &strangers {
        // Said twice, it counts once.
        node.driver.ban(*stranger);
        node.driver.ban(*stranger);
    }
    let blocked = node.driver.swarm.behaviour().blocked.blocked_peers();
    assert_eq!(blocked.len(), MAX_BANNED);
    assert!(strangers[10..].iter().all(|it| blocked.contains(it)));
    assert_eq!(node.driver.banned.len(), MAX_BANNED);
}

/// Somebody who is met through a relay, as far as this node's driver is concerned.
fn meet_relayed(driver: &mut Driver) -> PeerId {
    let peer = PeerId::random();
    let path = Path {
        address: format!(
            "/ip4/192.0.2.1/tcp/1/p2p/{}/p2p-circuit/p2p/{peer}",
            PeerId::random()
        )
        .parse()
        .unwrap(),
        relayed: true,
    };
    let id = ConnectionId::new_unchecked(usize::MAX);
    let mut new = Peer::new(1, Connection::new(id, path, peer, driver.local()));
    new.outgoing.acquainted = true;
    driver.peers.insert(peer, new);
    peer
}

#[tokio::test]
async fn a_direct_connection_that_cannot_be_begun_is_tried_again_as_one_that_fails() {
    let mut node = Slow::start();
    let own = node
        .until(|driver, _| driver.swarm.listeners().next().cloned())
        .await;
    let peer = meet_relayed(&mut node.driver);
    // Where it says it listens, this node does itself: libp2p refuses to dial that at all.
    node.driver.peers.get_mut(&peer).unwrap().direct_addresses = vec![own];
    for attempt in 1..=3 {
        let planned = node.driver.tasks.len();
        node.driver.upgrade(peer, 1);
        let known = &node.driver.peers[&peer];
        assert_eq!((known.upgrade_attempts, known.upgrading), (attempt, None));
        assert_eq!(node.driver.tasks.len(), planned + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_returns_is_spoken_to_over_the_new_connection_while_the_old_one_closes() {
    let mut node = Slow::start();
    let identity = Identity::generate();
    let peer = identity.peer_id();
    let _before = node.dialled_by(&identity).await;
    node.hello_from(peer).await;
    let before = node.connections(peer);
    // As when closing takes its time: it was told to, and stands.
    node.driver.peers.get_mut(&peer).unwrap().connections[0].closing = true;
    let _after = node.dialled_by(&identity).await;
    let preferred = node
        .until(|driver, _| {
            let known = &driver.peers[&peer];
            (known.connections.len() == 2).then_some(known.preferred)
        })
        .await;
    assert!(!before.contains(&preferred));
}

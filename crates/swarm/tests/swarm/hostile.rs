//! Peers that lie, flood or talk nonsense.

use bytes::Bytes;
use protocol::{
    Bitmap, ComputeRequest, ComputeResponse, ContentRequest, Hello, HoldingsChanged, Message,
    Priority, RequestId as WireId, Role,
};
use simulator::world::{MS, Manner, S, World, model};
use std::time::Duration;
use swarm::{Event, Failure, FragmentIndex, Worker};

#[test]
fn a_peer_that_answers_nonsense_is_banned_and_the_answer_still_comes() {
    let mut world = World::new(2, 100);
    let client = world.join("client", &[]);
    let liar = world.join("liar", &[0, 1]);
    world.get(&liar).manner = Manner::Garbage;
    let honest = world.join("honest", &[0, 1]);
    world.run(S);
    for i in 0..10 {
        let (by, _) = world
            .ask_and_wait(&client, i % 2, format!("{i}"))
            .expect("an answer");
        assert_eq!(by, Worker::Peer(honest.clone()));
    }
    assert!(world.get(&client).banned.contains(&liar));
    assert!(!world.get(&client).links.contains(&liar));
    // It comes back and is shown the door.
    world.link(&client, &liar);
    world.run(S);
    assert!(!world.get(&client).links.contains(&liar));
}

#[test]
fn all_requests_at_a_banned_peer_go_elsewhere() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let liar = world.join("liar", &[0]);
    world.get(&liar).manner = Manner::Garbage;
    world.run(S);
    for i in 0..40 {
        world.ask(&client, 0, format!("{i}"));
    }
    world.join("honest", &[0]);
    assert!(world.run_until(5 * S, |w| w.get(&client).answers.len() == 40));
}

#[test]
fn one_peer_alone_cannot_call_a_request_malformed() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let refuser = world.join("refuser", &[0]);
    world.get(&refuser).manner = Manner::Refuses;
    world.join("honest", &[0]);
    world.run(S);
    for i in 0..6 {
        world
            .ask_and_wait(&client, 0, format!("{i}"))
            .expect("an answer");
    }
}

#[test]
fn when_two_workers_call_a_request_malformed_it_fails_with_their_words() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    for name in ["a", "b", "c"] {
        let who = world.join(name, &[0]);
        world.get(&who).manner = Manner::Refuses;
    }
    world.run(S);
    let failure = world.ask_and_wait(&client, 0, "x").expect_err("malformed");
    assert!(
        matches!(&failure, Failure::Malformed { reason, .. } if reason == "no"),
        "{failure}"
    );
}

#[test]
fn a_peer_that_claims_what_it_does_not_hold_is_not_asked_twice() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let boaster = world.join("boaster", &[]);
    world.run(S);
    let mut all = Bitmap::new(1);
    all.insert(0);
    let claim = HoldingsChanged {
        model: Some(model().0.0),
        computes: all.clone(),
        stores: all,
        runs: None,
    };
    let message = Message::HoldingsChanged(claim);
    world.tell(
        &client,
        Event::Message {
            peer: boaster.clone(),
            message,
        },
    );
    let failure = world
        .ask_and_wait(&client, 0, "x")
        .expect_err("nobody holds it");
    assert!(
        failure.to_string().contains("does not hold it any more"),
        "{failure}"
    );
    assert_eq!(world.get(&client).node.replicas(FragmentIndex(0)), 0);
}

#[test]
fn a_flood_of_requests_is_refused_and_then_banned() {
    let mut world = World::new(1, 100);
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 10 * MS;
    let flood = world.join("flood", &[]);
    let client = world.join("client", &[]);
    world.run(S);
    for i in 0..5000 {
        let request = ComputeRequest {
            id: WireId(i),
            fragment: [1; 32],
            body: Bytes::from_static(&[0; 1000]),
            priority: Priority::Interactive,
            patience: None,
        };
        world.tell(
            &worker,
            Event::Message {
                peer: flood.clone(),
                message: Message::ComputeRequest(request),
            },
        );
        assert!(world.get(&worker).node.stats().incoming <= 128);
    }
    assert!(world.get(&worker).banned.contains(&flood));
    world
        .ask_and_wait(&client, 0, "x")
        .expect("the worker still works");
}

#[test]
fn who_says_without_end_what_it_holds_is_banned_and_who_says_it_of_each_fragment_is_not() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let (flood, busy) = (world.join("flood", &[]), world.join("busy", &[0]));
    world.run(S);
    let mut say = |peer: &swarm::PeerId, times| {
        for _ in 0..times {
            let changed = HoldingsChanged {
                model: Some(model().0.0),
                computes: Bitmap::full(1),
                ..HoldingsChanged::default()
            };
            world.tell(
                &client,
                Event::Message {
                    peer: peer.clone(),
                    message: Message::HoldingsChanged(changed),
                },
            );
        }
    };
    say(&busy, 4000);
    say(&flood, 5000);
    assert_eq!(world.get(&client).banned, [flood].into());
    world
        .ask_and_wait(&client, 0, "x")
        .expect("the other one is asked");
}

#[test]
fn answers_nobody_asked_for_change_nothing() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 100 * MS;
    let stranger = world.join("stranger", &[]);
    world.run(S);
    let id = world.ask(&client, 0, "x");
    // The stranger guesses every number there could be.
    for guess in 0..100 {
        let response = ComputeResponse {
            id: WireId(guess),
            result: Ok(Bytes::from_static(b"ok lie")),
        };
        world.tell(
            &client,
            Event::Message {
                peer: stranger.clone(),
                message: Message::ComputeResponse(response),
            },
        );
    }
    assert!(world.get(&client).answers.is_empty());
    assert!(world.run_until(S, |w| w.get(&client).answers.contains_key(&id)));
    assert_eq!(world.get(&client).answers[&id].0, Worker::Peer(worker));
}

#[test]
fn who_breaks_the_rules_of_the_wire_is_banned() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let bad = world.join("bad", &[0]);
    world.run(S);
    world.tell(
        &client,
        Event::Violation {
            peer: bad.clone(),
            reason: "malformed length".into(),
        },
    );
    assert!(world.get(&client).banned.contains(&bad));
    assert_eq!(world.get(&client).node.stats().peers.len(), 0);
}

#[test]
fn more_peers_than_the_bound_are_sent_away() {
    let mut world = World::new(1, 100);
    let client = world.join_with("client", &[], |config| config.max_peers = 5);
    for i in 0..20 {
        world.join(&format!("peer {i}"), &[0]);
    }
    world.run(S);
    assert_eq!(world.get(&client).node.stats().peers.len(), 5);
    assert_eq!(world.get(&client).links.len(), 5);
}

#[test]
fn a_bitmap_of_another_length_is_read_as_far_as_it_makes_sense() {
    let mut world = World::new(3, 100);
    let client = world.join("client", &[]);
    let odd = world.join("odd", &[]);
    world.run(S);
    let hello = Hello {
        agent: "odd".into(),
        version: 1,
        role: Role::Worker,
        model: Some(model().0.0),
        computes: Bitmap::full(1 << 20),
        stores: Bitmap::full(1),
        runs: None,
        finishes: false,
    };
    world.tell(
        &client,
        Event::Message {
            peer: odd,
            message: Message::Hello(hello),
        },
    );
    let stats = world.get(&client).node.stats();
    assert_eq!(stats.coverage.len(), 3);
    assert_eq!(stats.peers[0].computes, 3);
}

#[test]
fn a_peer_of_another_model_is_neither_asked_nor_counted() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let other = world.join("other", &[]);
    world.run(S);
    let changed = HoldingsChanged {
        model: Some([3; 32]),
        computes: Bitmap::full(1),
        stores: Bitmap::full(1),
        runs: None,
    };
    world.tell(
        &client,
        Event::Message {
            peer: other,
            message: Message::HoldingsChanged(changed),
        },
    );
    assert_eq!(world.get(&client).node.replicas(FragmentIndex(0)), 0);
    assert!(matches!(
        world.ask_and_wait(&client, 0, "x"),
        Err(Failure::NobodyHolds { .. })
    ));
}

#[test]
fn a_greedy_downloader_is_kept_within_bounds() {
    let mut world = World::new(1, 10_000_000);
    let seed = world.join("seed", &[0]);
    let greedy = world.join("greedy", &[]);
    world.run(S);
    let mut reads = 0;
    for i in 0..900 {
        let request = ContentRequest {
            id: WireId(i),
            content: world.fragment(0).0,
            block: Some(0),
        };
        let before = world.log.len();
        world.tell(
            &seed,
            Event::Message {
                peer: greedy.clone(),
                message: Message::ContentRequest(request),
            },
        );
        reads += world.log[before..]
            .iter()
            .filter(|line| line.contains("ReadContent"))
            .count();
    }
    assert!(reads <= 8, "{reads} reads at one time");
    world.run(Duration::from_secs(1));
    assert!(world.get(&seed).node.stats().totals.content_sent <= 40 << 18);
}

#[test]
fn a_peer_of_another_version_is_counted_and_not_asked() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let newer = world.join("newer", &[0]);
    world.run(S);
    let hello = |version| {
        Message::Hello(Hello {
            version,
            model: Some(model().0.0),
            computes: Bitmap::full(1),
            stores: Bitmap::full(1),
            ..Hello::default()
        })
    };
    for version in [protocol::VERSION + 1, protocol::VERSION + 1] {
        world.tell(
            &client,
            Event::Message {
                peer: newer.clone(),
                message: hello(version),
            },
        );
    }
    assert_eq!(world.get(&client).node.replicas(FragmentIndex(0)), 0);
    assert_eq!(world.get(&client).node.stats().totals.other_versions, 1);
    world
        .ask_and_wait(&client, 0, "x")
        .expect_err("nobody else holds it");
    // It has been replaced by one that speaks ours.
    world.tell(
        &client,
        Event::Message {
            peer: newer.clone(),
            message: hello(protocol::VERSION),
        },
    );
    world.ask_and_wait(&client, 0, "x").expect("an answer");
}

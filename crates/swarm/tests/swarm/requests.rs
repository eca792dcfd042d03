//! Own requests: answered by somebody, whoever leaves or stalls.

use bytes::Bytes;
use protocol::{ComputeRequest, Message, RequestId as WireId};
use simulator::world::{MS, Manner, S, World, compute};
use std::collections::{BTreeMap, BTreeSet};
use swarm::{Event, FragmentIndex, PeerId, Priority, SubmitError, Worker};

/// A "model": every token is computed from the one before on all fragments, three at a time.
fn story(
    world: &mut World,
    client: &PeerId,
    fragments: u32,
    tokens: usize,
    mut meanwhile: impl FnMut(&mut World, usize),
) -> Vec<Bytes> {
    let mut token = Bytes::from_static(b"begin");
    let mut story = Vec::new();
    for at in 0..tokens {
        for group in (0..fragments).collect::<Vec<_>>().chunks(3) {
            let ids: Vec<_> = group
                .iter()
                .map(|f| world.ask(client, *f, token.clone()))
                .collect();
            meanwhile(world, at);
            let all = world.run_until(600 * S, |w| {
                let i = w.get(client);
                assert!(i.failures.is_empty(), "{:?}", i.failures);
                ids.iter().all(|id| i.answers.contains_key(id))
            });
            assert!(all, "no answer in ten minutes");
            token = ids
                .iter()
                .flat_map(|id| world.get(client).answers[id].1.to_vec())
                .collect();
        }
        story.push(token.clone());
    }
    story
}

fn undisturbed(fragments: u32, tokens: usize) -> Vec<Bytes> {
    let mut world = World::new(fragments as u8, 100);
    let all: Vec<_> = (0..fragments).collect();
    let client = world.join("client", &all);
    story(&mut world, &client, fragments, tokens, |_, _| {})
}

#[test]
fn a_lost_replica_changes_no_token() {
    let mut world = World::new(6, 100);
    let client = world.join("client", &[]);
    world.join("a", &[0, 1, 2]);
    let b = world.join("b", &[0, 1, 2, 3]);
    world.join("c", &[3, 4, 5]);
    world.join("d", &[4, 5]);
    world.run(S);
    let mut gone = false;
    let told = story(&mut world, &client, 6, 20, |world, at| {
        if at == 7 && !gone {
            gone = true;
            world.run(2 * MS); // requests are on their way
            world.leave(&b);
        }
    });
    assert_eq!(told, undisturbed(6, 20));
    assert!(
        world.get(&client).node.stats().totals.resent > 0,
        "nothing was under way at the lost replica"
    );
}

#[test]
fn a_replica_that_falls_silent_costs_time_and_no_token() {
    let mut world = World::new(4, 100);
    let client = world.join("client", &[]);
    let sleeper = world.join("sleeper", &[0, 1, 2, 3]);
    world.join("awake", &[0, 1, 2, 3]);
    world.run(S);
    let mut fell_silent_at = None;
    let told = story(&mut world, &client, 4, 30, |world, at| {
        if at == 5 && fell_silent_at.is_none() {
            fell_silent_at = Some(world.now);
            world.get(&sleeper).manner = Manner::Silent;
        }
    });
    assert_eq!(told, undisturbed(4, 30));
    let stats = world.get(&client).node.stats();
    assert!(stats.totals.hedged > 0);
    assert!(stats.peers.iter().any(|p| p.peer == sleeper && p.suspect));
    // One late deadline; then the sleeper is only tried now and then, besides others.
    assert!(
        world.now < fell_silent_at.expect("it fell silent") + S,
        "took until {:?}",
        world.now
    );
}

#[test]
fn who_fell_silent_is_tried_besides_others_and_takes_part_again_when_it_answers() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let sleeper = world.join("sleeper", &[0]);
    world.join("awake", &[0]);
    world.run(S);
    let longest = |world: &mut World, requests: usize| {
        let times = (0..requests).map(|_| {
            let asked = world.now;
            world.ask_and_wait(&client, 0, "x").expect("an answer");
            world.now - asked
        });
        times.max().expect("requests")
    };
    let usual = longest(&mut world, 20);
    world.get(&sleeper).manner = Manner::Silent;
    let noticed = longest(&mut world, 3);
    assert!(noticed > usual, "nobody was late");
    // For some seconds, in which it is tried several times.
    let before = world.get(&client).node.stats().totals.hedged;
    assert!(longest(&mut world, 1000) <= usual, "somebody waited for it");
    assert_eq!(world.get(&client).node.stats().totals.hedged, before);

    world.get(&sleeper).manner = Manner::Honest;
    world.run(40 * S);
    let by_it = |world: &mut World| {
        let stats = world.get(&client).node.stats();
        let sleeper = stats.peers.iter().find(|peer| peer.peer == sleeper);
        sleeper.expect("a peer").answered
    };
    let answered = by_it(&mut world);
    longest(&mut world, 20);
    assert!(by_it(&mut world) >= answered + 5, "it is avoided for ever");
}

#[test]
fn who_fell_silent_once_is_asked_when_nobody_else_is_left() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let [one, other] = ["one", "other"].map(|who| world.join(who, &[0]));
    world.run(S);
    for _ in 0..10 {
        world.ask_and_wait(&client, 0, "x").expect("an answer");
    }
    world.get(&one).manner = Manner::Silent;
    let suspects = |world: &mut World| {
        let peers = world.get(&client).node.stats().peers;
        peers.iter().filter(|peer| peer.suspect).count()
    };
    while suspects(&mut world) == 0 {
        world.ask_and_wait(&client, 0, "x").expect("an answer");
    }
    world.get(&one).manner = Manner::Honest;
    world.get(&other).manner = Manner::Silent;
    let before = world.now;
    world.ask_and_wait(&client, 0, "x").expect("an answer");
    let took = world.now - before;
    assert!(took < S, "it took {took:?}");
}

#[test]
fn however_many_replicas_are_silent_the_one_that_answers_is_asked() {
    for silent in 1..8 {
        let mut world = World::new(1, 100);
        let client = world.join("client", &[]);
        for i in 0..silent {
            let sleeper = world.join(&format!("sleeper {i}"), &[0]);
            world.get(&sleeper).manner = Manner::Silent;
        }
        world.run(S);
        let id = world.ask(&client, 0, vec![1]);
        // Everybody who was there before has it already; who comes last is the only one who will answer.
        world.run(2 * S);
        let rock = world.join("rock", &[0]);
        let answered = world.run_until(60 * S, |w| w.get(&client).answers.contains_key(&id));
        assert!(
            answered,
            "{silent} silent: {:?}",
            world.get(&client).failures
        );
        assert_eq!(world.get(&client).answers[&id].0, Worker::Peer(rock));
    }
}

#[test]
fn one_answer_is_delivered_however_many_were_asked() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let slow = world.join("slow", &[0]);
    world.run(S);
    world
        .ask_and_wait(&client, 0, "warm up")
        .expect("an answer");
    world.get(&slow).pace = 3 * S;
    let id = world.ask(&client, 0, "x");
    world.join("quick", &[0]);
    assert!(
        world.run_until(2 * S, |w| w.get(&client).answers.contains_key(&id)),
        "the quick one was not asked"
    );
    world.run(20 * S); // the slow one's answer comes too; the world panics on a second delivery
    let by = &world.get(&client).answers[&id].0;
    assert_eq!(*by, Worker::Peer(simulator::world::name("quick")));
}

#[test]
fn replicas_that_are_about_equal_share_the_work() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[0]);
    for name in ["a", "b", "c"] {
        world.join(name, &[0]);
    }
    world.run(S);
    let mut by = BTreeMap::new();
    for i in 0..40 {
        let (worker, _) = world
            .ask_and_wait(&client, 0, format!("{i}"))
            .expect("an answer");
        *by.entry(worker).or_insert(0) += 1;
    }
    assert_eq!(by.len(), 4, "{by:?}");
    assert!(by.values().all(|n| *n >= 5), "{by:?}");
    assert!(by.contains_key(&Worker::Local));
}

#[test]
fn a_replica_far_away_is_left_alone_while_near_ones_have_room() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    world.join("near", &[0]);
    let far = world.join("far", &[0]);
    world.get(&far).pace = 400 * MS;
    world.run(S);
    for i in 0..50 {
        world
            .ask_and_wait(&client, 0, format!("{i}"))
            .expect("an answer");
    }
    assert!(
        world.get(&far).computed <= 3,
        "{}",
        world.get(&far).computed
    );
}

#[test]
fn a_stampede_is_answered_to_the_last_request() {
    let mut world = World::new(3, 100);
    let client = world.join("client", &[]);
    world.join("a", &[0, 1]);
    world.join("b", &[1, 2]);
    world.join("c", &[2, 0]);
    world.run(S);
    let ids: Vec<_> = (0..3000u32)
        .map(|i| world.ask(&client, i % 3, format!("{i}")))
        .collect();
    assert!(
        world.run_until(60 * S, |w| w.get(&client).answers.len() == 3000),
        "{:?}",
        world.get(&client).failures
    );
    for (i, id) in (0u32..).zip(ids) {
        assert_eq!(
            world.get(&client).answers[&id].1,
            compute(FragmentIndex(i % 3), format!("{i}").as_bytes())
        );
    }
    // Asking twice when everybody has too much to do would make it worse: at most a tenth more, and a burst.
    let computed: usize = world.inhabitants.values().map(|i| i.computed).sum();
    assert!(computed <= 3000 + 300 + 16, "{computed} computed for 3000");
}

#[test]
fn more_requests_than_the_bound_are_refused_at_once() {
    let mut world = World::new(1, 100);
    let client = world.join_with("client", &[], |config| config.max_requests = 10);
    for i in 0..10 {
        world.ask(&client, 0, format!("{i}"));
    }
    let now = world.now;
    let node = &mut world.get(&client).node;
    let more = node.submit(
        swarm::RequestId(999),
        FragmentIndex(0),
        Bytes::new(),
        Priority::Interactive,
        now,
    );
    assert_eq!(more, Err(SubmitError::TooMany));
    let unknown = node.submit(
        swarm::RequestId(1),
        FragmentIndex(77),
        Bytes::new(),
        Priority::Interactive,
        now,
    );
    assert_eq!(
        unknown,
        Err(SubmitError::UnknownFragment(FragmentIndex(77)))
    );
}

#[test]
fn when_everybodys_answer_is_lost_they_are_asked_again() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    world.join("one", &[0]);
    world.join("other", &[0]);
    world.run(S);
    world.lose = 2;
    let before = world.now;
    world.ask_and_wait(&client, 0, "x").expect("an answer");
    let took = world.now - before;
    assert!(took < 30 * S, "it took {took:?}");
}

#[test]
fn a_holder_that_appears_in_the_grace_period_answers() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let id = world.ask(&client, 0, "x");
    world.run(15 * S);
    assert!(world.get(&client).answers.is_empty() && world.get(&client).failures.is_empty());
    world.join("late", &[0]);
    assert!(world.run_until(S, |w| w.get(&client).answers.contains_key(&id)));
}

#[test]
fn a_cancelled_request_is_forgotten_everywhere() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 100 * MS;
    world.run(S);
    let ids: Vec<_> = (0..10)
        .map(|i| world.ask(&client, 0, format!("{i}")))
        .collect();
    world.run(50 * MS);
    let now = world.now;
    for id in ids {
        world.get(&client).node.cancel(id, now);
    }
    world.carry_out(&client);
    world.run(5 * S);
    assert!(world.get(&client).answers.is_empty());
    assert_eq!(
        world.get(&worker).computed,
        1,
        "queued work of a cancelled request was done"
    );
    let stats = world.get(&client).node.stats();
    assert_eq!(
        (stats.in_flight, stats.waiting, stats.peers[0].in_flight),
        (0, 0, 0)
    );
}

#[test]
fn the_same_events_give_the_same_actions() {
    let play = || {
        let mut world = World::new(5, 100);
        let client = world.join("client", &[0]);
        world.join("a", &[0, 1, 2]);
        let b = world.join("b", &[2, 3, 4]);
        world.join("c", &[1, 3, 4]);
        story(&mut world, &client, 5, 5, |world, at| {
            if at == 2 && world.inhabitants.contains_key(&b) {
                world.leave(&b);
            }
        });
        world.log
    };
    assert_eq!(play(), play());
}

#[test]
fn a_client_that_asks_much_does_not_starve_one_that_asks_little() {
    let mut world = World::new(1, 100);
    let greedy = world.join("greedy", &[]);
    let modest = world.join("modest", &[]);
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 10 * MS;
    world.run(S);
    for i in 0..200 {
        world.ask(&greedy, 0, format!("{i}"));
    }
    world.run(50 * MS);
    let before = world.now;
    world.ask_and_wait(&modest, 0, "please").expect("an answer");
    assert!(
        world.now - before < 60 * MS,
        "waited {:?}",
        world.now - before
    );
}

#[test]
fn what_nobody_waits_for_is_done_when_nobody_waits_and_is_not_starved() {
    let mut world = World::new(1, 100);
    let measuring = world.join("measuring", &[]);
    let chatting = world.join("chatting", &[]);
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 10 * MS;
    world.run(S);
    for i in 0..60 {
        world.ask_with(Priority::Background, &measuring, 0, format!("{i}"));
    }
    world.run(50 * MS);
    for i in 0..60 {
        world.ask(&chatting, 0, format!("{i}"));
    }
    assert!(world.run_until(2 * S, |w| w.get(&chatting).answers.len() == 60));
    let meanwhile = world.get(&measuring).answers.len();
    assert!((8..=20).contains(&meanwhile), "{meanwhile}");
    assert!(world.run_until(60 * S, |w| w.get(&measuring).answers.len() == 60));
}

#[test]
fn what_its_asker_does_not_wait_for_any_more_is_not_begun() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 100 * MS;
    world.run(S);
    for (id, patience) in [
        (1, None),
        (2, Some(50 * MS)),
        (3, Some(150 * MS)),
        (4, None),
    ] {
        let request = ComputeRequest {
            id: WireId(id),
            fragment: world.fragment(0).0,
            body: Bytes::from_static(b"x"),
            priority: Priority::Interactive,
            patience,
        };
        world.tell(
            &worker,
            Event::Message {
                peer: client.clone(),
                message: Message::ComputeRequest(request),
            },
        );
    }
    world.run(S);
    // The second is too late when the first is done, the third is not.
    let node = &world.get(&worker).node;
    assert_eq!(node.stats().totals.expired, 1);
    assert_eq!(world.get(&worker).computed, 3);
}

#[test]
fn work_of_those_who_left_is_not_done() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 100 * MS;
    world.run(S);
    let _: BTreeSet<_> = (0..30)
        .map(|i| world.ask(&client, 0, format!("{i}")))
        .collect();
    world.run(50 * MS);
    world.leave(&client);
    world.run(10 * S);
    assert!(world.get(&worker).computed <= 2);
    assert_eq!(world.get(&worker).node.stats().incoming, 0);
}

#[test]
fn an_answer_lost_on_its_way_is_asked_for_again_even_of_the_only_holder() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    world.join("worker", &[0]);
    world.run(S);
    world
        .ask_and_wait(&client, 0, "warm up")
        .expect("an answer");
    world.lose = 1;
    let lost = world.ask(&client, 0, "lost");
    // Nothing tells that it was lost: some patience is needed.
    assert!(world.run_until(25 * S, |w| w.get(&client).answers.contains_key(&lost)));

    world.lose = 1;
    let lost = world.ask(&client, 0, "lost again");
    world.run(MS);
    let later = world.ask(&client, 0, "later");
    // It was overtaken: that tells.
    assert!(world.run_until(S, |w| w.get(&client).answers.contains_key(&lost)));
    assert!(world.get(&client).answers.contains_key(&later));
}

#[test]
fn who_could_answer_and_is_not_connected_is_looked_for_before_the_only_one_is_given_up() {
    let mut world = World::new(1, 100);
    let client = world.join("client", &[]);
    let sleeper = world.join("sleeper", &[0]);
    world.run(S);
    let awake = world.alone("awake", &[0], |_| {});
    world.ask_and_wait(&client, 0, "x").expect("an answer");
    world.get(&sleeper).manner = Manner::Silent;
    // The search of every so often must not have been a moment ago.
    world.run(20 * S);
    let name = format!("{:?}", world.fragment(0));
    let seen = world.log.len();
    let asked = world.now;
    let id = world.ask(&client, 0, "y");
    let sought = world.run_until(5 * S, |world| {
        let mut new = world.log[seen..].iter();
        new.any(|line| line.contains("FindPeers") && line.contains(&name))
    });
    assert!(sought && world.now - asked < S, "{:?}", world.now - asked);
    world.link(&client, &awake);
    let answered = world.run_until(S, |world| world.get(&client).answers.contains_key(&id));
    assert!(answered, "the request waits for the one that is silent");
}

#[test]
fn what_one_node_alone_would_answer_is_looked_for_while_it_still_does() {
    let mut world = World::new(3, 100);
    let client = world.join("client", &[]);
    world.join("one", &[0, 1]);
    world.join("other", &[1]);
    world.run(S);
    let seen = world.log.len();
    for _ in 0..20 {
        for fragment in [0, 1] {
            world
                .ask_and_wait(&client, fragment, "x")
                .expect("an answer");
        }
        world.run(S);
    }
    let sought = |world: &World, fragment: u32| {
        let name = format!("{:?}", world.fragment(fragment));
        let new = world.log[seen..].iter();
        new.filter(|line| line.contains("FindPeers") && line.contains(&name))
            .count()
    };
    // Fragment 2 is nowhere, and nobody has asked for it.
    assert_eq!(
        [0, 1, 2].map(|fragment| sought(&world, fragment)),
        [1, 0, 0]
    );
}

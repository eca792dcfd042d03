//! Who takes part is heard of, and what has too few replicas is taken up.

use protocol::{Heartbeat, Place, Reach};
use simulator::world::{Manner, S, World};
use std::collections::BTreeSet;
use std::time::Duration;
use swarm::replication::Target;
use swarm::{Event, FragmentIndex, PeerId, Replication};

const BYTES: u64 = 300_000;

/// How many are there that compute on each fragment.
fn replicas(world: &World, fragments: u32) -> Vec<usize> {
    let holders = |index: u32| {
        let content = world.fragment(index);
        let all = world.inhabitants.values();
        all.filter(|it| it.content.contains_key(&content)).count()
    };
    (0..fragments).map(holders).collect()
}

fn join_with_room(world: &mut World, who: &str, holds: &[u32], capacity: usize) -> PeerId {
    let peer = world.join(who, holds);
    world.get(&peer).node.set_capacity(capacity);
    peer
}

#[test]
fn who_is_not_connected_is_heard_of_until_it_has_been_silent_for_three_beats() {
    let mut world = World::new(3, BYTES);
    let [one, middle, far] = ["one", "middle", "far"].map(|who| {
        let holds: &[u32] = if who == "far" { &[0, 1] } else { &[] };
        world.alone(who, holds, |_| {})
    });
    world.link(&one, &middle);
    world.link(&middle, &far);
    world.run(40 * S);
    let stats = world.get(&one).node.stats();
    assert_eq!(stats.membership.members, 2);
    assert_eq!(stats.coverage[1].computing, 1);
    let now = world.now;
    let chosen = world.get(&one).node.assign(1, &BTreeSet::new(), now);
    assert_eq!(chosen, [FragmentIndex(2)]);

    world.leave(&far);
    world.run(60 * S);
    assert_eq!(world.get(&one).node.replicas(FragmentIndex(0)), 1);
    world.run(60 * S);
    assert_eq!(world.get(&one).node.replicas(FragmentIndex(0)), 0);
}

#[test]
fn what_is_lost_is_taken_up_by_as_many_as_are_missing() {
    let mut world = World::new(4, BYTES);
    for node in 0..12_u32 {
        join_with_room(&mut world, &format!("node {node}"), &[node % 4], 2);
    }
    world.run(200 * S);
    assert_eq!(replicas(&world, 4), [3; 4], "nothing was lacking");
    // All but one of those who hold the first two.
    for node in [4, 8, 5, 9] {
        world.leave(&simulator::world::name(&format!("node {node}")));
    }
    let healed = world.run_until(600 * S, |world| {
        replicas(world, 4).iter().all(|replicas| *replicas >= 3)
    });
    assert!(healed, "{:?}", replicas(&world, 4));
    // Nobody who was late joins in.
    world.run(300 * S);
    let after = replicas(&world, 4);
    assert!(after.iter().all(|replicas| *replicas <= 5), "{after:?}");
    for it in world.inhabitants.values() {
        assert!(it.content.len() <= 2, "one holds more than it has room for");
    }
}

#[test]
fn who_has_no_room_lets_go_of_what_enough_others_hold() {
    let mut world = World::new(2, BYTES);
    for node in 0..5 {
        join_with_room(&mut world, &format!("many {node}"), &[0], 1);
    }
    join_with_room(&mut world, "few", &[1], 1);
    world.run(600 * S);
    // Of the five who hold the first fragment two take up the other one.
    assert_eq!(replicas(&world, 2), [3, 3]);
    for it in world.inhabitants.values() {
        assert_eq!(it.content.len(), 1);
        let told = it.node.stats();
        assert_eq!(told.membership.lacking, 0);
    }
}

#[test]
fn who_has_no_room_and_nothing_to_spare_takes_nothing() {
    let mut world = World::new(2, BYTES);
    for node in 0..3 {
        join_with_room(&mut world, &format!("node {node}"), &[0], 1);
    }
    join_with_room(&mut world, "other", &[1], 1);
    world.run(600 * S);
    assert_eq!(replicas(&world, 2), [3, 1]);
}

#[test]
fn what_is_fetched_again_keeps_its_place() {
    for fetched_again in [false, true] {
        let mut world = World::new(2, BYTES);
        for node in 0..4 {
            world.join(&format!("common {node}"), &[0]);
        }
        world.join("rare", &[1]);
        let loses = world.join("loses", &[0]);
        world.run(60 * S);
        let now = world.now;
        let node = &mut world.get(&loses).node;
        node.set_capacity(1);
        node.remove_holding(FragmentIndex(0), now);
        if fetched_again {
            node.taking(FragmentIndex(0), now);
        }
        world.carry_out(&loses);
        // It takes long, and all the while the other fragment is lacking.
        world.run(600 * S);
        let rare = if fetched_again { 1 } else { 2 };
        assert_eq!(replicas(&world, 2)[1], rare);
    }
}

#[test]
fn what_nobody_has_any_more_keeps_nobody_from_what_somebody_has() {
    let mut world = World::new(6, BYTES);
    join_with_room(&mut world, "with room", &[], 6);
    world.join("rare", &[5]);
    let healed = world.run_until(600 * S, |world| replicas(world, 6)[5] == 2);
    assert!(healed, "{:?}", replicas(&world, 6));
    assert_eq!(replicas(&world, 6)[0], 0);
}

#[test]
fn two_halves_that_were_apart_hold_everything_again_and_agree() {
    let mut world = World::new(6, BYTES);
    let all: Vec<_> = (0..12_u32)
        .map(|node| join_with_room(&mut world, &format!("node {node}"), &[node % 6], 2))
        .collect();
    world.join("seed", &[0, 1, 2, 3, 4, 5]);
    world.run(150 * S);
    let (one, other) = all.split_at(6);
    for one in one {
        for other in other {
            world.unlink(one, other);
        }
    }
    let seed = simulator::world::name("seed");
    other.iter().for_each(|it| world.unlink(it, &seed));
    world.run(120 * S);
    for one in one {
        other.iter().for_each(|other| world.link(one, other));
    }
    other.iter().for_each(|it| world.link(it, &seed));
    world.run(600 * S);
    let after = replicas(&world, 6);
    assert!(after.iter().all(|replicas| *replicas >= 3), "{after:?}");
    for it in world.inhabitants.values() {
        let told = it.node.stats();
        let known: Vec<_> = told.coverage.iter().map(|it| it.computing).collect();
        let there: Vec<_> = after.iter().map(|it| *it as u32).collect();
        assert_eq!(known, there);
    }
}

#[test]
fn what_a_stranger_says_of_another_model_or_for_somebody_banned_is_not_noted() {
    let mut world = World::new(2, BYTES);
    let one = world.join("one", &[]);
    let liar = world.join("liar", &[0]);
    world.get(&liar).manner = Manner::Garbage;
    world.run(S);
    let said = |model: [u8; 32], number: u32| Heartbeat {
        version: protocol::VERSION,
        model,
        shard: 0,
        run: 1,
        number,
        interval: Duration::from_secs(30),
        up: Duration::ZERO,
        computes: [1].into_iter().collect(),
        stores: Default::default(),
        taking: Default::default(),
        waiting: 0,
        reach: Reach::Dialled,
        runs: None,
        speed: 0,
        speed_many: 0,
        sends: 0,
        memory: 0,
        place: Some(Place {
            line: 1,
            network: 1,
        }),
    };
    let ours = simulator::world::model().0.0;
    let say = |world: &mut World, peer: &str, heartbeat| {
        let peer = simulator::world::name(peer);
        world.tell(&one, Event::Heartbeat { peer, heartbeat });
        world.get(&one).node.replicas(FragmentIndex(1))
    };
    assert_eq!(say(&mut world, "stranger", said([1; 32], 1)), 0);
    assert_eq!(say(&mut world, "stranger", said(ours, 1)), 1);
    // Its answers are nonsense.
    world.ask(&one, 0, "x");
    world.run(10 * S);
    assert!(world.get(&one).banned.contains(&liar));
    assert_eq!(say(&mut world, "liar", said(ours, 100)), 1);
}

/// How many replicas a node wants that has watched others come and go.
fn wanted_after(hours: u32, stay: Duration) -> Replication {
    let mut world = World::new(4, BYTES);
    let watches = world.join_with("watches", &[], |config| config.target = Some(Target::MONTH));
    assert_eq!(
        world.get(&watches).node.replication(),
        Replication::THREE,
        "nothing was seen yet"
    );
    for node in 0..3 {
        world.join(&format!("stays {node}"), &[0, 2]);
    }
    // Those that come and go hold what an answer can do without.
    let rounds = (S * 3600 * hours).as_nanos() / stay.as_nanos();
    for round in 0..rounds {
        let all: Vec<_> = (0..3)
            .map(|node| world.join(&format!("goes {round} {node}"), &[1, 3]))
            .collect();
        world.run(stay);
        all.iter().for_each(|who| world.leave(who));
    }
    world.get(&watches).node.replication()
}

#[test]
fn as_many_replicas_are_wanted_as_keep_what_goes_in_the_class_that_goes() {
    let often = wanted_after(8, S * 60 * 45);
    let seldom = wanted_after(24, S * 60 * 240);
    // Two fragments of each class; two are lost in 10,800 periods of four minutes with 1 % at most, half of it each.
    // Those that go after 45 minutes: 4/45 in a period, so 1/8; 2 · (1/8)^r ≤ 4.6e-7 from r = 7.4 on.
    assert_eq!(often.conditional, 8);
    // 4/240, so 1/64, because not all have been missed yet; from r = 3.7 on.
    assert_eq!(seldom.conditional, 4);
    assert!(
        often.always_active < often.conditional,
        "those who stay do not go: {often:?}"
    );
    assert!(often.always_active >= 3, "{often:?}");
}

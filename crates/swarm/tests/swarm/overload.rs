//! Who has to wait hears how long.

use simulator::world::{MS, S, World};
use swarm::{PeerId, Queue, RequestId};

/// A worker that takes 100 ms for everything, whose only slot is known to do so.
fn worker(world: &mut World) -> PeerId {
    let worker = world.join("worker", &[0]);
    world.get(&worker).pace = 100 * MS;
    let first = world.join("first", &[]);
    for _ in 0..4 {
        let answer = world.ask_and_wait(&first, 0, "how long");
        assert!(answer.is_ok(), "{answer:?}");
    }
    worker
}

fn ask(world: &mut World, who: &PeerId, count: u8) -> Vec<RequestId> {
    (0..count)
        .map(|number| world.ask(who, 0, vec![number]))
        .collect()
}

#[test]
fn who_comes_behind_others_hears_how_many_and_for_how_long() {
    let mut world = World::new(1, 1000);
    worker(&mut world);
    let [greedy, modest] = ["greedy", "modest"].map(|who| world.join(who, &[]));
    world.run(S);
    ask(&mut world, &greedy, 20);
    world.run(20 * MS);
    let [first, second, third] = ask(&mut world, &modest, 3)[..] else {
        unreachable!("three were asked for");
    };
    world.run(20 * MS);
    let heard = world.get(&modest).queued.clone();
    // Everybody has a turn: what is being computed comes before the first, which is not worth saying, and one of the
    // other's before each of those that follow.
    let expected = |before: u32| {
        let wait = 100 * MS * before;
        Some(Queue { before, wait })
    };
    let heard = [first, second, third].map(|request| heard.get(&request).copied());
    assert_eq!(
        heard.map(|it| it.map(|it| it.before)),
        [None, Some(3), Some(5)]
    );
    assert_eq!(heard[2], expected(5));
    // And so it is.
    let begun = world.now;
    assert!(world.run_until(10 * S, |world| world.get(&modest).answers.len() == 3));
    let took = world.now - begun;
    assert!((500 * MS..700 * MS).contains(&took), "{took:?}");
}

#[test]
fn who_is_refused_hears_how_much_there_is_to_do() {
    let mut world = World::new(1, 1000);
    let worker = world.join_with("worker", &[0], |config| config.max_incoming_per_peer = 4);
    world.get(&worker).pace = 100 * MS;
    let asks = world.join("asks", &[]);
    for _ in 0..4 {
        let answer = world.ask_and_wait(&asks, 0, "how long");
        assert!(answer.is_ok(), "{answer:?}");
    }
    let all = ask(&mut world, &asks, 8);
    world.run(20 * MS);
    let heard = world.get(&asks).queued.get(&all[7]).copied();
    assert_eq!(heard.map(|queue| queue.before), Some(4));
    // It is answered all the same.
    assert!(world.run_until(20 * S, |world| world.get(&asks).answers.len() == 12));
}

#[test]
fn what_waits_in_the_own_queue_is_told_too() {
    let mut world = World::new(1, 1000);
    let worker = worker(&mut world);
    let other = world.join("other", &[]);
    world.run(S);
    ask(&mut world, &other, 6);
    world.run(20 * MS);
    let own = ask(&mut world, &worker, 2);
    let heard = &world.get(&worker).queued;
    assert_eq!(heard.get(&own[0]), None);
    assert_eq!(heard.get(&own[1]).map(|queue| queue.before), Some(3));
}

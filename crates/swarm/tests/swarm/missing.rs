//! What nobody holds: who waits for it, and for how long.

use simulator::world::{S, World};
use swarm::{Failure, FragmentIndex};

/// In these models every other fragment is one that only some tokens need.
#[test]
fn what_only_some_tokens_need_is_given_up_at_once_when_it_is_known_to_be_away() {
    let mut world = World::new(4, 100);
    let client = world.join("client", &[]);
    world.join("other", &[0, 1]);
    world.run(40 * S);
    let before = world.now;
    let failure = world
        .ask_and_wait(&client, 3, "x")
        .expect_err("nobody holds it");
    let Failure::NobodyHolds { waited, .. } = failure else {
        panic!("{failure}");
    };
    assert!(waited >= 20 * S);
    assert_eq!(world.now, before);
    // What every token needs is waited for.
    world.ask_and_wait(&client, 2, "x").expect_err("nobody");
    assert_eq!(world.now - before, 20 * S);
    // Asked for in vain, it is looked for.
    let name = format!("{:?}", world.fragment(3));
    let sought = |line: &String| line.contains("FindPeers") && line.contains(&name);
    assert!(world.log.iter().any(sought));
    // And asked again as soon as somebody has it.
    world.join("holder", &[3]);
    world.run(S);
    world.ask_and_wait(&client, 3, "x").expect("an answer");
}

#[test]
fn what_was_held_a_moment_ago_is_waited_for() {
    let mut world = World::new(2, 100);
    let client = world.join("client", &[]);
    world.join("other", &[0]);
    let holder = world.join("holder", &[1]);
    world.run(20 * S);
    world.leave(&holder);
    let before = world.now;
    world.ask_and_wait(&client, 1, "x").expect_err("nobody");
    assert_eq!(world.now - before, 20 * S);
}

#[test]
fn a_node_that_is_alone_takes_nothing_for_lost() {
    let mut world = World::new(2, 100);
    let client = world.join("client", &[]);
    world.run(60 * S);
    let before = world.now;
    world.ask_and_wait(&client, 1, "x").expect_err("nobody");
    assert_eq!(world.now - before, 20 * S);
}

#[test]
fn a_fragment_nobody_holds_fails_by_name_after_the_grace_period() {
    let mut world = World::new(3, 100);
    let client = world.join("client", &[0]);
    world.join("other", &[1]);
    world.run(S);
    let before = world.now;
    let failure = world
        .ask_and_wait(&client, 2, "x")
        .expect_err("nobody holds it");
    assert!(matches!(
        failure,
        Failure::NobodyHolds {
            fragment: FragmentIndex(2),
            ..
        }
    ));
    let words = format!("nobody connected holds fragment 2 ({}", world.fragment(2));
    assert!(failure.to_string().starts_with(&words), "{failure}");
    assert_eq!(world.now - before, 20 * S);
    assert!(
        world.log.iter().any(|line| line.contains("FindPeers")),
        "the network was not asked"
    );
}

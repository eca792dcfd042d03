//! Who takes which fragments.

use simulator::world::{S, World};
use std::collections::BTreeSet;
use swarm::FragmentIndex;

#[test]
fn joiners_one_after_the_other_cover_the_model_evenly() {
    let mut world = World::new(12, 100);
    for i in 0..24 {
        let who = world.join(&format!("joiner {i}"), &[]);
        world.run(S);
        let now = world.now;
        let chosen = world.get(&who).node.assign(1, &BTreeSet::new(), now);
        let now = world.now;
        world
            .get(&who)
            .node
            .set_holdings(chosen.iter().copied(), chosen.iter().copied(), now);
        world.carry_out(&who);
        world.run(S);
    }
    let watcher = world.join("watcher", &[]);
    world.run(S);
    let stats = world.get(&watcher).node.stats();
    assert_eq!(stats.covered(), (12, 12));
    assert!(
        stats.coverage.iter().all(|c| c.computing == 2),
        "{:?}",
        stats.coverage
    );
}

#[test]
fn a_seed_that_only_stores_does_not_count_as_a_replica() {
    let mut world = World::new(2, 100);
    let seed = world.join("seed", &[]);
    let now = world.now;
    world
        .get(&seed)
        .node
        .set_holdings([], [0, 1].map(FragmentIndex), now);
    world.carry_out(&seed);
    world.join("worker", &[0]);
    let joiner = world.join("joiner", &[]);
    world.run(S);
    let now = world.now;
    assert_eq!(
        world.get(&joiner).node.assign(1, &BTreeSet::new(), now),
        [FragmentIndex(1)]
    );
    let coverage = world.get(&joiner).node.stats().coverage;
    assert_eq!((coverage[1].computing, coverage[1].storing), (0, 1));
    assert_eq!((coverage[0].computing, coverage[0].storing), (1, 2));
}

#[test]
fn what_is_held_or_claimed_is_not_assigned_again() {
    let mut world = World::new(4, 100);
    let who = world.join("who", &[1]);
    let claimed = BTreeSet::from([FragmentIndex(3)]);
    let now = world.now;
    let chosen = world.get(&who).node.assign(10, &claimed, now);
    assert_eq!(chosen, [FragmentIndex(0), FragmentIndex(2)]);
}

#[test]
fn a_lost_fragment_is_told_to_everybody() {
    let mut world = World::new(1, 100);
    let watcher = world.join("watcher", &[]);
    let worker = world.join("worker", &[0]);
    world.run(S);
    assert_eq!(world.get(&watcher).node.replicas(FragmentIndex(0)), 1);
    let now = world.now;
    world
        .get(&worker)
        .node
        .remove_holding(FragmentIndex(0), now);
    world.carry_out(&worker);
    world.run(S);
    assert_eq!(world.get(&watcher).node.replicas(FragmentIndex(0)), 0);
}

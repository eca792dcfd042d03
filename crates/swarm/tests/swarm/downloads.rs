//! Own downloads: from several peers, resumed, verified.

use crate::world::{MODEL, MS, Manner, S, World, bytes_of};
use swarm::{ContentId, FragmentIndex};

const FRAGMENT: ContentId = ContentId([1; 32]);
const LEN: u64 = 3_000_000;

fn sent(world: &mut World, who: &swarm::PeerId) -> u64 {
    world.get(who).node.stats().totals.content_sent
}

#[test]
fn a_fragment_comes_from_several_peers_at_once() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let (a, b) = (world.join("a", &[0]), world.join("b", &[0]));
    world.run(S);
    let id = world.download(&client, FRAGMENT, vec![]);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(world.get(&client).files[&id], bytes_of(FRAGMENT, LEN));
    assert!(sent(&mut world, &a) > LEN / 5 && sent(&mut world, &b) > LEN / 5);
    world.run(S);
    assert!(world.get(&client).node.stats().downloads.is_empty());
}

#[test]
fn a_download_resumes_from_what_is_there() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let seed = world.join("seed", &[0]);
    world.run(S);
    let have = bytes_of(FRAGMENT, LEN)[..2_000_000].to_vec();
    let id = world.download(&client, FRAGMENT, have);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(sent(&mut world, &seed), 1_000_000);
}

#[test]
fn a_beginning_that_was_wrong_is_fetched_anew_and_nobody_is_blamed() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    world.join("seed", &[0]);
    world.run(S);
    let id = world.download(&client, FRAGMENT, vec![7; 2_000_000]);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
    assert!(world.get(&client).banned.is_empty());
}

#[test]
fn a_seed_that_leaves_in_the_middle_is_replaced() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let a = world.join("a", &[0]);
    world.join("b", &[0]);
    world.run(S);
    let id = world.download(&client, FRAGMENT, vec![]);
    world.run(20 * MS);
    world.leave(&a);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn a_seed_that_falls_silent_is_replaced() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let a = world.join("a", &[0]);
    world.join("b", &[0]);
    world.run(S);
    let id = world.download(&client, FRAGMENT, vec![]);
    world.get(&a).manner = Manner::Silent;
    assert!(world.run_until(30 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn the_only_seed_is_waited_for_however_slow() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let slow = world.join("slow", &[0]);
    world.run(S);
    world.latency = 12 * S; // longer than a range is waited for
    let id = world.download(&client, FRAGMENT, vec![]);
    assert!(world.run_until(600 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(sent(&mut world, &slow), LEN, "ranges were sent twice");
}

#[test]
fn a_lone_seed_of_wrong_bytes_is_banned() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let liar = world.join("liar", &[0]);
    world.get(&liar).manner = Manner::Corrupt;
    world.run(S);
    let id = world.download(&client, FRAGMENT, vec![]);
    world.run(10 * S);
    assert!(world.get(&client).banned.contains(&liar));
    world.join("honest", &[0]);
    assert!(world.run_until(10 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn wrong_bytes_from_one_of_several_seeds_are_not_blamed_on_the_others() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let liar = world.join("b liar", &[0]);
    world.get(&liar).manner = Manner::Corrupt;
    let honest = [world.join("a honest", &[0]), world.join("c honest", &[0])];
    world.run(S);
    let ids: Vec<_> = (0..4)
        .map(|_| world.download(&client, FRAGMENT, vec![]))
        .collect();
    assert!(world.run_until(60 * S, |w| {
        ids.iter().all(|id| w.get(&client).done.contains(id))
    }));
    for seed in &honest {
        assert!(
            !world.get(&client).banned.contains(seed),
            "an honest seed was banned"
        );
    }
}

#[test]
fn a_manifest_is_fetched_before_anything_is_known_of_it() {
    let mut world = World::new(1, 100);
    let seed = world.join("seed", &[0]);
    world
        .get(&seed)
        .content
        .insert(MODEL, bytes_of(MODEL, 700_000));
    // A node that knows the model's name only.
    let client = world.join("client", &[]);
    let now = world.now;
    world.get(&client).node.set_model(ContentId([5; 32]), now);
    world.get(&client).node.set_model(MODEL, now);
    world.carry_out(&client);
    world.run(S);
    let id = world.download(&client, MODEL, vec![]);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(world.get(&client).files[&id].len(), 700_000);
}

#[test]
fn a_manifest_longer_than_anything_reasonable_is_refused() {
    let mut world = World::new(1, 100);
    let seed = world.join("seed", &[0]);
    world
        .get(&seed)
        .content
        .insert(MODEL, bytes_of(MODEL, 700_000));
    let client = world.join_with("client", &[], |config| config.max_content_bytes = 500_000);
    world.run(S);
    world.download(&client, MODEL, vec![]);
    world.run(S);
    assert!(world.get(&client).banned.contains(&seed));
    assert!(world.get(&client).files.values().all(Vec::is_empty));
}

#[test]
fn what_nobody_has_does_not_hold_up_the_rest() {
    let mut world = World::new(10, LEN);
    let client = world.join("client", &[]);
    world.join("seed", &[9]);
    world.run(S);
    let ids: Vec<_> = (1..=10)
        .map(|i| world.download(&client, ContentId([i; 32]), vec![]))
        .collect();
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&ids[9])));
    assert_eq!(world.get(&client).done.len(), 1);
    assert_eq!(
        world.get(&client).node.stats().downloads.len(),
        9 + 1,
        "the last one is being hashed"
    );
}

#[test]
fn what_a_seed_lost_is_asked_of_somebody_else() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let forgetful = world.join("a", &[0]);
    world.get(&forgetful).content.clear();
    world.join("b", &[0]);
    world.run(S);
    let id = world.download(&client, FRAGMENT, vec![]);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn holders_are_looked_for_and_used_once_they_are_there() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let seed = world.alone("seed", &[0], |_| {});
    let id = world.download(&client, FRAGMENT, vec![]);
    let request = world.ask(&client, 0, "x");
    world.run(S);
    assert!(world.log.iter().any(|line| line.contains("FindPeers")));
    world.link(&client, &seed);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)
        && w.get(&client).answers.contains_key(&request)));
    assert_eq!(world.get(&client).node.replicas(FragmentIndex(0)), 1);
}

#[test]
fn a_range_lost_on_its_way_is_asked_for_again_even_of_the_only_seed() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    world.join("seed", &[0]);
    world.run(S);
    let id = world.download(&client, FRAGMENT, vec![]);
    world.lose = 1;
    assert!(world.run_until(15 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn nothing_is_fetched_through_a_relay_until_there_is_a_direct_connection() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let seed = world.join("seed", &[0]);
    world.run(S);
    world.relay(&client, &seed, true);
    let id = world.download(&client, FRAGMENT, vec![]);
    world.run(10 * S);
    assert_eq!(world.get(&client).node.stats().downloads[0].written, 0);
    assert_eq!(sent(&mut world, &seed), 0);
    world.relay(&client, &seed, false);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn who_asks_through_a_relay_nevertheless_is_put_off() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let seed = world.join("seed", &[0]);
    world.run(S);
    // Only the seed knows.
    world.tell(
        &seed,
        swarm::Event::Connected {
            peer: client.clone(),
            relayed: true,
        },
    );
    world.download(&client, FRAGMENT, vec![]);
    world.run(5 * S);
    assert_eq!(sent(&mut world, &seed), 0);
    assert!(world.get(&seed).banned.is_empty());
}

//! Own downloads: from several peers, resumed, verified block by block.

use protocol::BLOCK_BYTES;
use simulator::world::{MS, Manner, S, World, model};
use std::num::NonZeroU64;
use std::time::Duration;
use swarm::{Content, ContentId, FragmentIndex};

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
    let id = world.fetch(&client, 0);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(world.bytes(0).clone(), world.get(&client).files[&id]);
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
    let have = world.bytes(0)[..2_000_000].to_vec();
    let id = world.download(&client, world.fragment(0), have);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
    let whole_blocks = 2_000_000 / u64::from(BLOCK_BYTES) * u64::from(BLOCK_BYTES);
    assert_eq!(sent(&mut world, &seed), LEN - whole_blocks);
}

#[test]
fn a_beginning_that_was_wrong_is_fetched_anew_and_nobody_is_blamed() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    world.join("seed", &[0]);
    world.run(S);
    let id = world.download(&client, world.fragment(0), vec![7; 2_000_000]);
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
    let id = world.fetch(&client, 0);
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
    let id = world.fetch(&client, 0);
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
    let id = world.fetch(&client, 0);
    assert!(world.run_until(600 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(sent(&mut world, &slow), LEN, "ranges were sent twice");
}

#[test]
fn a_seed_far_away_is_asked_for_more_at_a_time() {
    const LONG: u64 = 20_000_000;
    let mut world = World::new(1, LONG);
    let client = world.join("client", &[]);
    world.join("far", &[0]);
    world.run(S);
    world.latency = 100 * MS;
    let id = world.fetch(&client, 0);
    // Four at a time would take twenty round trips.
    assert!(world.run_until(2 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn a_lone_seed_of_wrong_bytes_is_banned() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let liar = world.join("liar", &[0]);
    world.get(&liar).manner = Manner::Corrupt;
    world.run(S);
    let id = world.fetch(&client, 0);
    world.run(10 * S);
    assert!(world.get(&client).banned.contains(&liar));
    world.join("honest", &[0]);
    assert!(world.run_until(10 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn the_first_wrong_block_gives_its_sender_away_and_costs_nothing_but_itself() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let liar = world.join("b liar", &[0]);
    world.get(&liar).manner = Manner::Corrupt;
    let honest = [world.join("a honest", &[0]), world.join("c honest", &[0])];
    world.run(S);
    let id = world.fetch(&client, 0);
    assert!(world.run_until(10 * S, |w| w.get(&client).banned.contains(&liar)));
    assert!(world.run_until(10 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(world.get(&client).banned.len(), 1);
    let from_honest: u64 = honest.iter().map(|seed| sent(&mut world, seed)).sum();
    assert_eq!(from_honest, LEN, "good blocks were fetched twice");
}

#[test]
fn a_manifest_is_fetched_before_anything_is_known_of_it() {
    let mut world = World::new(1, 100);
    let seed = world.join("seed", &[0]);
    let (model, manifest) = model();
    let content = Content::new(model, manifest);
    world.get(&seed).content.insert(model, content);
    // A node that knows the model's name only.
    let client = world.join("client", &[]);
    let now = world.now;
    world.get(&client).node.set_model(ContentId([5; 32]), now);
    world.get(&client).node.set_model(model, now);
    world.carry_out(&client);
    world.run(S);
    let id = world.download(&client, model, vec![]);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(world.get(&client).files[&id].len(), 700_000);
}

#[test]
fn a_manifest_longer_than_anything_reasonable_is_refused() {
    let mut world = World::new(1, 100);
    let seed = world.join("seed", &[0]);
    let (model, manifest) = model();
    let content = Content::new(model, manifest);
    world.get(&seed).content.insert(model, content);
    let client = world.join_with("client", &[], |config| config.max_content_bytes = 500_000);
    world.run(S);
    world.download(&client, model, vec![]);
    world.run(S);
    assert!(world.get(&client).banned.contains(&seed));
    assert!(world.get(&client).files.values().all(Vec::is_empty));
}

#[test]
fn a_beginning_longer_than_the_manifest_is_void() {
    let mut world = World::new(1, 100);
    let seed = world.join("seed", &[0]);
    let (model, manifest) = model();
    let content = Content::new(model, manifest.clone());
    world.get(&seed).content.insert(model, content);
    let client = world.join("client", &[]);
    world.run(S);
    for have in [
        vec![7; 900_000],
        manifest[..600_000].to_vec(),
        manifest.to_vec(),
    ] {
        let id = world.download(&client, model, have);
        assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
        assert_eq!(manifest, world.get(&client).files[&id]);
    }
}

#[test]
fn uploads_keep_to_their_limit_and_are_shared() {
    const RATE: u64 = 1_000_000;
    let mut world = World::new(1, LEN);
    world.join_with("seed", &[0], |config| {
        config.upload_bytes_per_second = NonZeroU64::new(RATE);
    });
    let clients = ["a", "b", "c"].map(|name| world.join(name, &[]));
    world.run(S);
    let begun = world.now;
    let ids = clients.clone().map(|client| world.fetch(&client, 0));
    let done = |w: &mut World| {
        let all = clients.iter().zip(&ids);
        all.filter(|(client, id)| w.get(client).done.contains(id))
            .count()
    };
    assert!(world.run_until(60 * S, |w| done(w) > 0));
    let first = world.now - begun;
    assert!(world.run_until(60 * S, |w| done(w) == 3));
    let last = world.now - begun;
    let expected = Duration::from_secs_f64(3.0 * LEN as f64 / RATE as f64);
    assert!(
        last > expected.mul_f64(0.9) && last < expected.mul_f64(1.2),
        "{last:?}"
    );
    assert!(
        first > last.mul_f64(0.9),
        "one was served before the others: {first:?} {last:?}"
    );
}

#[test]
fn a_limit_of_uploads_may_come_and_go() {
    let mut world = World::new(1, LEN);
    let seed = world.join("seed", &[0]);
    let client = world.join("client", &[]);
    world.run(S);
    let limit = |world: &mut World, rate| {
        let now = world.now;
        world.get(&seed).node.set_upload(NonZeroU64::new(rate), now);
    };
    limit(&mut world, 1000);
    let id = world.fetch(&client, 0);
    // A block takes four minutes at this rate.
    assert!(!world.run_until(60 * S, |w| w.get(&client).done.contains(&id)));
    limit(&mut world, 0);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn what_nobody_has_does_not_hold_up_the_rest() {
    let mut world = World::new(10, LEN);
    let client = world.join("client", &[]);
    world.join("seed", &[9]);
    world.run(S);
    let ids: Vec<_> = (1..=10).map(|i| world.fetch(&client, i - 1)).collect();
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
    let id = world.fetch(&client, 0);
    assert!(world.run_until(5 * S, |w| w.get(&client).done.contains(&id)));
}

#[test]
fn holders_are_looked_for_and_used_once_they_are_there() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    let seed = world.alone("seed", &[0], |_| {});
    let id = world.fetch(&client, 0);
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
    let id = world.fetch(&client, 0);
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
    let id = world.fetch(&client, 0);
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
    world.fetch(&client, 0);
    world.run(5 * S);
    assert_eq!(sent(&mut world, &seed), 0);
    assert!(world.get(&seed).banned.is_empty());
}

#[test]
fn what_nobody_has_comes_from_the_web_and_what_somebody_has_does_not() {
    let mut world = World::new(2, LEN);
    let client = world.join("client", &[]);
    world.join("seed", &[1]);
    world.web = vec![Ok(())];
    let now = world.now;
    world.get(&client).node.set_web_seeds(1, now);
    world.run(S);
    let (nobodys, somebodys) = (world.fetch(&client, 0), world.fetch(&client, 1));
    assert!(world.run_until(30 * S, |w| {
        let done = &w.get(&client).done;
        done.contains(&nobodys) && done.contains(&somebodys)
    }));
    world.run(S);
    let asked: Vec<_> = world.web_asked.iter().map(|it| it.0).collect();
    assert_eq!(asked, [world.fragment(0)]);
    let stats = world.get(&client).node.stats();
    assert!(stats.downloads.is_empty());
    assert_eq!(
        (stats.totals.web_received, stats.totals.content_received),
        (LEN, LEN)
    );
}

#[test]
fn web_servers_that_do_not_help_are_asked_in_turn_and_ever_more_seldom() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    world.web = vec![Err(0), Err(0)];
    let now = world.now;
    world.get(&client).node.set_web_seeds(2, now);
    world.run(S);
    let id = world.fetch(&client, 0);
    world.run(120 * S);
    let servers: Vec<_> = world.web_asked.iter().map(|it| it.1).collect();
    assert_eq!(servers[..4], [0, 1, 0, 1]);
    assert!(servers.len() <= 6, "{} times", servers.len());
    // Somebody has it after all.
    world.join("late", &[0]);
    assert!(world.run_until(10 * S, |w| w.get(&client).done.contains(&id)));
    assert_eq!(world.web_asked.len(), servers.len());
}

#[test]
fn few_fragments_come_from_the_web_at_a_time() {
    let mut world = World::new(6, LEN);
    let client = world.join("client", &[]);
    world.web = vec![Ok(())];
    let now = world.now;
    world.get(&client).node.set_web_seeds(1, now);
    world.run(S);
    let ids: Vec<_> = (0..6).map(|index| world.fetch(&client, index)).collect();
    assert!(world.run_until(60 * S, |w| {
        ids.iter().all(|id| w.get(&client).done.contains(id))
    }));
    for (_, _, at) in &world.web_asked {
        let together = world.web_asked.iter().filter(|it| it.2 == *at).count();
        assert!(together <= 2, "{together}");
    }
    // One after the other, without a pause.
    let times: Vec<_> = world.web_asked.iter().map(|it| it.2).collect();
    assert!(times[5] - times[0] <= S, "{times:?}");
}

#[test]
fn what_came_from_the_web_before_it_broke_off_is_not_fetched_again() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    // Two blocks, and a piece of the third.
    let came = 2 * u64::from(BLOCK_BYTES) + 5;
    world.web = vec![Err(came)];
    let now = world.now;
    world.get(&client).node.set_web_seeds(1, now);
    world.run(S);
    let id = world.fetch(&client, 0);
    assert!(world.run_until(10 * S, |w| !w.web_asked.is_empty()));
    world.run(S);
    world.join("late", &[0]);
    assert!(world.run_until(10 * S, |w| w.get(&client).done.contains(&id)));
    let totals = world.get(&client).node.stats().totals;
    let whole = 2 * u64::from(BLOCK_BYTES);
    assert_eq!(
        (totals.web_received, totals.content_received),
        (whole, LEN - whole)
    );
}

#[test]
fn a_wrong_beginning_is_not_held_against_the_web_server() {
    let mut world = World::new(1, LEN);
    let client = world.join("client", &[]);
    // Nothing is left, since the whole was not what its name says.
    world.web = vec![Err(0)];
    let now = world.now;
    world.get(&client).node.set_web_seeds(1, now);
    world.run(S);
    let content = world.fragment(0);
    let id = world.get(&client).node.download(content, 1_000_000, now);
    assert!(id.is_some());
    world.run(20 * S);
    // At once for the whole, then after five seconds.
    let times: Vec<_> = world.web_asked.iter().map(|it| it.2).collect();
    assert!(times[1] - times[0] < S, "{times:?}");
    assert!(times[2] - times[1] >= 5 * S, "{times:?}");
}

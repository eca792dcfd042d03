//! Layers that one node runs for another.

use bytes::Bytes;
use protocol::{Cancel, Message, RequestId as WireId, SessionId, StageRequest};
use simulator::world::{MS, Manner, S, STAGE, World, compute};
use std::time::Duration;
use swarm::routing::{Layer, Part, Step};
use swarm::stages::{Leg, Plan, RunLayers, Shape};
use swarm::{Config, Event, FragmentIndex, PeerId, RequestId};

/// Embedding, layers of three fragments each of which one waits for the other, and output head.
fn shape(layers: u32) -> Shape {
    let step = |fragment: u32| Step {
        always: vec![Part {
            fragment: FragmentIndex(fragment),
            weights: 1000,
            request: 50,
        }],
        some: None,
    };
    let end = |fragment| Layer {
        steps: vec![step(fragment)],
        private: true,
    };
    let body = (0..layers).map(|layer| Layer {
        steps: (0..3).map(|at| step(1 + layer * 3 + at)).collect(),
        private: false,
    });
    Shape {
        layers: [end(0)]
            .into_iter()
            .chain(body)
            .chain([end(layers * 3 + 1)])
            .collect(),
        state: 80,
    }
}

/// A client, a worker that holds everything, and nodes that hold all of some layers and run them.
fn world(layers: u32, runs: &[[u32; 2]]) -> (World, PeerId, Vec<PeerId>) {
    let mut world = World::new(layers as u8 * 3 + 2, 100);
    let client = world.join("client", &[]);
    let all: Vec<_> = (0..layers * 3 + 2).collect();
    world.join("worker", &all);
    let mut names = Vec::new();
    for (number, [start, end]) in runs.iter().enumerate() {
        let holds: Vec<_> = (1 + start * 3..1 + end * 3).collect();
        let always = |config: &mut Config| config.run_layers = RunLayers::Always;
        let name = world.join_with(&format!("runner {number}"), &holds, always);
        let now = world.now;
        world.get(&name).node.set_candidate(true, now);
        names.push(name);
    }
    let everybody: Vec<_> = world.inhabitants.keys().cloned().collect();
    for who in &everybody {
        let now = world.now;
        world.get(who).node.set_shape(shape(layers), now);
        world.carry_out(who);
        for peer in everybody.iter().filter(|peer| *peer != who) {
            let time = 10 * MS;
            let peer = peer.clone();
            world.tell(who, Event::RoundTrip { peer, time });
        }
    }
    world.run(S);
    (world, client, names)
}

fn route(world: &mut World, client: &PeerId) -> Plan {
    let now = world.now;
    let plan = world.get(client).node.route(None, now);
    plan.expect("somebody holds everything")
}

fn leg(layers: std::ops::Range<u32>, runner: Option<&PeerId>) -> Leg {
    Leg {
        layers,
        runner: runner.cloned(),
    }
}

#[test]
fn layers_are_run_by_who_holds_all_that_every_token_needs_of_them() {
    let (mut world, client, runners) = world(6, &[[0, 4], [3, 6]]);
    for (name, layers) in runners.iter().zip([0..4, 3..6]) {
        assert_eq!(world.get(name).node.runs(), Some(layers));
    }
    assert_eq!(world.get(&client).node.runs(), None);
    let stats = world.get(&client).node.stats();
    let running = stats.peers.iter().filter(|peer| peer.runs.is_some());
    assert_eq!(running.count(), 2);
    // One layer is lost with a fragment of it; the longest range that is left is run.
    let now = world.now;
    let first = &runners[0];
    world.get(first).node.remove_holding(FragmentIndex(4), now);
    world.carry_out(first);
    assert_eq!(world.get(first).node.runs(), Some(2..4));
    world.run(S);
    let plan = route(&mut world, &client);
    assert!(
        plan.legs
            .iter()
            .all(|leg| leg.layers.start != 1 || leg.runner.is_none()),
        "{plan:?}"
    );
}

#[test]
fn a_token_goes_through_those_who_run_the_layers() {
    let (mut world, client, runners) = world(6, &[[0, 4], [3, 6]]);
    let plan = route(&mut world, &client);
    let runs: Vec<_> = plan
        .legs
        .iter()
        .filter_map(|leg| leg.runner.clone())
        .collect();
    assert_eq!(runs, runners);
    // Embedding and output head, and two ways there and back.
    assert_eq!(plan.waits, 4);
    assert!(plan.time >= 40 * MS && plan.time < 60 * MS, "{plan:?}");
    // Nobody else: three times in each layer somebody is waited for.
    for runner in &runners {
        world.leave(runner);
    }
    world.run(S);
    let plan = route(&mut world, &client);
    assert_eq!(plan.legs, [leg(0..6, None)]);
    assert_eq!(plan.waits, 20);
    assert!(plan.time >= 200 * MS, "{plan:?}");
}

/// What came of tokens that were sent through layers.
fn result(world: &mut World, client: &PeerId, id: RequestId) -> Option<Result<Bytes, String>> {
    let stages = &world.get(client).stages;
    stages.get(&id).map(|(_, result)| result.clone())
}

fn wait_for(world: &mut World, client: &PeerId, id: RequestId) -> Result<Bytes, String> {
    let done = world.run_until(60 * S, |world| world.get(client).stages.contains_key(&id));
    assert!(done, "nothing came of it in a minute");
    result(world, client, id).expect("just seen")
}

#[test]
fn tokens_come_through_and_what_that_takes_is_known_afterwards() {
    let (mut world, client, runners) = world(6, &[[0, 6]]);
    world.get(&runners[0]).pace = 30 * MS;
    let before = route(&mut world, &client);
    for token in 0..20_u8 {
        let body = vec![token; 70];
        let id = world.send_through(&client, &runners[0], 0..6, body.clone());
        assert_eq!(wait_for(&mut world, &client, id), Ok(compute(STAGE, &body)));
    }
    let after = route(&mut world, &client);
    assert_eq!(after.legs, before.legs);
    // There and back it is 10 ms.
    let expected = 10 * MS * 3 + 30 * MS;
    assert!(
        after.time >= expected - MS && after.time <= expected + 3 * MS,
        "{after:?}"
    );
    assert_eq!(world.get(&runners[0]).node.stats().totals.stages_served, 20);
    // It says so itself, before others have measured it.
    world.run(60 * S);
    let told = world
        .get(&runners[0])
        .node
        .introduction()
        .runs
        .expect("it runs layers");
    assert!(told.time >= 29 * MS && told.time <= 32 * MS, "{told:?}");
}

#[test]
fn who_leaves_is_lost_at_once_and_who_is_silent_before_long() {
    let (mut world, client, runners) = world(4, &[[0, 4], [0, 4]]);
    let [stays, leaves] = [&runners[0], &runners[1]];
    for runner in [stays, leaves] {
        let id = world.send_through(&client, runner, 0..4, vec![1; 70]);
        assert!(wait_for(&mut world, &client, id).is_ok());
    }
    let id = world.send_through(&client, leaves, 0..4, vec![2; 70]);
    let now = world.now;
    world.leave(leaves);
    assert!(wait_for(&mut world, &client, id).is_err());
    assert!(world.now - now < MS);
    assert_eq!(route(&mut world, &client).legs, [leg(0..4, Some(stays))]);
    // It has to come back to be asked again.
    world.get(stays).manner = Manner::Silent;
    let id = world.send_through(&client, stays, 0..4, vec![3; 70]);
    let now = world.now;
    assert!(wait_for(&mut world, &client, id).is_err());
    assert!(world.now - now <= 600 * MS, "{:?}", world.now - now);
    assert_eq!(route(&mut world, &client).legs, [leg(0..4, None)]);
    world.get(stays).manner = Manner::Honest;
    world.run(3 * S);
    // As long as nothing is heard of it, it may be as silent as before.
    assert_eq!(route(&mut world, &client).legs, [leg(0..4, None)]);
    let (peer, time) = (stays.clone(), 10 * MS);
    world.tell(&client, Event::RoundTrip { peer, time });
    assert_eq!(route(&mut world, &client).legs, [leg(0..4, Some(stays))]);
    assert_eq!(world.get(&client).node.stats().totals.stages_lost, 2);
}

#[test]
fn nonsense_is_the_last_that_is_heard_of_somebody() {
    let (mut world, client, runners) = world(2, &[[0, 2]]);
    world.get(&runners[0]).manner = Manner::Garbage;
    let id = world.send_through(&client, &runners[0], 0..2, vec![1; 70]);
    assert_eq!(wait_for(&mut world, &client, id), Err("nonsense".into()));
    assert!(world.get(&client).banned.contains(&runners[0]));
    assert_eq!(route(&mut world, &client).legs, [leg(0..2, None)]);
    // Whoever is not there at all is lost at once, too.
    let id = world.send_through(&client, &runners[0], 0..2, vec![1; 70]);
    assert!(result(&mut world, &client, id).is_some_and(|it| it.is_err()));
}

#[test]
fn what_nobody_waits_for_is_stopped() {
    let (mut world, client, runners) = world(2, &[[0, 2]]);
    world.get(&runners[0]).pace = 100 * MS;
    let id = world.send_through(&client, &runners[0], 0..2, vec![1; 70]);
    world.run(20 * MS);
    world.get(&client).node.cancel_stage(id);
    world.carry_out(&client);
    world.run(S);
    assert_eq!(world.get(&runners[0]).stopped, 1);
    assert_eq!(result(&mut world, &client, id), None);
    // Nor what somebody wanted who is gone.
    world.send_through(&client, &runners[0], 0..2, vec![2; 70]);
    world.run(20 * MS);
    world.leave(&client);
    assert_eq!(world.get(&runners[0]).stopped, 2);
}

#[test]
fn one_peer_has_a_few_tokens_on_their_way_and_no_more() {
    let (mut world, client, runners) = world(2, &[[0, 2]]);
    let runner = &runners[0];
    world.get(runner).pace = 10 * S;
    let mut ask = |number: u64, session: u64| {
        let request = StageRequest {
            id: WireId(number),
            session: SessionId(session),
            body: Bytes::from_static(b"token"),
        };
        let message = Message::StageRequest(request);
        let peer = client.clone();
        world.tell(runner, Event::Message { peer, message });
        world.get(runner).running.len()
    };
    // A session has one batch on its way: the latest.
    assert_eq!((ask(1, 1), ask(2, 1)), (1, 1));
    for session in 2..20 {
        assert_eq!(ask(session + 1, session), session.min(8) as usize);
    }
    assert_eq!(world.get(runner).node.stats().totals.refused, 11);
    // Who has let one go may ask again.
    let id = WireId(9);
    let message = Message::Cancel(Cancel { id });
    let peer = client.clone();
    world.tell(runner, Event::Message { peer, message });
    assert_eq!(world.get(runner).running.len(), 7);
}

#[test]
fn whoever_runs_nothing_refuses() {
    let (mut world, client, _) = world(2, &[]);
    let worker = PeerId::new(b"worker");
    let id = world.send_through(&client, &worker, 0..2, vec![1; 70]);
    let refused = wait_for(&mut world, &client, id).expect_err("it runs nothing");
    assert!(refused.contains("not held"), "{refused}");
}

#[test]
fn predictions_learn_what_this_node_itself_takes() {
    let (mut world, client, _) = world(2, &[]);
    let plan = route(&mut world, &client);
    let took = plan.time + 2 * MS * plan.waits as u32;
    for _ in 0..60 {
        let plan = route(&mut world, &client);
        let now = world.now;
        let pace = world.get(&client).node.token_took(&plan, took, now);
        let next = route(&mut world, &client).time;
        assert_eq!(pace.next, Some(next));
    }
    let learnt = route(&mut world, &client).time;
    let off = learnt.max(took) - learnt.min(took);
    assert!(off < took / 50, "{learnt:?} {took:?}");
}

#[test]
fn a_much_better_way_is_taken_when_there_is_one_and_no_sooner() {
    let (mut world, client, runners) = world(6, &[[0, 6]]);
    let runner = &runners[0];
    let now = world.now;
    world.get(runner).node.set_able(false, now);
    world.carry_out(runner);
    world.run(S);
    let plan = route(&mut world, &client);
    assert_eq!(plan.legs, [leg(0..6, None)]);
    let tokens = |world: &mut World, count: usize| {
        let mut better = Vec::new();
        for _ in 0..count {
            world.run(plan.time);
            let now = world.now;
            let node = &mut world.get(&client).node;
            better.extend(node.token_took(&plan, plan.time, now).better);
        }
        better
    };
    assert_eq!(tokens(&mut world, 60), []);
    let now = world.now;
    world.get(runner).node.set_able(true, now);
    world.carry_out(runner);
    let better = tokens(&mut world, 60);
    assert_eq!(better[0].legs, [leg(0..6, Some(runner))]);
    // Not at every token.
    let most = (60 * plan.time.as_millis() / Duration::from_secs(5).as_millis()) as usize + 1;
    assert!(better.len() <= most, "{} times", better.len());
}

/// Nodes that others can dial, each with room for so many fragments, and one that holds everything and runs nothing.
fn electorate(layers: u32, rooms: &[usize]) -> (World, Vec<PeerId>) {
    let mut world = World::new(layers as u8 * 3 + 2, 100);
    let all: Vec<_> = (0..layers * 3 + 2).collect();
    let holder = world.join_with("holder", &all, |config| {
        config.run_layers = RunLayers::Never
    });
    let names: Vec<_> = (0..)
        .zip(rooms)
        .map(|(number, room)| {
            let name = world.join(&format!("node {number:02}"), &[]);
            let now = world.now;
            let node = &mut world.get(&name).node;
            node.set_capacity(*room);
            node.set_candidate(true, now);
            let ip = std::net::Ipv4Addr::new(10, number, 0, 1).into();
            world.tell(&name, Event::Observed { ip, dialled: true });
            name
        })
        .collect();
    for who in names.iter().chain([&holder]) {
        let now = world.now;
        world.get(who).node.set_shape(shape(layers), now);
        world.carry_out(who);
    }
    (world, names)
}

/// By how many each layer is run.
fn runs(world: &mut World, names: &[PeerId], layers: u32) -> Vec<usize> {
    let ranges: Vec<_> = names
        .iter()
        .filter(|name| world.inhabitants.contains_key(*name))
        .cloned()
        .collect();
    let ranges: Vec<_> = ranges
        .iter()
        .filter_map(|name| world.get(name).node.runs())
        .collect();
    (0..layers)
        .map(|layer| ranges.iter().filter(|range| range.contains(&layer)).count())
        .collect()
}

#[test]
fn those_that_stay_are_elected_as_many_as_are_wanted_and_take_up_what_they_lack() {
    // Room for half of the layers each, and for some of what all take up before anybody is elected.
    let (mut world, names) = electorate(8, &[14; 14]);
    world.run(25 * 60 * S);
    assert_eq!(
        runs(&mut world, &names, 8),
        [0; 8],
        "nobody has been there for long"
    );
    world.run(20 * 60 * S);
    let run = runs(&mut world, &names, 8);
    assert!(run.iter().all(|runs| (3..=6).contains(runs)), "{run:?}");
    let elected = |world: &mut World| -> Vec<PeerId> {
        let running = names
            .iter()
            .filter(|name| world.inhabitants.contains_key(*name));
        let running: Vec<_> = running.cloned().collect();
        let runs = running.into_iter();
        runs.filter(|name| world.get(name).node.runs().is_some())
            .collect()
    };
    // It stays as it is.
    let before = elected(&mut world);
    world.run(60 * 60 * S);
    assert_eq!(elected(&mut world), before);
    // If some are lost, others are elected.
    for name in &before[..before.len() / 2] {
        world.leave(name);
    }
    world.run(20 * 60 * S);
    let run = runs(&mut world, &names, 8);
    // Those that are left have taken up much else meanwhile.
    assert!(run.iter().all(|runs| (2..=6).contains(runs)), "{run:?}");
}

#[test]
fn who_cannot_be_dialled_is_not_elected_nor_who_has_no_room() {
    let (mut world, names) = electorate(4, &[12, 2, 12]);
    let ip = std::net::Ipv4Addr::new(10, 77, 0, 1).into();
    let dialled = false;
    world.tell(&names[0], Event::Observed { ip, dialled });
    world.run(50 * 60 * S);
    let elected: Vec<_> = names
        .iter()
        .map(|name| world.get(name).node.runs().is_some())
        .collect();
    assert_eq!(elected, [false, false, true]);
}

#[test]
fn a_node_tells_how_quick_it_is_with_one_token_and_with_many() {
    let mut world = World::new(5, 4 << 20);
    let asks = world.join("asks", &[]);
    let worker = world.join("worker", &[1]);
    let now = world.now;
    world.get(&worker).node.set_shape(shape(1), now);
    let mut compute = |pace, length| {
        world.get(&worker).pace = pace;
        for _ in 0..40 {
            let answer = world.ask_and_wait(&asks, 1, vec![7; length]);
            assert!(answer.is_ok(), "{answer:?}");
        }
        world.run(40 * S);
        let said = world.get(&worker).said.clone();
        said.map(|it| (it.speed, it.speed_many))
    };
    // 4 MiB in 10 ms; then ten tokens at a time in twice that.
    let (one, none) = compute(10 * MS, 50).unwrap_or_default();
    assert!((396..=400).contains(&one), "{one} MiB/s");
    assert_eq!(none, 0);
    let (still, many) = compute(20 * MS, 500).unwrap_or_default();
    assert_eq!(still, one);
    assert!((1980..=2000).contains(&many), "{many} MiB/s");
}

#[test]
fn who_has_too_little_memory_is_not_elected() {
    let (mut world, names) = electorate(4, &[12, 12, 12]);
    for (name, mebibytes) in names.iter().zip([100, 0, 16_000]) {
        world.get(name).node.set_memory(mebibytes << 20);
    }
    world.run(50 * 60 * S);
    let elected: Vec<_> = names
        .iter()
        .map(|name| world.get(name).node.runs().is_some())
        .collect();
    // What is not known speaks against nobody.
    assert_eq!(elected, [false, true, true]);
}

#[test]
fn what_is_held_where_layers_are_run_is_computed_there() {
    let mut world = World::new(1, 100);
    let runner = world.join("runner", &[0]);
    for name in ["a", "b", "c"] {
        world.join(name, &[0]);
    }
    world.run(S);
    for i in 1..40 {
        let (id, now) = (RequestId(1 << 63 | i), world.now);
        let node = &mut world.get(&runner).node;
        let taken = node.submit_of_stage(id, FragmentIndex(0), Bytes::from_static(b"x"), now);
        assert_eq!(taken, Ok(()));
        world.carry_out(&runner);
        let done = |world: &mut World| world.get(&runner).answers.contains_key(&id);
        assert!(world.run_until(S, |world| done(world)));
    }
    // Once each it was not known how long it takes.
    let here = world.get(&runner).answers.values();
    let here = here.filter(|(by, _)| *by == swarm::Worker::Local).count();
    assert!(here >= 36, "{here} of 39");
}

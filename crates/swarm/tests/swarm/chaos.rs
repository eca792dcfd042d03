//! Anything at any time: peers come, go, fall silent and lie, and messages nobody expects arrive.

use bytes::Bytes;
use proptest::prelude::*;
use protocol::{
    Bitmap, Cancel, ComputeRequest, ComputeResponse, ContentBlock, ContentRequest, ContentResponse,
    ErrorCode, Failure, HoldingsChanged, JobId, JobOrder, JobRequest, JobResponse, Message, Queued,
    RequestId as WireId, Runs, SessionId, StageRequest, StageResponse,
};
use simulator::world::{MS, Manner, S, World, compute, content, model, name};
use std::time::Duration;
use swarm::routing::{Layer, Part, Step};
use swarm::stages::{RunLayers, Shape};
use swarm::{Content, DownloadId, Event, FragmentIndex, PeerId, Priority, Ticket};

const FRAGMENTS: u8 = 4;
/// Of a fragment, where it does not matter.
const BYTES: u64 = 1000;

#[derive(Debug, Clone)]
enum Op {
    Ask(u32, u8),
    Download(u8),
    Come(u8, Vec<u32>),
    Go(u8),
    Turn(u8, u8),
    Wait(u16),
}

fn urgent() -> impl Strategy<Value = Priority> {
    proptest::sample::select(&Priority::ALL[..])
}

fn op() -> impl Strategy<Value = Op> {
    let fragment = 0..u32::from(FRAGMENTS);
    prop_oneof![
        4 => (fragment.clone(), any::<u8>()).prop_map(|(f, body)| Op::Ask(f, body)),
        1 => (0..FRAGMENTS).prop_map(Op::Download),
        2 => (0u8..6, prop::collection::vec(fragment, 1..4)).prop_map(|(who, holds)| Op::Come(who, holds)),
        1 => (0u8..6).prop_map(Op::Go),
        1 => (0u8..6, 0u8..5).prop_map(|(who, manner)| Op::Turn(who, manner)),
        3 => (0u16..400).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// As long as one honest node that holds everything stays, every request is answered, rightly, and every download
    /// ends, whatever the others do.
    #[test]
    fn one_honest_node_is_enough(ops in prop::collection::vec(op(), 1..80)) {
        let mut world = World::new(FRAGMENTS, 600_000);
        let client = world.join("client", &[]);
        world.join("rock", &[0, 1, 2, 3]);
        let mut asked = Vec::new();
        let mut downloads = Vec::new();
        for op in ops {
            let visitor = |i: u8| name(&format!("visitor {i}"));
            match op {
                Op::Ask(fragment, body) => asked.push((world.ask(&client, fragment, vec![body]), fragment, body)),
                Op::Download(i) => downloads.push(world.fetch(&client, i.into())),
                Op::Come(i, holds) => {
                    if !world.inhabitants.contains_key(&visitor(i)) {
                        world.join(&format!("visitor {i}"), &holds);
                    }
                }
                Op::Go(i) => {
                    if world.inhabitants.contains_key(&visitor(i)) {
                        world.leave(&visitor(i));
                    }
                }
                Op::Turn(i, manner) => {
                    if let Some(inhabitant) = world.inhabitants.get_mut(&visitor(i)) {
                        let manners = [Manner::Honest, Manner::Garbage, Manner::Silent, Manner::Corrupt, Manner::Honest];
                        inhabitant.manner = manners[usize::from(manner)];
                    }
                }
                Op::Wait(ms) => world.run(MS * u32::from(ms)),
            }
        }
        let done = world.run_until(400 * S, |w| {
            let i = w.get(&client);
            asked.iter().all(|(id, ..)| i.answers.contains_key(id)) && downloads.iter().all(|id| i.done.contains(id))
        });
        prop_assert!(done, "not everything was answered: {:?}", world.get(&client).failures);
        for (id, fragment, body) in asked {
            prop_assert_eq!(&world.get(&client).answers[&id].1, &compute(FragmentIndex(fragment), &[body]));
        }
        prop_assert!(!world.get(&client).banned.contains(&name("rock")));
        // Nothing is left in the books.
        world.run(200 * S);
        let stats = world.get(&client).node.stats();
        prop_assert_eq!((stats.in_flight, stats.waiting, stats.downloads.len()), (0, 0, 0));
        prop_assert!(stats.peers.iter().all(|peer| peer.in_flight == 0));
    }
}

/// One layer of one fragment, between embedding and output head.
fn shape() -> Shape {
    let layer = |fragment: u32, private| Layer {
        steps: vec![Step {
            always: vec![Part {
                fragment: FragmentIndex(fragment),
                weights: BYTES,
                request: 100,
            }],
            some: None,
        }],
        private,
    };
    Shape {
        layers: vec![layer(0, true), layer(1, false), layer(2, true)],
        state: 100,
    }
}

fn message() -> impl Strategy<Value = Message> {
    let id = (0u64..40).prop_map(WireId);
    let digest = (0..FRAGMENTS + 2).prop_map(|i| content(i, BYTES).0.0);
    let bytes = (0usize..40).prop_map(|len| Bytes::from(vec![1; len]));
    let code = prop_oneof![
        Just(ErrorCode::NotHeld),
        Just(ErrorCode::Busy),
        Just(ErrorCode::Invalid),
        Just(ErrorCode::Failed)
    ];
    let failure = code.prop_map(|code| Failure {
        code,
        message: "x".into(),
    });
    let bitmap = prop::collection::vec(any::<bool>(), 0..9)
        .prop_map(|bits| bits.into_iter().collect::<Bitmap>());
    let number = prop_oneof![0u64..50, Just(u64::MAX), Just(u64::MAX - 7)];
    let runs = prop::option::of((any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
        |(first, more, time)| Runs {
            layers: first % 3..(first % 3).saturating_add(more),
            time: Duration::from_micros(time.into()),
        },
    ));
    let answer = prop_oneof![bytes.clone().prop_map(Ok), failure.clone().prop_map(Err)];
    let proof = prop::collection::vec(any::<[u8; 32]>(), 0..3);
    let block = (number, bytes.clone(), proof).prop_map(|(total, bytes, proof)| {
        Ok(ContentBlock {
            total,
            bytes,
            proof,
        })
    });
    let right = (0..FRAGMENTS).prop_map(|i| {
        let (name, bytes) = content(i, BYTES);
        let whole = Content::new(name, bytes);
        Ok(whole.block(None).expect("it is not empty"))
    });
    let block = prop_oneof![block, right, failure.prop_map(Err)];
    prop_oneof![
        (bitmap.clone(), bitmap, any::<bool>(), runs).prop_map(|(computes, stores, ours, runs)| {
            let model = Some(if ours { model().0.0 } else { [7; 32] });
            Message::HoldingsChanged(HoldingsChanged {
                model,
                computes,
                stores,
                runs,
            })
        }),
        (
            id.clone(),
            digest.clone(),
            bytes,
            urgent(),
            any::<Option<u16>>()
        )
            .prop_map(|(id, fragment, body, priority, patience)| {
                Message::ComputeRequest(ComputeRequest {
                    id,
                    fragment,
                    body,
                    priority,
                    patience: patience.map(|ms| MS * ms.into()),
                })
            }),
        (id.clone(), 0..4_u64, answer.clone()).prop_map(|(id, session, body)| {
            let body = body.unwrap_or_default();
            let session = SessionId(session);
            Message::StageRequest(StageRequest { id, session, body })
        }),
        (id.clone(), answer.clone())
            .prop_map(|(id, result)| Message::StageResponse(StageResponse { id, result })),
        (id.clone(), 0..6_u8, prop::option::of(answer.clone())).prop_map(|(id, job, begin)| {
            let order = match begin {
                Some(Ok(body)) => JobOrder::Begin(body),
                Some(Err(_)) => JobOrder::Drop,
                None => JobOrder::Look,
            };
            let job = JobId([job; 16]);
            Message::JobRequest(JobRequest { id, job, order })
        }),
        (id.clone(), answer.clone())
            .prop_map(|(id, result)| Message::JobResponse(JobResponse { id, result })),
        (id.clone(), any::<u32>(), any::<u32>()).prop_map(|(id, before, wait)| {
            let wait = MS * wait;
            Message::Queued(Queued { id, before, wait })
        }),
        (id.clone(), answer)
            .prop_map(|(id, result)| Message::ComputeResponse(ComputeResponse { id, result })),
        id.clone().prop_map(|id| Message::Cancel(Cancel { id })),
        (id.clone(), digest, any::<Option<u32>>()).prop_map(|(id, content, block)| {
            Message::ContentRequest(ContentRequest { id, content, block })
        }),
        (id, block)
            .prop_map(|(id, result)| Message::ContentResponse(ContentResponse { id, result })),
    ]
}

#[derive(Debug, Clone)]
enum Blow {
    Connected(u8),
    Disconnected(u8),
    Said(u8, Message),
    Computed(u64),
    Ran(u64),
    Sent(u8),
    Finished(u8, bool),
    Ordered(u8, u8),
    Cancelled(u64),
    Routed(u32),
    Read(u64, u64),
    Asked(u32, Priority),
    Wanted(u8, u64),
    Web(u64, Result<(), u64>),
    Later(u32),
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        2 => (0u8..4).prop_map(Blow::Connected),
        1 => (0u8..4).prop_map(Blow::Disconnected),
        8 => (0u8..4, message()).prop_map(|(who, message)| Blow::Said(who, message)),
        2 => (0u64..40).prop_map(Blow::Computed),
        2 => (0u64..40).prop_map(Blow::Ran),
        2 => (0u8..4).prop_map(Blow::Sent),
        2 => (0u8..6, any::<bool>()).prop_map(|(job, over)| Blow::Finished(job, over)),
        1 => (0u8..4, 0u8..6).prop_map(|(who, job)| Blow::Ordered(who, job)),
        1 => (1000u64..1040).prop_map(Blow::Cancelled),
        1 => any::<u32>().prop_map(Blow::Routed),
        2 => (0u64..40, 0u64..100).prop_map(|(ticket, len)| Blow::Read(ticket, len)),
        3 => (0u32..6, urgent()).prop_map(|(fragment, priority)| Blow::Asked(fragment, priority)),
        1 => (0u8..6, 0u64..3000).prop_map(|(content, have)| Blow::Wanted(content, have)),
        1 => (0u64..40, any::<Result<(), u64>>()).prop_map(|(download, result)| Blow::Web(download, result)),
        2 => (0u32..40_000).prop_map(Blow::Later),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Strangers say anything in any order: the node does not panic, and its clock does not stand still.
    #[test]
    fn nothing_a_stranger_says_breaks_a_node(blows in prop::collection::vec(blow(), 1..200)) {
        let mut world = World::new(FRAGMENTS, BYTES);
        let me = world.alone("me", &[0, 1], |config| {
            config.run_layers = RunLayers::Always;
            config.jobs = 5;
        });
        let world_fragments: Vec<_> = (0..u32::from(FRAGMENTS)).map(|i| world.fragment(i)).collect();
        let node = &mut world.get(&me).node;
        node.set_shape(shape(), Duration::ZERO);
        node.set_able(true, Duration::ZERO);
        prop_assert_eq!(node.runs(), Some(0..1));
        let who = |i: u8| PeerId::new(&[i]);
        let mut now = Duration::ZERO;
        let (mut requests, mut sent) = (0, 1000);
        for blow in blows {
            match blow {
                Blow::Connected(i) => node.handle_event(Event::Connected { peer: who(i), relayed: i == 2 }, now),
                Blow::Disconnected(i) => node.handle_event(Event::Disconnected { peer: who(i) }, now),
                Blow::Said(i, message) => node.handle_event(Event::Message { peer: who(i), message }, now),
                Blow::Computed(i) => {
                    node.handle_event(Event::Computed { ticket: Ticket(i), result: Ok(Bytes::new()) }, now);
                }
                Blow::Ran(i) => {
                    node.handle_event(Event::StageRun { ticket: Ticket(i), result: Ok(Bytes::new()) }, now);
                }
                Blow::Sent(i) => {
                    sent += 1;
                    let body = Bytes::from_static(b"token");
                    node.submit_stage(swarm::RequestId(sent), &who(i), SessionId(1), 0..1, body, now);
                }
                Blow::Finished(job, over) => {
                    let job = JobId([job; 16]);
                    node.handle_event(Event::JobTold { job, progress: Bytes::new(), over }, now);
                }
                Blow::Ordered(i, job) => {
                    sent += 1;
                    let (request, job) = (swarm::RequestId(sent), JobId([job; 16]));
                    node.order_job(request, &who(i), job, JobOrder::Look, now);
                }
                Blow::Cancelled(request) => node.cancel_stage(swarm::RequestId(request)),
                Blow::Routed(ms) => {
                    if let Some(plan) = node.route(None, now) {
                        prop_assert!(plan.legs.iter().map(|leg| leg.layers.len()).sum::<usize>() == 1);
                        node.token_took(&plan, MS * ms, now);
                    }
                }
                Blow::Read(i, len) => {
                    let result = (len > 0).then(|| ContentBlock {
                        total: BYTES,
                        bytes: vec![0; len as usize].into(),
                        proof: Vec::new(),
                    });
                    node.handle_event(Event::ContentRead { ticket: Ticket(i), result }, now);
                }
                Blow::Asked(fragment, priority) => {
                    requests += 1;
                    let _ = node.submit(swarm::RequestId(requests), FragmentIndex(fragment), Bytes::new(), priority, now);
                }
                Blow::Wanted(seed, have) => {
                    let known = world_fragments.get(usize::from(seed)).copied();
                    node.download(known.unwrap_or(content(seed, BYTES).0), have, now);
                }
                Blow::Web(i, result) => {
                    node.handle_event(Event::WebFetched { download: DownloadId(i), result }, now);
                }
                Blow::Later(ms) => now += MS * ms,
            }
            node.handle_timeout(now);
            prop_assert!(node.poll_timeout().is_none_or(|at| at > now), "a timer that does not go off");
            while let Some(action) = node.poll_action() {
                if let swarm::Action::Answer { request, .. } = action {
                    if request.0.is_multiple_of(2) { node.accept(request, now) } else { node.reject(request, now) }
                }
            }
            prop_assert!(node.stats().peers.iter().all(|peer| peer.in_flight <= 64));
            prop_assert!(node.stats().jobs <= 5);
        }
    }
}

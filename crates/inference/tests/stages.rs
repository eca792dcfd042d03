//! Layers that others run: the same bits, whoever runs them and whoever is lost.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::{path::Path, sync::Arc, sync::LazyLock};

use common::{
    models::Loaded,
    random::{self, Chance},
};
use inference::{
    Answerer, Session,
    compute::Arithmetic,
    executor::CacheKind,
    session::{Config, Event, Generation, Logits},
    stage::{
        Host, HostError, Limits, Place, Request, Response, Runner, Stage, decode_request,
        decode_response, encode_request, encode_response,
    },
};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

/// Of those with llama.cpp's logits in `tests/vectors`.
static MODELS: LazyLock<[Loaded; 2]> = LazyLock::new(|| {
    ["dense", "deepseek2"].map(|name| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
        let file = std::fs::read(folder.join(format!("{name}.gguf"))).unwrap();
        Loaded::cut(&file, 1 << 20)
    })
});

const PROMPT: [u32; 9] = [1, 275, 401, 337, 501, 317, 455, 288, 355];

fn generation() -> Generation {
    Generation {
        max_tokens: 8,
        ignore_end: true,
        logits: Logits::All,
        ..Generation::default()
    }
}

type Hosts = Vec<Host<u32>>;

fn layers(loaded: &Loaded) -> u32 {
    loaded.model.hyperparameters().layers
}

fn host(loaded: &Loaded, limits: Limits) -> Host<u32> {
    let (model, small) = (loaded.model.clone(), loaded.small.clone());
    Host::new(model, small, 0..layers(loaded), limits)
}

fn hosts(loaded: &Loaded, limits: Limits) -> Hosts {
    (0..4).map(|_| host(loaded, limits)).collect()
}

fn runner(number: usize) -> Runner {
    Runner(Arc::new([number as u8]))
}

/// All layers in ranges drawn by chance, each run here or by one of the hosts.
fn stages(loaded: &Loaded, hosts: usize, chance: &mut Chance) -> Vec<Stage> {
    let mut stages = Vec::new();
    let mut start = 0;
    while start < layers(loaded) {
        let most = (layers(loaded) - start) as usize;
        let end = start + 1 + chance.below(most) as u32;
        let place = match chance.below(hosts + 1) {
            0 => Place::Here,
            number => Place::There(runner(number - 1)),
        };
        let layers = start..end;
        stages.push(Stage { layers, place });
        start = end;
    }
    stages
}

/// The session of a client, as hosts know it: one for each of its stages.
fn name(request: &Request) -> u32 {
    request.layers.start
}

/// What a host answers to a request on its own.
fn run_host(
    host: &mut Host<u32>,
    request: Request,
    loaded: &Loaded,
) -> Result<Response, HostError> {
    let session = name(&request);
    host.begin(session, request)?;
    loop {
        if let Some((of, response)) = host.poll_done() {
            assert_eq!(of, session);
            return Ok(response);
        }
        let (id, request) = host.poll_request().unwrap();
        let response = loaded.answerer.answer(&request).unwrap();
        host.handle_response(id, response).unwrap();
    }
}

/// Runs a session; `before` each call it may do something to session and hosts, and say that the call is lost.
fn run(
    session: &mut Session,
    loaded: &Loaded,
    hosts: &mut Hosts,
    mut before: impl FnMut(&mut Session, &mut Hosts) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        events.extend(std::iter::from_fn(|| session.poll_event()));
        if let Some((id, request)) = session.poll_request() {
            let response = loaded.answerer.answer(&request).unwrap();
            session.handle_response(id, response).unwrap();
        } else if let Some((id, Runner(runner), request)) = session.poll_stage() {
            if before(session, hosts) {
                continue;
            }
            let request = decode_request(&encode_request(&request)).unwrap();
            let host = &mut hosts[usize::from(runner[0])];
            let response = run_host(host, request, loaded).unwrap();
            let response = decode_response(&encode_response(&response)).unwrap();
            session.handle_stage(id, response).unwrap();
        } else {
            assert_eq!(session.open_requests(), 0);
            return events;
        }
    }
}

/// Logits with their exact bits, and the tokens.
fn bits(events: &[Event]) -> (Vec<(usize, Vec<u32>)>, Vec<u32>) {
    let mut logits = Vec::new();
    let mut tokens = Vec::new();
    for event in events {
        match event {
            Event::Logits { position, values } => {
                logits.push((*position, values.iter().map(|v| v.to_bits()).collect()));
            }
            Event::Thinking { token, .. } | Event::Token { token, .. } => tokens.push(*token),
            Event::Prompt { .. } | Event::Done(_) => {}
        }
    }
    (logits, tokens)
}

fn alone(loaded: &Loaded, prompt: &[u32], config: Config) -> (Vec<(usize, Vec<u32>)>, Vec<u32>) {
    let mut session = loaded.session(config);
    session.begin(prompt, generation()).unwrap();
    let mut events = Vec::new();
    inference::run_local(&mut session, &loaded.answerer, |event| events.push(event)).unwrap();
    bits(&events)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    /// Hosts forget everything, are exchanged for others in mid-answer, and there is little room for what went in.
    #[test]
    fn whoever_runs_the_layers_the_bits_are_the_same(
        seed: u64,
        batch in 1..12_usize,
        tokens_kept in prop_oneof![Just(0_usize), 1..40_usize, Just(1000)],
        kind in prop::sample::select(CacheKind::ALL.to_vec()),
    ) {
        let mut chance = Chance(seed);
        let random = random::model(
            &architecture::ARCHITECTURES[chance.below(architecture::ARCHITECTURES.len())],
            &mut chance,
        );
        let header = gguf::Header::parse(&random, Some(random.len() as u64)).unwrap();
        let smallest = fragments::Plan::smallest_fragment_size(&header, random.len() as u64);
        let random = Loaded::cut(&random, smallest as u32);
        for loaded in MODELS.iter().chain([&random]) {
            let vocabulary = loaded.model.hyperparameters().n_vocab as u32;
            let prompt = PROMPT.map(|token| token % vocabulary);
            let width = loaded.model.hyperparameters().n_embd;
            let config = Config {
                batch,
                cache: Some(kind),
                kept_states: tokens_kept * width * 4,
                ..Config::default()
            };
            let expected = alone(loaded, &prompt, config);
            let mut hosts = hosts(loaded, Limits::default());
            let mut session = loaded.session(config);
            session.set_stages(&stages(loaded, hosts.len(), &mut chance)).unwrap();
            session.begin(&prompt, generation()).unwrap();
            let events = run(&mut session, loaded, &mut hosts, |session, hosts| {
                match chance.below(12) {
                    // Somebody has started again and knows nothing.
                    0 => {
                        let number = chance.below(hosts.len());
                        hosts[number] = host(loaded, Limits::default());
                        false
                    }
                    // Somebody is lost, and others take over.
                    1 => {
                        session.set_stages(&stages(loaded, hosts.len(), &mut chance)).unwrap();
                        true
                    }
                    _ => false,
                }
            });
            prop_assert_eq!(bits(&events), expected);
        }
    }
}

fn elsewhere(loaded: &Loaded, number: usize) -> Vec<Stage> {
    vec![Stage {
        layers: 0..layers(loaded),
        place: Place::There(runner(number)),
    }]
}

#[test]
fn what_a_new_host_lacks_is_sent_once_and_not_computed_from_the_tokens() {
    let loaded = &MODELS[0];
    let mut hosts = hosts(loaded, Limits::default());
    let mut session = loaded.session(Config::default());
    session.set_stages(&elsewhere(loaded, 0)).unwrap();
    let generation = Generation {
        logits: Logits::None,
        ..generation()
    };
    session.begin(&PROMPT, generation).unwrap();
    let mut calls = 0;
    let events = run(&mut session, loaded, &mut hosts, |session, _| {
        calls += 1;
        let lost = calls == 4;
        if lost {
            session.set_stages(&elsewhere(loaded, 1)).unwrap();
        }
        lost
    });
    assert_eq!(bits(&events).1, alone(loaded, &PROMPT, Config::default()).1);
    // The prompt, and each token but the last, and the one that was lost again.
    assert_eq!(calls, 1 + 7 + 1);
    let embeddings = events
        .iter()
        .filter(|it| matches!(it, Event::Prompt { .. }));
    assert_eq!(embeddings.count(), 1);
}

#[test]
fn the_next_question_goes_on_with_what_the_hosts_know() {
    let loaded = &MODELS[1];
    let mut hosts = hosts(loaded, Limits::default());
    let mut session = loaded.session(Config::default());
    session.set_stages(&elsewhere(loaded, 2)).unwrap();
    let generation = Generation {
        logits: Logits::Chosen,
        ..generation()
    };
    session.begin(&PROMPT, generation).unwrap();
    run(&mut session, loaded, &mut hosts, |_, _| false);
    let next = [session.tokens(), &[7, 8]].concat();
    session.begin(&next, generation).unwrap();
    let events = run(&mut session, loaded, &mut hosts, |_, _| false);
    let mut fresh = loaded.session(Config::default());
    fresh.begin(&next, generation).unwrap();
    let mut expected = Vec::new();
    inference::run_local(&mut fresh, &loaded.answerer, |event| expected.push(event)).unwrap();
    assert_eq!(bits(&events), bits(&expected));
    assert_eq!(session.parts().experts, fresh.parts().experts);
    assert!(session.parts().experts > 0);
}

#[test]
fn what_is_no_answer_is_refused_and_somebody_else_is_asked() {
    let loaded = &MODELS[0];
    let mut hosts = hosts(loaded, Limits::default());
    let mut session = loaded.session(Config::default());
    session.set_stages(&elsewhere(loaded, 0)).unwrap();
    session.begin(&PROMPT, generation()).unwrap();
    let width = loaded.model.hyperparameters().n_embd;
    let states = |values: usize| Response::States {
        states: vec![0.5; values],
        parts: Default::default(),
    };
    let lies = [
        states(3),
        states(PROMPT.len() * width + width),
        Response::States {
            states: vec![f32::NAN; PROMPT.len() * width],
            parts: Default::default(),
        },
        Response::States {
            states: vec![0.5; PROMPT.len() * width],
            parts: inference::Parts {
                approximate: 1,
                ..Default::default()
            },
        },
        Response::Behind { position: 0 },
        Response::Behind { position: 99 },
    ];
    for lie in lies {
        loop {
            if let Some((id, _, _)) = session.poll_stage() {
                session.handle_stage(id, lie).unwrap_err();
                break;
            }
            let (id, request) = session.poll_request().unwrap();
            session
                .handle_response(id, loaded.answerer.answer(&request).unwrap())
                .unwrap();
        }
        session.set_stages(&elsewhere(loaded, 0)).unwrap();
    }
    let events = run(&mut session, loaded, &mut hosts, |_, _| false);
    assert_eq!(bits(&events), alone(loaded, &PROMPT, Config::default()));
}

#[test]
fn stages_that_are_not_all_layers_are_refused() {
    let loaded = &MODELS[0];
    let mut session = loaded.session(Config::default());
    let before = session.stages();
    let end = layers(loaded);
    let stage = |layers| Stage {
        layers,
        place: Place::Here,
    };
    for wrong in [
        vec![],
        vec![stage(0..end - 1)],
        vec![stage(0..end + 1)],
        vec![stage(1..end)],
        vec![stage(0..1), stage(0..end)],
        vec![stage(0..end), stage(end..end)],
    ] {
        session.set_stages(&wrong).unwrap_err();
        assert_eq!(session.stages(), before);
    }
}

fn request(loaded: &Loaded, position: usize, tokens: usize) -> Request {
    Request {
        layers: 0..layers(loaded),
        position,
        states: vec![0.25; tokens * loaded.model.hyperparameters().n_embd],
        wanted: 1,
        arithmetic: Arithmetic::Quantised,
        cache: CacheKind::F16,
        least_experts: 1.0,
    }
}

#[test]
fn a_host_keeps_no_more_than_it_has_room_for() {
    let loaded = &MODELS[0];
    let token = loaded
        .model
        .hyperparameters()
        .cache_bytes_per_token(CacheKind::F16);
    let limits = Limits {
        bytes: 10 * token,
        sessions: 2,
    };
    let mut host = host(loaded, limits);
    let mut ask = |session: u32, position, tokens| {
        host.begin(session, request(loaded, position, tokens))?;
        loop {
            if let Some((of, response)) = host.poll_done() {
                assert_eq!(of, session);
                return Ok(response);
            }
            let (id, request) = host.poll_request().unwrap();
            let response = loaded.answerer.answer(&request).unwrap();
            host.handle_response(id, response).unwrap();
        }
    };
    let done = |answer: Result<Response, HostError>| matches!(answer, Ok(Response::States { .. }));
    assert!(done(ask(1, 0, 4)));
    assert!(done(ask(2, 0, 4)));
    assert!(done(ask(1, 4, 1)));
    // A third one, or a long one, and the one that was not asked for longest is forgotten.
    assert!(done(ask(3, 0, 2)));
    assert_eq!(ask(2, 4, 1), Ok(Response::Behind { position: 0 }));
    assert!(done(ask(1, 5, 4)));
    assert_eq!(ask(3, 2, 1), Ok(Response::Behind { position: 0 }));
    assert_eq!(ask(1, 9, 2), Err(HostError::NoRoom(11)));
    assert_eq!(ask(1, 9, 1), Ok(Response::Behind { position: 0 }));
}

#[test]
fn a_host_refuses_what_it_cannot_do() {
    let loaded = &MODELS[0];
    let (model, small) = (loaded.model.clone(), loaded.small.clone());
    let mut host = Host::new(model, small, 1..layers(loaded), Limits::default());
    let right = Request {
        layers: 1..layers(loaded),
        ..request(loaded, 0, 2)
    };
    let refused = |host: &mut Host<u32>, request| host.begin(1, request).unwrap_err();
    let all = Request {
        layers: 0..layers(loaded),
        ..right.clone()
    };
    assert!(matches!(refused(&mut host, all), HostError::NotRun(_)));
    let wanted = Request {
        wanted: 3,
        ..right.clone()
    };
    assert!(matches!(
        refused(&mut host, wanted),
        HostError::Wanted { .. }
    ));
    let mut uneven = right.clone();
    uneven.states.pop();
    uneven.wanted = 1;
    assert!(matches!(refused(&mut host, uneven), HostError::Executor(_)));
    let far = Request {
        position: usize::MAX / 2,
        ..right
    };
    host.begin(1, far).unwrap();
    assert_eq!(
        host.poll_done(),
        Some((1, Response::Behind { position: 0 }))
    );
}

proptest! {
    #[test]
    fn nothing_that_a_stranger_sends_is_more_than_an_error(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in 0_usize..100,
        to: u8,
    ) {
        let loaded = &MODELS[0];
        let mut host = host(loaded, Limits::default());
        let _ = decode_response(&bytes);
        if let Ok(request) = decode_request(&bytes) {
            let _ = host.begin(1, request);
        }
        bytes = encode_request(&request(loaded, 0, 1));
        let length = bytes.len();
        bytes[at % length] = to;
        if let Ok(request) = decode_request(&bytes) {
            let _ = host.begin(1, request);
        }
    }
}

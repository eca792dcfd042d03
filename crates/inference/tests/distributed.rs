//! Many workers, any order, losses and lies: the same bits as one process.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::{path::Path, sync::LazyLock};

use bytes::Bytes;
use common::{
    models::Loaded,
    random::{self, Chance},
};
use fragments::Fragment;
use inference::{
    Answerer, LocalAnswerer, RequestId, Sampling, Session,
    compute::{
        Exactness, Response, answer_with, decode_request, decode_response, encode_request,
        encode_response,
    },
    executor::CacheKind,
    session::{Config, Event, FinishReason, Generation, Logits},
};
use kernels::Isa;
use proptest::{prelude::*, test_runner::FileFailurePersistence};

/// Models cut as finely as they can be, so that there is something to distribute.
static MODELS: LazyLock<[Loaded; 3]> = LazyLock::new(|| {
    ["dense", "moe", "deepseek2"].map(|name| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
        let file = std::fs::read(folder.join(format!("{name}.gguf"))).unwrap();
        let header = gguf::Header::parse(&file, Some(file.len() as u64)).unwrap();
        let size = fragments::Plan::smallest_fragment_size(&header, file.len() as u64);
        Loaded::cut(&file, size as u32)
    })
});

const PROMPT: [u32; 9] = [1, 275, 401, 337, 501, 317, 455, 288, 355];

const WARM: Generation = Generation {
    sampling: Sampling {
        temperature: 1.5,
        top_k: 40,
        top_p: 0.95,
        min_p: 0.01,
        repetition_penalty: 1.1,
        repetition_window: 64,
        seed: 42,
    },
    max_tokens: 6,
    ignore_end: true,
    logits: Logits::All,
};

/// Workers, each holding some of a model's fragments; every fragment is held by one at least.
fn workers(loaded: &Loaded, count: usize, chance: &mut Chance) -> Vec<LocalAnswerer<Bytes>> {
    let mut workers: Vec<LocalAnswerer<Bytes>> = Vec::new();
    workers.resize_with(count, LocalAnswerer::new);
    for &id in &loaded.ids {
        for _ in 0..=chance.below(2) {
            let bytes = loaded.answerer.get(&id).unwrap().bytes().clone();
            workers[chance.below(count)].insert(id, Fragment::open(bytes).unwrap());
        }
    }
    workers
}

/// Runs a session over workers whose answers arrive in any order, after losses and lies.
fn run_distributed(
    session: &mut Session,
    workers: &[LocalAnswerer<Bytes>],
    chance: &mut Chance,
    faults: bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    let mut arriving: Vec<(RequestId, Vec<u8>)> = Vec::new();
    loop {
        while let Some((id, request)) = session.poll_request() {
            let request = decode_request(&encode_request(&request)).unwrap();
            let holders: Vec<_> = workers
                .iter()
                .filter(|worker| worker.get(&request.fragment).is_some())
                .collect();
            let holder = holders[chance.below(holders.len())];
            let fragment = holder.get(&request.fragment).unwrap();
            // Each on a machine of another kind.
            let kinds: Vec<Isa> = Isa::ALL
                .into_iter()
                .filter(|isa| isa.is_available())
                .collect();
            let kind = kinds[chance.below(kinds.len())];
            let response = answer_with(kind, fragment, &request).unwrap();
            arriving.push((id, encode_response(&response)));
        }
        events.extend(std::iter::from_fn(|| session.poll_event()));
        if arriving.is_empty() {
            return events;
        }
        let (id, bytes) = arriving.swap_remove(chance.below(arriving.len()));
        let mut response = decode_response(&bytes).unwrap();
        match if faults { chance.below(8) } else { 7 } {
            // Lost.
            0 => assert!(session.retry(id)),
            // Too short.
            1 => {
                response.values.pop();
                session.handle_response(id, response).unwrap_err();
                assert!(session.retry(id));
            }
            // Not a number.
            2 => {
                response.values[0] = f32::NAN;
                session.handle_response(id, response).unwrap_err();
                assert!(session.retry(id));
            }
            // Twice; and an answer to nothing at all.
            3 => {
                session.handle_response(id, response.clone()).unwrap();
                session.handle_response(id, response.clone()).unwrap();
                session
                    .handle_response(RequestId(u64::MAX), response)
                    .unwrap();
            }
            _ => session.handle_response(id, response).unwrap(),
        }
    }
}

/// The logits with their exact bits, and the tokens.
type Bits = (Vec<Vec<u32>>, Vec<u32>);

fn bits(events: &[Event]) -> Bits {
    let mut logits = Vec::new();
    let mut tokens = Vec::new();
    for event in events {
        match event {
            Event::Logits { values, .. } => {
                logits.push(values.iter().map(|v| v.to_bits()).collect())
            }
            Event::Thinking { token, .. } | Event::Token { token, .. } => tokens.push(*token),
            Event::Prompt { .. } | Event::Done(_) => {}
        }
    }
    (logits, tokens)
}

fn run_alone(session: &mut Session, loaded: &Loaded) -> Vec<Event> {
    let mut events = Vec::new();
    inference::run_local(session, &loaded.answerer, |event| events.push(event)).unwrap();
    events
}

/// What one process that holds everything says.
static ALONE: LazyLock<Vec<Bits>> = LazyLock::new(|| {
    let alone = MODELS.iter().map(|loaded| {
        let mut session = loaded.session(Config::default());
        session.begin(&PROMPT, WARM).unwrap();
        bits(&run_alone(&mut session, loaded))
    });
    alone.collect()
});

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn whoever_holds_what_and_whatever_arrives_first_the_bits_are_the_same(
        seed: u64,
        count in 1..6usize,
        batch in 1..20usize,
        faults: bool,
        kind in prop::sample::select(CacheKind::ALL.to_vec()),
    ) {
        let mut chance = Chance(seed);
        for loaded in &*MODELS {
            let workers = workers(loaded, count, &mut chance);
            let config = Config { cache: Some(kind), ..Config::default() };
            let mut session = loaded.session(config);
            session.begin(&PROMPT, WARM).unwrap();
            let alone = bits(&run_alone(&mut session, loaded));
            let mut session = loaded.session(Config { batch, ..config });
            session.begin(&PROMPT, WARM).unwrap();
            let events = run_distributed(&mut session, &workers, &mut chance, faults);
            prop_assert_eq!(bits(&events), alone);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_models_of_every_architecture_answer_the_same_however_they_are_distributed(
        seed: u64,
        count in 1..6usize,
        batch in 1..12usize,
        larger in 0..4u32,
    ) {
        for architecture in architecture::ARCHITECTURES {
            let mut chance = Chance(seed);
            let file = random::model(architecture, &mut chance);
            let header = gguf::Header::parse(&file, Some(file.len() as u64)).unwrap();
            let smallest = fragments::Plan::smallest_fragment_size(&header, file.len() as u64);
            let loaded = Loaded::cut(&file, smallest as u32 * (4 + larger) / 4);
            let vocabulary = loaded.model.hyperparameters().n_vocab as u32;
            let prompt = PROMPT.map(|token| token % vocabulary);
            let mut session = loaded.session(Config::default());
            session.begin(&prompt, WARM).unwrap();
            let alone = bits(&run_alone(&mut session, &loaded));
            let finite = alone.0.iter().flatten().all(|&bits| f32::from_bits(bits).is_finite());
            prop_assert!(finite && alone.1.len() == WARM.max_tokens, "{}", architecture.name);

            let workers = workers(&loaded, count, &mut chance);
            let mut session = loaded.session(Config { batch, ..Config::default() });
            session.begin(&prompt, WARM).unwrap();
            let events = run_distributed(&mut session, &workers, &mut chance, true);
            prop_assert_eq!(bits(&events), alone, "{}", architecture.name);
        }
    }
}

#[test]
fn the_models_are_cut_finely_enough_for_the_test_to_mean_something() {
    for loaded in &*MODELS {
        assert!(loaded.ids.len() >= 10, "{}", loaded.ids.len());
    }
}

#[test]
fn an_answer_that_is_resumed_elsewhere_goes_on_the_same() {
    for (loaded, (_, alone)) in MODELS.iter().zip(&*ALONE) {
        for said in 0..alone.len() {
            let tokens = [&PROMPT, &alone[..said]].concat();
            let mut session = loaded.session(Config::default());
            session.resume(&tokens, PROMPT.len(), WARM).unwrap();
            let events = run_alone(&mut session, loaded);
            assert_eq!(bits(&events).1, alone[said..]);
            assert_eq!(session.answer(), alone);
            assert_eq!(events.last(), Some(&Event::Done(FinishReason::Length)));
        }
    }
}

#[test]
fn a_question_after_an_answer_reads_only_what_is_new() {
    let loaded = &MODELS[0];
    let generation = Generation {
        logits: Logits::Chosen,
        ..WARM
    };
    let mut session = loaded.session(Config::default());
    session.begin(&PROMPT, generation).unwrap();
    run_alone(&mut session, loaded);
    let next = [session.tokens(), &[17, 18, 19]].concat();
    session.begin(&next, generation).unwrap();
    let kept = run_alone(&mut session, loaded);
    assert_eq!(
        kept[0],
        Event::Prompt {
            read: next.len(),
            total: next.len()
        }
    );

    let mut fresh = loaded.session(Config::default());
    fresh.begin(&next, generation).unwrap();
    assert_eq!(bits(&run_alone(&mut fresh, loaded)), bits(&kept));

    // Another question instead of the second: everything from there on is forgotten.
    let other = [&next[..next.len() - 2], &[5]].concat();
    session.begin(&other, generation).unwrap();
    fresh = loaded.session(Config::default());
    fresh.begin(&other, generation).unwrap();
    assert_eq!(
        bits(&run_alone(&mut session, loaded)),
        bits(&run_alone(&mut fresh, loaded))
    );
}

#[test]
fn a_cancelled_answer_leaves_nothing_behind() {
    let mut chance = Chance(1);
    for (loaded, alone) in MODELS.iter().zip(&*ALONE) {
        let mut session = loaded.session(Config {
            batch: 4,
            ..Config::default()
        });
        for _ in 0..20 {
            session.begin(&PROMPT, WARM).unwrap();
            let mut late = Vec::new();
            for _ in 0..chance.below(40) {
                let Some((id, request)) = session.poll_request() else {
                    break;
                };
                let response = loaded.answerer.answer(&request).unwrap();
                late.push((id, response.clone()));
                session.handle_response(id, response).unwrap();
            }
            session.cancel();
            assert_eq!(session.open_requests(), 0);
            let events: Vec<Event> = std::iter::from_fn(|| session.poll_event()).collect();
            assert_eq!(events.last(), Some(&Event::Done(FinishReason::Cancelled)));
            for (id, response) in late {
                session.handle_response(id, response).unwrap();
            }
            assert!(session.poll_event().is_none() && session.poll_request().is_none());
        }
        session.begin(&PROMPT, WARM).unwrap();
        assert_eq!(&bits(&run_alone(&mut session, loaded)), alone);
    }
}

#[test]
fn a_fragment_nobody_holds_stops_the_answer_until_somebody_does() {
    let loaded = &MODELS[1];
    let mut chance = Chance(3);
    let mut workers = workers(loaded, 1, &mut chance);
    let (missing, fragment) = loaded
        .ids
        .iter()
        .rev()
        .find_map(|id| Some((*id, workers[0].remove(id)?)))
        .unwrap();
    let mut session = loaded.session(Config::default());
    session.begin(&PROMPT, WARM).unwrap();
    let mut events = Vec::new();
    let error = inference::run_local(&mut session, &workers[0], |event| events.push(event));
    assert_eq!(
        error.unwrap_err().to_string(),
        format!("nobody holds fragment {missing}")
    );
    workers[0].insert(missing, fragment);
    inference::run_local(&mut session, &workers[0], |event| events.push(event)).unwrap();
    assert_eq!(bits(&events), ALONE[1]);
}

#[test]
fn a_full_context_ends_the_answer_and_refuses_longer_prompts() {
    let loaded = &MODELS[0];
    let config = Config {
        context: PROMPT.len() + 3,
        ..Config::default()
    };
    let mut session = loaded.session(config);
    session.begin(&PROMPT, WARM).unwrap();
    let events = run_alone(&mut session, loaded);
    assert_eq!(events.last(), Some(&Event::Done(FinishReason::ContextFull)));
    assert_eq!(session.answer(), &ALONE[0].1[..3]);
    let error = session.begin(&[1; 13], WARM).unwrap_err();
    assert_eq!(
        error.to_string(),
        "13 tokens do not fit into a context of 12"
    );
    assert!(session.begin(&[], WARM).is_err());
    let error = session.begin(&[1, 512], WARM).unwrap_err();
    assert_eq!(error.to_string(), "token 512 is not in the vocabulary");
}

#[test]
fn an_answer_ends_where_the_model_ends_it() {
    // Among enough answers by chance, one says </s>.
    let loaded = &MODELS[0];
    let mut ended = 0;
    for seed in 0..60 {
        let generation = Generation {
            sampling: Sampling {
                seed,
                temperature: 30.0,
                ..Sampling::default()
            },
            max_tokens: 40,
            ignore_end: false,
            logits: Logits::None,
        };
        let mut session = loaded.session(Config::default());
        session.begin(&PROMPT, generation).unwrap();
        let events = run_alone(&mut session, loaded);
        let end = session.answer().iter().position(|&token| token == 2);
        match end {
            Some(end) => {
                assert_eq!(end + 1, session.answer().len());
                assert_eq!(events.last(), Some(&Event::Done(FinishReason::End)));
                ended += 1;
            }
            None => assert_eq!(events.last(), Some(&Event::Done(FinishReason::Length))),
        }
    }
    assert!(ended > 0);
}

#[test]
fn the_text_of_the_events_is_the_text_of_the_answer() {
    // Random weights say bytes that are no characters, up to the last one.
    for loaded in &*MODELS {
        for max_tokens in 1..12 {
            let generation = Generation {
                max_tokens,
                logits: Logits::None,
                ..WARM
            };
            let mut session = loaded.session(Config::default());
            session.begin(&PROMPT, generation).unwrap();
            let (mut text, mut tokens) = (String::new(), Vec::new());
            for event in run_alone(&mut session, loaded) {
                if let Event::Token { token, text: more } = event {
                    text += &more;
                    tokens.push(token);
                }
            }
            // A character that was never completed is told of at the end, with the last token once more.
            tokens.truncate(session.answer().len());
            assert_eq!(tokens, session.answer());
            assert_eq!(text, loaded.model.tokenizer().decode(&tokens));
        }
    }
}

#[test]
fn answers_of_the_wrong_shape_are_refused_by_name() {
    let loaded = &MODELS[0];
    let mut session = loaded.session(Config::default());
    session.begin(&PROMPT, WARM).unwrap();
    let (id, _) = session.poll_request().unwrap();
    let response = Response {
        tokens: 1,
        width: 2,
        values: vec![0.0; 2],
        exactness: Exactness::Exact,
    };
    let error = session.handle_response(id, response).unwrap_err();
    assert!(error.to_string().contains("were asked for"), "{error}");
}

//! Answers without experts that nobody has any more.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::{collections::BTreeSet, path::Path, sync::LazyLock};

use common::models::{Loaded, largest_difference};
use fragments::{Class, FragmentId};
use inference::{
    Answerer, RequestId, Session,
    compute::Request,
    executor::Missing,
    session::{Config, Event, Generation, Logits},
};

fn vector(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    std::fs::read(folder.join(format!("{name}.gguf"))).unwrap()
}

/// Cut as finely as it can be.
fn cut(file: &[u8]) -> Loaded {
    let header = gguf::Header::parse(file, Some(file.len() as u64)).unwrap();
    let size = fragments::Plan::smallest_fragment_size(&header, file.len() as u64);
    Loaded::cut(file, size as u32)
}

/// Four experts of which two are used, for which llama.cpp's logits stand in `tests/vectors`; and one with a dense layer
/// first and a shared expert.
static MODELS: LazyLock<[Loaded; 2]> =
    LazyLock::new(|| ["moe", "deepseek2"].map(|name| cut(&vector(name))));

const PROMPT: [u32; 9] = [1, 275, 401, 337, 501, 317, 455, 288, 355];

fn generation(max_tokens: usize) -> Generation {
    Generation {
        max_tokens,
        ignore_end: true,
        logits: Logits::All,
        ..Generation::default()
    }
}

/// Every other fragment of those that only some tokens need.
fn lost(loaded: &Loaded) -> BTreeSet<FragmentId> {
    let plan = loaded.model.manifest().plan();
    let fragments = loaded.ids.iter().zip(&plan.fragments);
    let conditional = fragments.filter(|(_, plan)| plan.class == Class::Conditional);
    conditional.map(|(id, _)| *id).step_by(2).collect()
}

fn config(batch: usize, least_experts: f32) -> Config {
    Config {
        batch,
        least_experts,
        ..Config::default()
    }
}

/// Answers what is not lost, and does without the rest; says what happened.
fn run(
    session: &mut Session,
    loaded: &Loaded,
    is_lost: impl Fn(&Session, &Request) -> bool,
) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let mut waiting: Vec<_> = std::iter::from_fn(|| session.poll_request()).collect();
        if waiting.is_empty() {
            events.extend(std::iter::from_fn(|| session.poll_event()));
            return events;
        }
        // Those that are lost are found out last, when parts of the same experts have been answered.
        waiting.sort_by_key(|(_, request)| is_lost(session, request));
        for (id, request) in waiting {
            if is_lost(session, &request) {
                assert_eq!(session.do_without(id), Ok(Missing::LeftOut));
            } else {
                let response = loaded.answerer.answer(&request).unwrap();
                session.handle_response(id, response).unwrap();
            }
        }
    }
}

fn logits(events: &[Event]) -> Vec<Vec<f32>> {
    let logits = events.iter().filter_map(|event| match event {
        Event::Logits { values, .. } => Some(values.clone()),
        _ => None,
    });
    logits.collect()
}

#[test]
fn an_answer_goes_on_without_experts_and_says_how_often() {
    for loaded in &*MODELS {
        let lost = lost(loaded);
        let mut session = loaded.session(config(64, 0.0));
        session.begin(&PROMPT, generation(5)).unwrap();
        let events = run(&mut session, loaded, |_, request| {
            lost.contains(&request.fragment)
        });
        assert_eq!(session.answer().len(), 5);
        let parts = session.parts();
        let h = loaded.model.hyperparameters();
        let used: usize = (0..h.layers)
            .filter_map(|layer| h.experts_of(layer))
            .map(|experts| experts.used)
            .sum();
        // All tokens but the last, which was only chosen.
        assert_eq!(parts.experts as usize, used * (PROMPT.len() + 4));
        assert!(parts.left_out > 0 && parts.left_out < parts.experts);
        let whole = loaded.logits(&PROMPT, Config::default());
        assert!(largest_difference(&whole, &logits(&events)[..whole.len()]) > 0.0);
    }
}

#[test]
fn what_is_left_out_does_not_depend_on_the_batch() {
    for loaded in &*MODELS {
        let lost = lost(loaded);
        let outcome = |batch| {
            let mut session = loaded.session(config(batch, 0.0));
            session.begin(&PROMPT, generation(5)).unwrap();
            let events = run(&mut session, loaded, |_, request| {
                lost.contains(&request.fragment)
            });
            let parts = session.parts();
            (logits(&events), parts.experts, parts.left_out)
        };
        assert_eq!(outcome(1), outcome(64));
    }
}

/// Where two experts are used and the second is always left out, the first has all of the share: what the model gives
/// that uses one.
#[test]
fn without_the_second_expert_a_model_is_the_one_that_uses_one() {
    let file = vector("moe");
    let two = cut(&file);
    let one = cut(&with_one_expert(file));
    let experts = one.model.hyperparameters().experts.as_ref();
    assert_eq!(experts.unwrap().used, 1);
    let batch = config(1, 0.0);
    // Which parts the model with one expert asks, position by position.
    let mut asked = BTreeSet::new();
    let mut session = one.session(batch);
    session.begin(&PROMPT, generation(0)).unwrap();
    let mut reference = Vec::new();
    let mut position = 0;
    while let Some((id, request)) = session.poll_request() {
        asked.insert((position, place(&one, &request)));
        let response = one.answerer.answer(&request).unwrap();
        session.handle_response(id, response).unwrap();
        for event in std::iter::from_fn(|| session.poll_event()) {
            if let Event::Logits { values, .. } = event {
                reference.push(values);
                position += 1;
            }
        }
    }
    let mut session = two.session(batch);
    session.begin(&PROMPT, generation(0)).unwrap();
    let mut found = Vec::new();
    while let Some((id, request)) = session.poll_request() {
        if asked.contains(&(found.len(), place(&two, &request))) {
            let response = two.answerer.answer(&request).unwrap();
            session.handle_response(id, response).unwrap();
        } else {
            assert_eq!(session.do_without(id), Ok(Missing::LeftOut));
        }
        for event in std::iter::from_fn(|| session.poll_event()) {
            if let Event::Logits { values, .. } = event {
                found.push(values);
            }
        }
    }
    assert_eq!(found.len(), PROMPT.len());
    let parts = session.parts();
    assert_eq!(parts.left_out * 2, parts.experts);
    let difference = largest_difference(&reference, &found);
    assert!(difference < 1e-3, "{difference}");
    let whole = two.logits(&PROMPT, batch);
    assert!(largest_difference(&whole, &found) > 0.1);
}

/// Where a request's part is in the manifest.
fn place(loaded: &Loaded, request: &Request) -> (u32, u16) {
    let index = loaded.model.manifest().fragment_index(&request.fragment);
    (index.unwrap(), request.part)
}

/// The same file, whose header says that one expert is used.
fn with_one_expert(mut file: Vec<u8>) -> Vec<u8> {
    let key = b"llama.expert_used_count";
    let at = file.windows(key.len()).position(|it| it == key).unwrap() + key.len();
    // The type of the value, an unsigned number of 32 bits, and the value.
    assert_eq!(file[at..at + 8], [4, 0, 0, 0, 2, 0, 0, 0]);
    file[at + 4] = 1;
    file
}

#[test]
fn what_every_token_needs_cannot_be_left_out() {
    for loaded in &*MODELS {
        let mut session = loaded.session(config(64, 0.0));
        session.begin(&PROMPT, generation(5)).unwrap();
        let plan = loaded.model.manifest().plan();
        let mut tried = 0;
        while let Some((id, request)) = session.poll_request() {
            let (index, _) = place(loaded, &request);
            if plan.fragments[index as usize].class == Class::AlwaysActive {
                assert_eq!(session.do_without(id), Ok(Missing::Needed));
                tried += 1;
            }
            let response = loaded.answerer.answer(&request).unwrap();
            session.handle_response(id, response).unwrap();
        }
        assert!(tried > 10);
        assert_eq!(session.parts().left_out, 0);
        assert_eq!(
            session.answer(),
            loaded.answer(&PROMPT, Config::default(), generation(5))
        );
    }
}

#[test]
fn below_the_least_share_it_refuses_and_waits() {
    let [loaded, _] = &*MODELS;
    let lost = lost(loaded);
    let mut session = loaded.session(config(64, 0.9));
    session.begin(&PROMPT, generation(5)).unwrap();
    let (mut refused, mut left_out) = (0, 0);
    while let Some((id, request)) = session.poll_request() {
        if lost.contains(&request.fragment) {
            let before = session.parts().left_out;
            match session.do_without(id).unwrap() {
                Missing::LeftOut => {
                    left_out += session.parts().left_out - before;
                    continue;
                }
                Missing::TooMany { left_out, of } => {
                    assert!(left_out * 10 > of, "{left_out} of {of}");
                    refused += 1;
                }
                Missing::Needed => panic!("an expert is needed"),
            }
            assert_eq!(session.parts().left_out, before);
        }
        // Somebody has come back.
        let response = loaded.answerer.answer(&request).unwrap();
        session.handle_response(id, response).unwrap();
    }
    assert!(refused > 0);
    assert_eq!(session.answer().len(), 5);
    assert_eq!(session.parts().left_out, left_out);
    assert!(left_out * 10 <= session.parts().experts);
}

#[test]
fn an_answer_that_comes_too_late_changes_nothing() {
    let [loaded, _] = &*MODELS;
    let lost = lost(loaded);
    let mut session = loaded.session(config(64, 0.0));
    session.begin(&PROMPT, generation(5)).unwrap();
    let undisturbed = run(&mut session, loaded, |_, request| {
        lost.contains(&request.fragment)
    });
    let mut session = loaded.session(config(64, 0.0));
    session.begin(&PROMPT, generation(5)).unwrap();
    let mut events = Vec::new();
    while let Some((id, request)) = session.poll_request() {
        let response = loaded.answerer.answer(&request).unwrap();
        if lost.contains(&request.fragment) {
            assert_eq!(session.do_without(id), Ok(Missing::LeftOut));
            // Once more, and for nothing at all.
            assert_eq!(session.do_without(id), Ok(Missing::LeftOut));
            assert_eq!(
                session.do_without(RequestId(u64::MAX)),
                Ok(Missing::LeftOut)
            );
            assert!(!session.retry(id));
        }
        session.handle_response(id, response).unwrap();
        events.extend(std::iter::from_fn(|| session.poll_event()));
    }
    assert_eq!(logits(&events), logits(&undisturbed));
}

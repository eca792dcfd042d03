//! How keys and values are kept: rounded or not, as far back as a window goes, and from one question to the next.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use common::{models::Loaded, tiny::Tiny};
use gguf::Value;
use inference::{
    compute::{Arithmetic, Operation},
    executor::CacheKind,
    session::{Config, Event, Generation, Logits},
};
use proptest::prelude::*;

const SIZE: u32 = 64 << 10;

fn tiny(window: Option<u32>) -> Loaded {
    let mut tiny = Tiny::new().set("llama.context_length", Value::U32(4096));
    if let Some(window) = window {
        tiny = tiny.set("llama.attention.sliding_window", Value::U32(window));
    }
    Loaded::cut(&tiny.file(), SIZE)
}

fn config(cache: CacheKind, batch: usize) -> Config {
    Config {
        cache: Some(cache),
        batch,
        ..Config::default()
    }
}

fn bits(logits: &[Vec<f32>]) -> Vec<u32> {
    logits
        .iter()
        .flatten()
        .map(|value| value.to_bits())
        .collect()
}

fn tokens(count: usize, seed: u32) -> Vec<u32> {
    (0..count as u32)
        .map(|i| (i * 97 + seed * 31 + i * i * 7) % 250 + 5)
        .collect()
}

/// Reads a prompt; logits behind its last token.
fn last(loaded: &Loaded, prompt: &[u32], config: Config) -> Vec<f32> {
    loaded.logits(prompt, config).pop().unwrap()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn each_kind_is_as_near_to_the_truth_as_it_can_be() {
    let loaded = tiny(None);
    let prompt = tokens(60, 1);
    let exact = last(&loaded, &prompt, config(CacheKind::F32, 64));
    let near = |kind| distance(&exact, &last(&loaded, &prompt, config(kind, 64)));
    let (half, bytes) = (near(CacheKind::F16), near(CacheKind::Q8));
    assert!(half > 0.0 && half < 2e-3, "{half}");
    assert!(bytes > half && bytes < 5e-2, "{bytes}");
}

#[test]
fn where_none_is_chosen_the_arithmetic_chooses() {
    let loaded = tiny(None);
    let prompt = tokens(30, 2);
    for (arithmetic, kind) in [
        (Arithmetic::Quantised, CacheKind::F16),
        (Arithmetic::Reference, CacheKind::F32),
    ] {
        let chosen = |cache| Config {
            arithmetic,
            cache,
            ..Config::default()
        };
        let of = |cache| bits(&loaded.logits(&prompt, chosen(cache)));
        assert_eq!(of(None), of(Some(kind)));
    }
}

#[test]
fn what_a_window_does_not_show_changes_nothing() {
    // Two layers: the last token sees its window, and through it as much again.
    let (seen, prompt) = (2 * 8 - 1, tokens(70, 3));
    let mut other = prompt.clone();
    other[..70 - seen].fill(9);
    let (windowed, whole) = (tiny(Some(8)), tiny(None));
    for kind in CacheKind::ALL {
        let config = config(kind, 16);
        assert_eq!(
            last(&windowed, &prompt, config),
            last(&windowed, &other, config)
        );
        assert_ne!(last(&whole, &prompt, config), last(&whole, &other, config));
        other[70 - seen] = 9;
        assert_ne!(
            last(&windowed, &prompt, config),
            last(&windowed, &other, config)
        );
        other[70 - seen] = prompt[70 - seen];
    }
}

#[test]
fn a_window_wider_than_the_text_is_none() {
    let prompt = tokens(40, 4);
    let logits = |window| bits(&tiny(window).logits(&prompt, Config::default()));
    assert_eq!(logits(Some(40)), logits(None));
    assert_ne!(logits(Some(39)), logits(None));
}

#[test]
fn long_texts_say_the_same_after_old_rows_were_dropped() {
    let (loaded, prompt) = (tiny(Some(20)), tokens(1500, 5));
    for kind in CacheKind::ALL {
        let at_once = last(&loaded, &prompt, config(kind, 64));
        assert_eq!(last(&loaded, &prompt, config(kind, 7)), at_once);
        // The last tokens see the same without those that nobody looks at any more.
        assert_eq!(last(&loaded, &prompt[..], config(kind, 50)), at_once);
    }
    // A conversation goes on from where rows are still there, and else begins anew.
    let mut session = loaded.session(Config::default());
    let generation = Generation {
        max_tokens: 1,
        logits: Logits::Chosen,
        ignore_end: true,
        ..Generation::default()
    };
    let mut ask = |prompt: &[u32]| {
        session.begin(prompt, generation).unwrap();
        let mut logits = Vec::new();
        inference::run_local(&mut session, &loaded.answerer, |event| {
            if let Event::Logits { values, .. } = event {
                logits = values;
            }
        })
        .unwrap();
        logits
    };
    ask(&prompt);
    for kept in [1490, 1300, 700, 10] {
        let next = [&prompt[..kept], &tokens(30, 6)].concat();
        assert_eq!(
            ask(&next),
            last(&loaded, &next, Config::default()),
            "{kept}"
        );
    }
}

#[test]
fn a_second_question_reads_only_what_is_new() {
    let loaded = tiny(None);
    let mut session = loaded.session(Config::default());
    let generation = Generation {
        max_tokens: 6,
        ignore_end: true,
        ..Generation::default()
    };
    session.begin(&tokens(40, 7), generation).unwrap();
    inference::run_local(&mut session, &loaded.answerer, |_| {}).unwrap();
    let new = tokens(5, 8);
    let next = [session.tokens(), &new].concat();
    session.begin(&next, generation).unwrap();
    let (_, first) = session.poll_request().unwrap();
    let Operation::Embed(read) = &first.operation else {
        panic!("{first:?}")
    };
    // The last token of the answer was said, but never read.
    assert_eq!(read[..], next[45..]);
}

#[test]
fn a_full_context_is_said_in_words() {
    let loaded = tiny(Some(16));
    let mut session = loaded.session(Config {
        context: 50,
        ..Config::default()
    });
    let error = session
        .begin(&tokens(51, 9), Generation::default())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "51 tokens do not fit into a context of 50"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn batches_change_no_bit_whatever_is_kept(
        kind in prop::sample::select(CacheKind::ALL.to_vec()),
        window in prop::option::of(1u32..90),
        batch in 1usize..70,
        count in 1usize..100,
        seed in 0u32..1000,
    ) {
        let (loaded, prompt) = (tiny(window), tokens(count, seed));
        let alone = bits(&loaded.logits(&prompt, config(kind, 64)));
        prop_assert_eq!(bits(&loaded.logits(&prompt, config(kind, batch))), alone);
    }
}

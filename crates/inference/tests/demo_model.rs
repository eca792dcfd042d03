//! The model the project comes with, against llama.cpp on the same file.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::{fs, path::PathBuf};

use common::models::Loaded;
use inference::{
    session::{Config, Event, Generation},
    template::{Message, Role},
    tokenizer::Encode,
};
use serde_json::Value;

/// What rounding moves llama.cpp's own logits by in this model, with a margin.
const NOISE: f64 = 0.5;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../demo-model")
}

fn cases(name: &str) -> Vec<Value> {
    let json = fs::read_to_string(folder().join("vectors").join(name)).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    json["cases"].as_array().unwrap().clone()
}

fn ids(value: &Value) -> Vec<u32> {
    let ids = value.as_array().unwrap().iter();
    ids.map(|id| id.as_u64().unwrap() as u32).collect()
}

fn demo() -> Loaded {
    Loaded::read(&folder().join("demo.gguf"), 512 << 10)
}

#[test]
fn texts_become_llama_cpp_s_tokens() {
    let demo = demo();
    let tokenizer = demo.model.tokenizer();
    for case in cases("tokenize.json") {
        let text = case["text"].as_str().unwrap();
        let tokens = tokenizer.encode(text, Encode::default()).unwrap();
        assert_eq!(tokens, ids(&case["tokens"]), "{text:?}");
        assert_eq!(tokenizer.decode(&tokens), text);
    }
}

#[test]
fn answers_are_llama_cpp_s_wherever_its_choice_is_clear() {
    let demo = demo();
    let mut compared = 0;
    for case in cases("greedy.json") {
        let turns = case["turns"]
            .as_array()
            .unwrap()
            .iter()
            .zip([Role::User, Role::Assistant].into_iter().cycle());
        let messages: Vec<Message> = turns
            .map(|(turn, role)| Message {
                role,
                content: turn.as_str().unwrap().to_owned(),
            })
            .collect();
        let prompt = demo.model.encode_chat(&messages, None).unwrap();
        assert_eq!(prompt, ids(&case["tokens"]));

        let expected = ids(&case["continuation"]);
        let gaps = case["gaps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|gap| gap.as_f64().unwrap());
        let clear = gaps.take_while(|&gap| gap > NOISE).count();
        let generation = Generation {
            max_tokens: expected.len(),
            ..Generation::default()
        };
        let mut session = demo.session(Config::default());
        session.begin(&prompt, generation).unwrap();
        let mut text = String::new();
        inference::run_local(&mut session, &demo.answerer, |event| {
            if let Event::Token { text: more, .. } = event {
                text += &more;
            }
        })
        .unwrap();
        println!("{}\n  {text}", messages.last().unwrap().content);
        assert_eq!(session.answer()[..clear], expected[..clear], "{text}");
        if clear == expected.len() {
            assert_eq!(text, case["text"].as_str().unwrap());
            compared += 1;
        }
    }
    assert!(
        compared > 0,
        "no answer is clear from its first to its last token"
    );
}

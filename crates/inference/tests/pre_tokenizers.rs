//! Every way of splitting text that is supported, against llama.cpp on a vocabulary of this project's own, whose
//! pieces run across all borders of words. `vocabularies/make.py` makes the expectations.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use gguf::{Array, Header, Metadata, Strings, Value, Writer};
use inference::tokenizer::{Encode, Tokenizer};
use serde_json::Value as Json;

/// Where llama.cpp splits otherwise than the vocabularies' makers do, whose expressions are followed here: its
/// regular expressions know nothing of the case of letters, or of marks combined with letters, and take all blanks
/// beyond ASCII for one. The starts of the texts concerned.
const APPROXIMATED: [(&[&str], &str); 4] = [
    (
        &[
            "tekken",
            "gpt-4o",
            "llama4",
            "kanana2",
            "talkie",
            "minimax-m2",
            "kimi-k2",
        ],
        "Cafe\u{301}",
    ),
    (&["youtu", "tiny_aya", "cohere2moe"], "CamelCase"),
    (&["kimi-k2"], "CamelCase"),
    (&["deepseek-llm", "deepseek-coder"], "tabs\there"),
];

fn is_approximated(name: &str, text: &str) -> bool {
    APPROXIMATED
        .iter()
        .any(|(names, start)| names.contains(&name) && text.starts_with(start))
}

fn expectations() -> Json {
    serde_json::from_str(include_str!("vocabularies/pre-tokenizers.json")).unwrap()
}

fn texts(json: &Json) -> Vec<&str> {
    json.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

fn metadata(json: &Json, name: &str) -> Metadata {
    let strings = |key: &str| Array::String(texts(&json[key]).into_iter().collect::<Strings>());
    let len = texts(&json["vocabulary"]).len();
    let kinds = (1..=len).map(|id| if id == len { 3 } else { 1 }).collect();
    let mut writer = Writer::new();
    for (key, value) in [
        ("model", Value::String("gpt2".into())),
        ("pre", Value::String(name.into())),
        ("tokens", Value::Array(strings("vocabulary"))),
        ("merges", Value::Array(strings("merges"))),
        ("token_type", Value::Array(Array::I32(kinds))),
        ("bos_token_id", Value::U32(len as u32 - 1)),
        ("eos_token_id", Value::U32(len as u32 - 1)),
    ] {
        writer
            .metadata(&format!("tokenizer.ggml.{key}"), value)
            .unwrap();
    }
    let mut file = Vec::new();
    writer.start(&mut file).unwrap().finish().unwrap();
    Header::parse(&file, None).unwrap().metadata
}

#[test]
fn texts_are_split_as_llama_cpp_splits_them() {
    let json = expectations();
    for group in json["groups"].as_array().unwrap() {
        for name in texts(&group["names"]) {
            let tokenizer = Tokenizer::new(&metadata(&json, name)).unwrap();
            assert_eq!(
                tokenizer.adds_bos(),
                group["adds_bos"].as_bool().unwrap(),
                "{name}"
            );
            let cases = texts(&json["texts"]).into_iter();
            for (text, expected) in cases.zip(group["tokens"].as_array().unwrap()) {
                let expected: Vec<u32> = serde_json::from_value(expected.clone()).unwrap();
                let tokens = tokenizer.encode(text, Encode::default()).unwrap();
                assert_eq!(tokenizer.decode(&tokens), *text, "{name}");
                let same = !is_approximated(name, text);
                assert_eq!(tokens == expected, same, "{name}: {text:?}");
            }
        }
    }
}

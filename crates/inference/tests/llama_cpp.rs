//! Whole models against llama.cpp.
//!
//! `tests/vectors` has small ones. Set `IAP2P_GOLDEN` to a folder with larger ones of the same layout to check
//! these too.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::path::{Path, PathBuf};

use common::models::{Loaded, check, complaints};
use inference::{
    session::{Config, Generation},
    tokenizer::Encode,
};

/// Small enough that every layer is in several fragments.
const FRAGMENT_SIZE: u32 = 512 << 10;

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

fn golden() -> Option<PathBuf> {
    let folder = std::env::var_os("IAP2P_GOLDEN");
    if folder.is_none() {
        println!("skipped: IAP2P_GOLDEN is not set");
    }
    folder.map(PathBuf::from)
}

#[test]
fn a_dense_model_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "dense", FRAGMENT_SIZE);
}

#[test]
fn a_model_of_experts_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "moe", FRAGMENT_SIZE);
}

#[test]
fn a_model_with_biases_and_rope_factors_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "llama3", FRAGMENT_SIZE);
}

#[test]
fn a_model_of_mistral3_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "mistral3", FRAGMENT_SIZE);
}

#[test]
fn a_model_of_qwen3_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "qwen3", FRAGMENT_SIZE);
}

#[test]
fn a_model_of_qwen3_with_experts_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "qwen3moe", FRAGMENT_SIZE);
}

#[test]
fn a_model_of_latent_attention_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "deepseek2", FRAGMENT_SIZE);
}

#[test]
fn a_model_that_chooses_experts_by_groups_says_what_it_says_in_llama_cpp() {
    check(&vectors(), "deepseek2-groups", FRAGMENT_SIZE);
}

/// All models of a folder: `vectors.py --sweep` makes many.
#[test]
fn larger_models_of_every_architecture_say_what_they_say_in_llama_cpp() {
    let Some(folder) = golden() else { return };
    let folder = folder.join("golden");
    let names = std::fs::read_dir(&folder).unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".json").map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in names {
        let complaints = complaints(&folder, &name, 1 << 20);
        wrong.extend(
            complaints
                .into_iter()
                .map(|complaint| format!("{name}: {complaint}")),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_trained_model_tells_its_story_word_for_word() {
    let story = golden().map(|folder| folder.join("stories260K.gguf"));
    let Some(story) = story.filter(|path| path.exists()) else {
        return;
    };
    let loaded = Loaded::read(&story, 192 << 10);
    let tokenizer = loaded.model.tokenizer();
    let options = Encode {
        add_special: true,
        parse_special: false,
    };
    let prompt = tokenizer.encode("", options).unwrap();
    let generation = Generation {
        max_tokens: 100,
        ..Generation::default()
    };
    let answer = loaded.answer(&prompt, Config::default(), generation);
    let story = tokenizer.decode(&answer);
    println!("{story}");
    let start = "Once upon a time, there was a little girl named Lily. She loved to play outside in \
                 the park. One day, she saw a big, red ball. ";
    assert!(story.starts_with(start), "{story}");
}

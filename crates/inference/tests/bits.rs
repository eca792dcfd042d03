//! Whole answers have the same bits on every target. Runs natively and, as
//! `cargo test -p inference --target wasm32-unknown-unknown --test bits`, in Chromium.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;

use fragments::{Fragment, cut_in_memory};
use inference::{
    LocalAnswerer, Model, Sampling, Session, run_local,
    session::{Config, Event, Generation, Logits},
};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

const DENSE: &[u8] = include_bytes!("../../../tests/vectors/dense.gguf");
const EXPERTS: &[u8] = include_bytes!("../../../tests/vectors/moe.gguf");
const HEAD_NORMS: &[u8] = include_bytes!("../../../tests/vectors/qwen3.gguf");
const LATENT: &[u8] = include_bytes!("../../../tests/vectors/deepseek2.gguf");

/// Reads a prompt and answers by chance; a digest (FNV-1a) of the bits of all logits, and the answer.
fn answer(file: &[u8]) -> (u64, Vec<u32>) {
    let (manifest, fragments) = cut_in_memory(file, 512 << 10).unwrap();
    let mut answerer = LocalAnswerer::new();
    for (id, bytes) in fragments {
        answerer.insert(id, Fragment::open(bytes).unwrap());
    }
    let ids = manifest.fragment_ids().to_vec();
    let model = Model::new(manifest).unwrap();
    let small = model
        .small_fragments()
        .iter()
        .map(|&index| answerer.get(&ids[index as usize]).unwrap());
    let small = Arc::new(model.small_tensors(small).unwrap());
    let mut session = Session::new(Arc::new(model), small, Config::default()).unwrap();
    let sampling = Sampling {
        temperature: 1.0,
        top_p: 0.9,
        seed: 5,
        ..Sampling::default()
    };
    let generation = Generation {
        sampling,
        max_tokens: 8,
        ignore_end: true,
        logits: Logits::All,
    };
    session
        .begin(&[1, 275, 401, 337, 501, 317, 455, 288], generation)
        .unwrap();
    let mut digest = 0xcbf2_9ce4_8422_2325;
    run_local(&mut session, &answerer, |event| {
        if let Event::Logits { values, .. } = event {
            for byte in values.iter().flat_map(|value| value.to_le_bytes()) {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
    })
    .unwrap();
    (digest, session.answer().to_vec())
}

// Written down once. If they have to change, nodes of different versions can no longer answer together.

#[test]
fn a_dense_model_computes_the_bits_on_record() {
    let said = vec![506, 437, 352, 290, 218, 24, 90, 179];
    assert_eq!(answer(DENSE), (0x1941_0422_3b82_8254, said));
}

#[test]
fn a_model_of_experts_computes_the_bits_on_record() {
    let said = vec![49, 16, 278, 265, 21, 495, 45, 241];
    assert_eq!(answer(EXPERTS), (0xf437_e936_7687_4956, said));
}

#[test]
fn a_model_with_norms_of_heads_computes_the_bits_on_record() {
    let said = vec![199, 255, 255, 255, 255, 255, 255, 255];
    assert_eq!(answer(HEAD_NORMS), (0x5524_e091_d296_c90f, said));
}

#[test]
fn a_model_of_latent_attention_computes_the_bits_on_record() {
    let said = vec![329, 105, 294, 15, 272, 290, 16, 68];
    assert_eq!(answer(LATENT), (0xe113_a05e_2859_3293, said));
}

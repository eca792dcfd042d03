//! The same bits whatever computes them. Runs natively and, as
//! `cargo test -p kernels --target wasm32-unknown-unknown --test bits`, in Chromium.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{
    EXPECTED, Random, digests, every_way_gives_the_same_bits, supported, values, weights,
};
use kernels::{Activations, Isa, encoding_for, matmul};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

#[test]
fn rows_tokens_and_instruction_sets_change_no_bit() {
    for ty in supported() {
        for seed in 0..200 {
            every_way_gives_the_same_bits(ty, seed);
        }
    }
}

#[test]
fn many_tokens_are_many_times_one_token() {
    let random = &mut Random(1);
    for ty in supported() {
        // More than any kernel takes in one pass, and a few.
        let (rows, cols, tokens) = (21, 256, 135);
        let weights = weights(ty, rows, cols, false, random);
        let encoding = encoding_for(ty).unwrap();
        let input = values(cols * tokens, false, random);
        let product = |input: &[f32]| {
            let x = Activations::encode(encoding, cols, input).unwrap();
            let mut y = vec![0.0; rows * x.tokens()];
            matmul(ty, &weights, rows, &x, &mut y).unwrap();
            y
        };
        let one_by_one: Vec<f32> = input.chunks(cols).flat_map(product).collect();
        assert_eq!(product(&input), one_by_one, "{}", ty.name());
    }
}

#[cfg(feature = "threads")]
#[test]
fn the_number_of_threads_changes_no_bit() {
    let random = &mut Random(3);
    for ty in supported() {
        for tokens in [1, 5] {
            let (rows, cols) = (1237, 2048);
            let weights = weights(ty, rows, cols, false, random);
            let input = values(cols * tokens, false, random);
            let x = Activations::encode(encoding_for(ty).unwrap(), cols, &input).unwrap();
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
                let mut y = vec![0.0; rows * tokens];
                let product = || matmul(ty, &weights, rows, &x, &mut y).unwrap();
                pool.build().unwrap().install(product);
                y
            };
            assert_eq!(with(1), with(3), "{}", ty.name());
        }
    }
}

#[test]
fn every_target_and_instruction_set_computes_the_bits_on_record() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        assert_eq!(digests(isa), EXPECTED, "{isa}");
    }
}

#[cfg(target_arch = "wasm32")]
#[test]
fn the_browser_runs_the_vector_kernels() {
    let relaxed = cfg!(target_feature = "relaxed-simd");
    let best = if relaxed {
        Isa::RelaxedSimd
    } else {
        Isa::Simd128
    };
    assert_eq!(Isa::best(), best);
}

#[cfg(not(target_arch = "wasm32"))]
proptest::proptest! {
    #[test]
    fn no_seed_changes_a_bit(index in 0..supported().count(), seed: u64) {
        every_way_gives_the_same_bits(supported().nth(index).unwrap(), seed);
    }
}

//! The same bits whatever computes them. Runs natively and, as
//! `cargo test -p kernels --target wasm32-unknown-unknown --test bits`, in Chromium.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{EXPECTED, digests, every_way_gives_the_same_bits, supported};
use kernels::Isa;
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
fn every_target_and_instruction_set_computes_the_bits_on_record() {
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        assert_eq!(digests(isa), EXPECTED, "{isa}");
    }
}

#[cfg(target_arch = "wasm32")]
#[test]
fn the_browser_runs_the_vector_kernels() {
    assert_eq!(Isa::best(), Isa::Simd128);
}

#[cfg(not(target_arch = "wasm32"))]
proptest::proptest! {
    #[test]
    fn no_seed_changes_a_bit(index in 0..supported().count(), seed: u64) {
        every_way_gives_the_same_bits(supported().nth(index).unwrap(), seed);
    }
}

//! The checks of `tests/bits.rs` as a WebAssembly module without imports, so that any engine can
//! run them; `tests/run_in_wasmtime.py` runs them in wasmtime. A failed check is a trap.

#[path = "../tests/common/mod.rs"]
mod common;

use kernels::Isa;

/// Whether the vector kernels are what [`kernels::matmul`] uses.
#[unsafe(no_mangle)]
pub extern "C" fn is_simd128() -> bool {
    matches!(Isa::best(), Isa::Simd128 | Isa::RelaxedSimd)
}

/// Compares all instruction sets on every type with one seed.
#[unsafe(no_mangle)]
pub extern "C" fn check(seed: u64) {
    common::supported().for_each(|ty| common::every_way_gives_the_same_bits(ty, seed));
}

/// Whether the digests of all instruction sets are those on record.
#[unsafe(no_mangle)]
pub extern "C" fn digests_match() -> bool {
    Isa::ALL
        .into_iter()
        .filter(|isa| isa.is_available())
        .all(|isa| common::digests(isa) == common::EXPECTED)
}

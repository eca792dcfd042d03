//! Weights that are floats, with 128-bit SIMD of WebAssembly.

use std::arch::wasm32::*;

use super::Octets;
use crate::lanes::{Lanes, wasm::Wasm};

#[derive(Clone, Copy)]
pub(crate) struct Simd128;

impl Octets for Simd128 {
    const ROWS: usize = 4;
    type Octet = [v128; 2];

    #[inline(always)]
    fn zero(self) -> [v128; 2] {
        [f32x4_splat(0.0); 2]
    }

    #[inline(always)]
    fn load(self, from: &[f32; 8]) -> [v128; 2] {
        [load(from, 0), load(from, 4)]
    }

    #[inline(always)]
    fn floats(self, raw: &[[u8; 4]; 8]) -> [v128; 2] {
        [load(raw, 0), load(raw, 4)]
    }

    #[inline(always)]
    fn halves(self, raw: &[[u8; 2]; 8]) -> [v128; 2] {
        let raw = load(raw, 0);
        [
            Wasm::ONE.half([u32x4_extend_low_u16x8(raw)])[0],
            Wasm::ONE.half([u32x4_extend_high_u16x8(raw)])[0],
        ]
    }

    #[inline(always)]
    fn bfloats(self, raw: &[[u8; 2]; 8]) -> [v128; 2] {
        let (raw, zero) = (load(raw, 0), u16x8_splat(0));
        [
            i16x8_shuffle::<8, 0, 9, 1, 10, 2, 11, 3>(raw, zero),
            i16x8_shuffle::<8, 4, 9, 5, 10, 6, 11, 7>(raw, zero),
        ]
    }

    #[inline(always)]
    fn add_product(self, sum: [v128; 2], a: [v128; 2], b: [v128; 2]) -> [v128; 2] {
        [
            f32x4_add(sum[0], f32x4_mul(a[0], b[0])),
            f32x4_add(sum[1], f32x4_mul(a[1], b[1])),
        ]
    }

    #[inline(always)]
    fn to_array(self, v: [v128; 2]) -> [f32; 8] {
        let mut out = [0.0f32; 8];
        // SAFETY: the array holds the eight numbers of the two vectors.
        unsafe {
            v128_store(out.as_mut_ptr().cast(), v[0]);
            v128_store(out.as_mut_ptr().add(4).cast(), v[1]);
        }
        out
    }
}

/// 16 bytes from the middle of an array.
#[inline(always)]
fn load<T: Copy, const N: usize>(from: &[T; N], at: usize) -> v128 {
    assert!((at * size_of::<T>()) + 16 <= size_of_val(from));
    // SAFETY: the 16 bytes lie inside the array, and any bytes are a vector.
    unsafe { v128_load(from.as_ptr().add(at).cast()) }
}

//! Weights that are floats, with AVX2.

use std::arch::x86_64::*;

use crate::formats::Plain;

#[target_feature(enable = "avx2,f16c")]
pub(crate) fn products<P: Plain>(
    weights: &[u8],
    row_bytes: usize,
    x: &[f32],
    y: &mut [&mut [f32]],
) {
    // SAFETY: this function needs the same instructions.
    super::products::<P>(weights, row_bytes, x, y, |raw| unsafe {
        P::widen_avx2(raw)
    });
}

/// The values of eight half-precision numbers.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(crate) fn widen_halves(raw: &[[u8; 2]; 8]) -> [f32; 8] {
    to_array(_mm256_cvtph_ps(load_half(raw)))
}

/// The values of eight bfloat16 numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn widen_bfloats(raw: &[[u8; 2]; 8]) -> [f32; 8] {
    let wide = _mm256_cvtepu16_epi32(load_half(raw));
    to_array(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
}

/// The values of eight single-precision numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn widen_floats(raw: &[[u8; 4]; 8]) -> [f32; 8] {
    to_array(_mm256_castsi256_ps(load(raw)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_array(v: __m256) -> [f32; 8] {
    let mut out = [0.0; 8];
    // SAFETY: the array holds the eight numbers of the vector.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) };
    out
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(from: &[[u8; 4]; 8]) -> __m256i {
    // SAFETY: the array has the 32 bytes of the vector.
    unsafe { _mm256_loadu_si256(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_half(from: &[[u8; 2]; 8]) -> __m128i {
    // SAFETY: the array has the 16 bytes of the vector.
    unsafe { _mm_loadu_si128(from.as_ptr().cast()) }
}

use super::{Blocks, Unpacked, half};

/// 32 weights: half-precision scale, 32 signed bytes.
pub(crate) enum Q80 {}

const BYTES: usize = 34;

impl Blocks for Q80 {
    const LEN: usize = 32;
    const BYTES: usize = BYTES;
    const MINS: bool = false;
    const SCALES: bool = false;
    #[cfg(target_arch = "x86_64")]
    const AVX2: Option<crate::avx2::Dot> = Some(avx2::dot);
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    const SIMD128: Option<crate::simd128::Dot> = Some(simd128::dot);

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 0);
        for (q, b) in out.quants.iter_mut().zip(&block[2..34]) {
            *q = *b as i8;
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use crate::avx2::{Token, dot_groups, load};

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        dot_groups::<{ super::BYTES }, 0>(row, x, |w, x| sum(w, x))
    }

    /// Products are of unsigned with signed bytes, so the sign of the weight moves to the
    /// activation. That is never −128, so neither its negation nor the sum of two products
    /// overflows.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn sum(block: &[u8; super::BYTES], x: &[i8; 32]) -> __m256i {
        let w = load(block, 2);
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(load(x, 0), w));
        _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use std::arch::wasm32::*;

    use crate::simd128::{Token, dot_groups, load};

    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        dot_groups::<{ super::BYTES }, 0>(row, x, sum)
    }

    #[inline(always)]
    fn sum(block: &[u8; super::BYTES], x: &[i16; 32]) -> v128 {
        let mut sum = i32x4_splat(0);
        for half in 0..2 {
            let w = load(block, 2 + 16 * half);
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(w), load(x, 16 * half));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(w), load(x, 16 * half + 8));
            sum = i32x4_add(sum, i32x4_add(low, high));
        }
        sum
    }
}

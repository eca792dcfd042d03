use super::q4_k::unpack_scales;
use super::{Blocks, Unpacked};

/// 256 weights: as Q4_K, with 32 bytes of fifth bits before the quants; bit `j` of byte `i`
/// belongs to the weight `32·j + i`.
pub(crate) enum Q5K {}

const BYTES: usize = 176;

impl Blocks for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = BYTES;
    const MINS: bool = true;
    const SCALES: bool = true;
    #[cfg(target_arch = "x86_64")]
    const AVX2: Option<crate::avx2::Dot> = Some(avx2::dot);
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    const SIMD128: Option<crate::simd128::Dot> = Some(simd128::dot);

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        unpack_scales(block, out);
        let fifth = &block[16..48];
        for (j, bytes) in block[48..176].chunks_exact(32).enumerate() {
            let quants = &mut out.quants[64 * j..64 * j + 64];
            for (i, b) in bytes.iter().enumerate() {
                quants[i] = ((b & 15) | (((fifth[i] >> (2 * j)) & 1) << 4)) as i8;
                quants[i + 32] = ((b >> 4) | (((fifth[i] >> (2 * j + 1)) & 1) << 4)) as i8;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::super::q4_k::avx2::{broadcast, scales};
    use crate::avx2::{Token, load, term_with_min};

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        let (blocks, _) = row.as_chunks::<{ super::BYTES }>();
        let mut total = 0.0;
        for (w, x) in blocks.iter().zip(x.wide_blocks()) {
            let (scales, mins) = scales(w);
            let mut fifth = load(w, 16);
            let mut sum = _mm256_setzero_si256();
            for j in 0..4 {
                let packed = load(w, 48 + 32 * j);
                let mask = _mm256_set1_epi8(15);
                let low = _mm256_and_si256(packed, mask);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(packed), mask);
                // The two lowest bits of each byte, moved to where the fifth bit belongs.
                let bit = _mm256_set1_epi8(16);
                let low_bit = _mm256_and_si256(_mm256_slli_epi16::<4>(fifth), bit);
                let high_bit = _mm256_and_si256(_mm256_slli_epi16::<3>(fifth), bit);
                fifth = _mm256_srli_epi16::<2>(fifth);
                let low = _mm256_or_si256(low, low_bit);
                let high = _mm256_or_si256(high, high_bit);
                let low = _mm256_maddubs_epi16(low, load(x.quants, 64 * j));
                let high = _mm256_maddubs_epi16(high, load(x.quants, 64 * j + 32));
                let low = _mm256_madd_epi16(low, broadcast(scales, 2 * j));
                let high = _mm256_madd_epi16(high, broadcast(scales, 2 * j + 1));
                sum = _mm256_add_epi32(sum, _mm256_add_epi32(low, high));
            }
            total += term_with_min(w, sum, mins, &x);
        }
        total
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use std::arch::wasm32::*;

    use super::super::q4_k::scales_and_mins;
    use crate::simd128::{Token, dot_u8, load, term_with_min};

    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        let (blocks, _) = row.as_chunks::<{ super::BYTES }>();
        let mut total = 0.0;
        for (w, x) in blocks.iter().zip(x.wide_blocks()) {
            let bytes = scales_and_mins(w);
            let mut fifth = [load(w, 16), load(w, 32)];
            let mut sum = i32x4_splat(0);
            for j in 0..4 {
                let mut low = i32x4_splat(0);
                let mut high = i32x4_splat(0);
                for (half, fifth) in fifth.iter_mut().enumerate() {
                    let packed = load(w, 48 + 32 * j + 16 * half);
                    // The two lowest bits of each byte, moved to where the fifth bit belongs.
                    let bit = u8x16_splat(16);
                    let low_bit = v128_and(u16x8_shl(*fifth, 4), bit);
                    let high_bit = v128_and(u16x8_shl(*fifth, 3), bit);
                    *fifth = u16x8_shr(*fifth, 2);
                    let a = v128_or(v128_and(packed, u8x16_splat(15)), low_bit);
                    let b = v128_or(u8x16_shr(packed, 4), high_bit);
                    low = i32x4_add(low, dot_u8(a, x.quants, 64 * j + 16 * half));
                    high = i32x4_add(high, dot_u8(b, x.quants, 64 * j + 32 + 16 * half));
                }
                let low = i32x4_mul(low, i32x4_splat(i32::from(bytes[2 * j])));
                let high = i32x4_mul(high, i32x4_splat(i32::from(bytes[2 * j + 1])));
                sum = i32x4_add(sum, i32x4_add(low, high));
            }
            total += term_with_min(w, sum, &bytes, &x);
        }
        total
    }
}

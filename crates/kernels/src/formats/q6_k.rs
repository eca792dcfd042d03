use super::{Blocks, Unpacked, half};

/// 256 weights: 128 bytes of low halves, 64 bytes of upper pairs of bits, 16 signed scales, `d`;
/// quants are 32 too large. Each half of the block is laid out by itself.
pub(crate) enum Q6K {}

const BYTES: usize = 210;

impl Blocks for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = BYTES;
    const MINS: bool = false;
    const SCALES: bool = true;
    #[cfg(target_arch = "x86_64")]
    const AVX2: Option<crate::avx2::Dot> = Some(avx2::dot);
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    const SIMD128: Option<crate::simd128::Dot> = Some(simd128::dot);

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 208);
        for (scale, b) in out.scales.iter_mut().zip(&block[192..208]) {
            *scale = i16::from(*b as i8);
        }
        for (h, quants) in out.quants.chunks_exact_mut(128).enumerate() {
            let low = &block[64 * h..64 * h + 64];
            let high = &block[128 + 32 * h..160 + 32 * h];
            for i in 0..32 {
                quants[i] = ((low[i] & 15) | ((high[i] & 3) << 4)) as i8 - 32;
                quants[i + 32] = ((low[i + 32] & 15) | (((high[i] >> 2) & 3) << 4)) as i8 - 32;
                quants[i + 64] = ((low[i] >> 4) | (((high[i] >> 4) & 3) << 4)) as i8 - 32;
                quants[i + 96] = ((low[i + 32] >> 4) | ((high[i] >> 6) << 4)) as i8 - 32;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::super::half;
    use crate::avx2::{Token, add_all, load, load_half};

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        let (blocks, _) = row.as_chunks::<{ super::BYTES }>();
        let mut total = 0.0;
        for (w, x) in blocks.iter().zip(x.wide_blocks()) {
            let scales = _mm256_cvtepi8_epi16(load_half(w, 192));
            // What the quants are too large by, times the scales, times the activations.
            let excess = _mm256_slli_epi32::<5>(_mm256_madd_epi16(scales, load(x.sums16, 0)));
            let halves = [
                _mm256_permute2x128_si256::<0x00>(scales, scales),
                _mm256_permute2x128_si256::<0x11>(scales, scales),
            ];
            let mut sum = _mm256_setzero_si256();
            for (h, scales) in halves.into_iter().enumerate() {
                for (g, quants) in unpack(w, h).into_iter().enumerate() {
                    let pairs = _mm256_maddubs_epi16(quants, load(x.quants, 128 * h + 32 * g));
                    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, pick(scales, g)));
                }
            }
            let sum = add_all(_mm256_sub_epi32(sum, excess));
            total += (half(w, 208) * x.scale) * sum as f32;
        }
        total
    }

    /// Half a block as four times 32 quants, 0 to 63.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn unpack(w: &[u8; super::BYTES], h: usize) -> [__m256i; 4] {
        let (a, b) = (load(w, 64 * h), load(w, 64 * h + 32));
        let high = load(w, 128 + 32 * h);
        let low = _mm256_set1_epi8(15);
        let pair = _mm256_set1_epi8(0x30);
        let join = |l, h| _mm256_or_si256(_mm256_and_si256(l, low), _mm256_and_si256(h, pair));
        [
            join(a, _mm256_slli_epi16::<4>(high)),
            join(b, _mm256_slli_epi16::<2>(high)),
            join(_mm256_srli_epi16::<4>(a), high),
            join(_mm256_srli_epi16::<4>(b), _mm256_srli_epi16::<2>(high)),
        ]
    }

    /// Scale `2·g` of eight in the lower half, scale `2·g + 1` in the upper.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn pick(scales: __m256i, g: usize) -> __m256i {
        let first = (4 * g) as i16 | ((4 * g as i16 + 1) << 8);
        let indices = _mm256_set_m128i(_mm_set1_epi16(first + 0x0202), _mm_set1_epi16(first));
        _mm256_shuffle_epi8(scales, indices)
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use std::arch::wasm32::*;

    use super::super::half;
    use crate::simd128::{Token, add_all, dot_u8, load};

    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        let (blocks, _) = row.as_chunks::<{ super::BYTES }>();
        let mut total = 0.0;
        for (w, x) in blocks.iter().zip(x.wide_blocks()) {
            let scales = load(w, 192);
            // What the quants are too large by, times the scales, times the activations.
            let excess = i32x4_add(
                i32x4_dot_i16x8(i16x8_extend_low_i8x16(scales), load(x.sums16, 0)),
                i32x4_dot_i16x8(i16x8_extend_high_i8x16(scales), load(x.sums16, 8)),
            );
            let mut sum = i32x4_neg(i32x4_shl(excess, 5));
            for h in 0..2 {
                for column in 0..2 {
                    for (g, quants) in unpack(w, h, column).into_iter().enumerate() {
                        let at = 8 * h + 2 * g + column;
                        let scale = i32x4_splat(i32::from(w[192 + at] as i8));
                        sum = i32x4_add(sum, i32x4_mul(dot_u8(quants, x.quants, 16 * at), scale));
                    }
                }
            }
            total += (half(w, 208) * x.scale) * add_all(sum) as f32;
        }
        total
    }

    /// One of two columns of half a block as four times 16 quants, 0 to 63.
    #[inline(always)]
    fn unpack(w: &[u8; super::BYTES], h: usize, column: usize) -> [v128; 4] {
        let (a, b) = (
            load(w, 64 * h + 16 * column),
            load(w, 64 * h + 32 + 16 * column),
        );
        let high = load(w, 128 + 32 * h + 16 * column);
        let low = u8x16_splat(15);
        let pair = u8x16_splat(0x30);
        [
            v128_or(v128_and(a, low), v128_and(u16x8_shl(high, 4), pair)),
            v128_or(v128_and(b, low), v128_and(u16x8_shl(high, 2), pair)),
            v128_or(u8x16_shr(a, 4), v128_and(high, pair)),
            v128_or(u8x16_shr(b, 4), v128_and(u16x8_shr(high, 2), pair)),
        ]
    }
}

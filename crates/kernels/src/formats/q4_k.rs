use super::{Blocks, Unpacked, half};

/// 256 weights: `d`, `dmin`, 12 bytes of scales and minima, 128 bytes of two quants each, in which
/// 32 low halves are followed by the 32 high halves of the same bytes.
pub(crate) enum Q4K {}

const BYTES: usize = 144;

impl Blocks for Q4K {
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
        for (bytes, quants) in block[16..144]
            .chunks_exact(32)
            .zip(out.quants.chunks_exact_mut(64))
        {
            for (i, b) in bytes.iter().enumerate() {
                quants[i] = (b & 15) as i8;
                quants[i + 32] = (b >> 4) as i8;
            }
        }
    }
}

/// What Q4_K and Q5_K have in common: `d`, `dmin`, the scales and minima.
#[inline(always)]
pub(super) fn unpack_scales(block: &[u8], out: &mut Unpacked) {
    out.d = half(block, 0);
    out.dmin = half(block, 2);
    let bytes = scales_and_mins(block);
    for i in 0..16 {
        out.scales[i] = i16::from(bytes[i / 2]);
        out.mins[i] = i16::from(bytes[8 + i / 2]);
    }
}

/// Eight six-bit scales and eight six-bit minima, one per 32 weights, from bytes 4 to 15.
///
/// The first four of each are the low six bits of a byte; the last four are put together from the
/// halves of the last four bytes and the two bits left over in the others.
#[inline(always)]
pub(super) fn scales_and_mins(block: &[u8]) -> [u8; 16] {
    let word =
        |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let (scales, mins, rest) = (word(4), word(8), word(12));
    let words = [
        scales & 0x3f3f_3f3f,
        (rest & 0x0f0f_0f0f) | ((scales >> 2) & 0x3030_3030),
        mins & 0x3f3f_3f3f,
        ((rest >> 4) & 0x0f0f_0f0f) | ((mins >> 2) & 0x3030_3030),
    ];
    let mut bytes = [0; 16];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2 {
    use std::arch::x86_64::*;

    use crate::avx2::{Token, load, term_with_min};

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        let (blocks, _) = row.as_chunks::<{ super::BYTES }>();
        let mut total = 0.0;
        for (w, x) in blocks.iter().zip(x.wide_blocks()) {
            let (scales, mins) = scales(w);
            let mut sum = _mm256_setzero_si256();
            for j in 0..4 {
                let packed = load(w, 16 + 32 * j);
                let mask = _mm256_set1_epi8(15);
                let low = _mm256_and_si256(packed, mask);
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(packed), mask);
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

    /// The scales, twice, and the minima, as 16-bit numbers.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn scales<const N: usize>(block: &[u8; N]) -> (__m256i, __m128i) {
        let bytes = super::scales_and_mins(block);
        let both = _mm256_cvtepu8_epi16(crate::avx2::load_half(&bytes, 0));
        let scales = _mm256_permute4x64_epi64::<0b0100_0100>(both);
        (scales, _mm256_extracti128_si256::<1>(both))
    }

    /// Scale number `i` in all places.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn broadcast(scales: __m256i, i: usize) -> __m256i {
        let i = i as i16;
        _mm256_shuffle_epi8(scales, _mm256_set1_epi16((2 * i) | ((2 * i + 1) << 8)))
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) mod simd128 {
    use std::arch::wasm32::*;

    use crate::simd128::{Token, dot_u8, load, term_with_min};

    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        let (blocks, _) = row.as_chunks::<{ super::BYTES }>();
        let mut total = 0.0;
        for (w, x) in blocks.iter().zip(x.wide_blocks()) {
            let bytes = super::scales_and_mins(w);
            let mut sum = i32x4_splat(0);
            for j in 0..4 {
                let packed = [load(w, 16 + 32 * j), load(w, 32 + 32 * j)];
                let mask = u8x16_splat(15);
                let low = i32x4_add(
                    dot_u8(v128_and(packed[0], mask), x.quants, 64 * j),
                    dot_u8(v128_and(packed[1], mask), x.quants, 64 * j + 16),
                );
                let high = i32x4_add(
                    dot_u8(u8x16_shr(packed[0], 4), x.quants, 64 * j + 32),
                    dot_u8(u8x16_shr(packed[1], 4), x.quants, 64 * j + 48),
                );
                let low = i32x4_mul(low, i32x4_splat(i32::from(bytes[2 * j])));
                let high = i32x4_mul(high, i32x4_splat(i32::from(bytes[2 * j + 1])));
                sum = i32x4_add(sum, i32x4_add(low, high));
            }
            total += term_with_min(w, sum, &bytes, &x);
        }
        total
    }
}

use super::q4_0::nibbles;
use super::{Blocks, Unpacked, half};

/// 32 weights: half-precision scale, 32 fifth bits, 16 bytes of two quants; quants are 16 too
/// large.
pub(crate) enum Q50 {}

const BYTES: usize = 22;

impl Blocks for Q50 {
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
        nibbles(&block[6..22], &mut out.quants);
        fifth_bits(&block[2..6], &mut out.quants);
        out.quants[..32].iter_mut().for_each(|q| *q -= 16);
    }
}

/// 32 weights: half-precision scale, half-precision minimum, 32 fifth bits, 16 bytes of two quants.
pub(crate) enum Q51 {}

impl Blocks for Q51 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    const MINS: bool = true;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 0);
        out.dmin = -half(block, 2);
        out.mins[..2].fill(1);
        nibbles(&block[8..24], &mut out.quants);
        fifth_bits(&block[4..8], &mut out.quants);
    }
}

/// Adds a fifth bit to each of 32 quants.
#[inline(always)]
fn fifth_bits(bytes: &[u8], out: &mut [i8; 256]) {
    // The byte that holds the bit, beside each quant: so the compiler finds vectors in the loop.
    let spread: [u8; 32] = std::array::from_fn(|i| bytes[i / 8]);
    for (i, (quant, byte)) in out.iter_mut().zip(spread).enumerate() {
        *quant |= if byte & (1 << (i % 8)) == 0 { 0 } else { 16 };
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use crate::avx2::{Token, dot_groups, load, load_half};

    #[target_feature(enable = "avx2,f16c")]
    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        dot_groups::<{ super::BYTES }, 16>(row, x, |w, x| sum(w, x))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn sum(block: &[u8; super::BYTES], x: &[i8; 32]) -> __m256i {
        let packed = load_half(block, 6);
        let low = _mm256_and_si256(
            _mm256_set_m128i(_mm_srli_epi16::<4>(packed), packed),
            _mm256_set1_epi8(15),
        );
        // Byte i of the result sees the byte that holds bit i, and asks for that bit alone.
        let bits = i32::from_le_bytes([block[2], block[3], block[4], block[5]]);
        let spread = _mm256_shuffle_epi8(
            _mm256_set1_epi32(bits),
            _mm256_setr_epi64x(
                0,
                0x0101_0101_0101_0101,
                0x0202_0202_0202_0202,
                0x0303_0303_0303_0303,
            ),
        );
        let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201u64 as i64);
        let set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
        let quants = _mm256_or_si256(low, _mm256_and_si256(set, _mm256_set1_epi8(16)));
        _mm256_madd_epi16(
            _mm256_maddubs_epi16(quants, load(x, 0)),
            _mm256_set1_epi16(1),
        )
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128 {
    use std::arch::wasm32::*;

    use crate::simd128::{Token, dot_groups, dot_u8, load};

    pub(super) fn dot(row: &[u8], x: &Token<'_>) -> f32 {
        dot_groups::<{ super::BYTES }, 16>(row, x, sum)
    }

    #[inline(always)]
    fn sum(block: &[u8; super::BYTES], x: &[i16; 32]) -> v128 {
        let packed = load(block, 6);
        let bits = i32x4_splat(i32::from_le_bytes([block[2], block[3], block[4], block[5]]));
        let bit = i64x2_splat(0x8040_2010_0804_0201u64 as i64);
        let fifth = |spread| v128_and(i8x16_eq(v128_and(spread, bit), bit), u8x16_splat(16));
        let first = u8x16_swizzle(bits, i64x2(0, 0x0101_0101_0101_0101));
        let second = u8x16_swizzle(bits, i64x2(0x0202_0202_0202_0202, 0x0303_0303_0303_0303));
        let low = v128_or(v128_and(packed, u8x16_splat(15)), fifth(first));
        let high = v128_or(u8x16_shr(packed, 4), fifth(second));
        i32x4_add(dot_u8(low, x, 0), dot_u8(high, x, 16))
    }
}

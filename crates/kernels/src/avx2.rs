//! What the AVX2 kernels share. The products themselves stand beside the formats.
//!
//! Functions with `#[target_feature]` are safe to call from one another; the one place where the
//! promise is made that the machine has the instructions is [`crate::matmul_with`].

use std::arch::x86_64::*;

use crate::activations::Quantised;
use crate::batch::{Pair, Quad, ROWS, TILE, TOKENS};
use crate::formats::{Blocks, Plain, half};
use crate::token::Wide;
use crate::{activations::canonical, batch, floats};

/// The product of a packed row with one token. Needs AVX2 and F16C.
pub(crate) type Dot = unsafe fn(&[u8], &Token<'_>) -> f32;
pub(crate) type Token<'a> = crate::token::Token<'a, i8>;

#[target_feature(enable = "avx2,f16c")]
pub(crate) fn blocks<B: Blocks>(weights: &[u8], row_bytes: usize, x: &Quantised, y: &mut [f32]) {
    let rows = weights.len() / row_bytes;
    let width = row_bytes / B::BYTES * B::LEN;
    let tokens = y.len() / rows;
    let together = if B::AVX2.is_some() {
        batch::together(tokens, 8)
    } else {
        tokens
    };
    if together > 0 {
        batch::blocks::<B>(
            weights,
            row_bytes,
            x,
            together,
            y,
            |pair, quad, blocks, total| {
                if B::LEN == 32 && B::MINS {
                    batch::tile::<B>(pair, quad, blocks, total);
                } else {
                    tile::<B>(pair, quad, blocks, total);
                }
            },
        );
    }
    if let Some(dot) = B::AVX2 {
        for (r, row) in weights.chunks_exact(row_bytes).enumerate() {
            for t in together..tokens {
                let x = Token::new(x, &x.quants[t * width..(t + 1) * width], t);
                // SAFETY: this function needs the same instructions.
                y[t * rows + r] = canonical(unsafe { dot(row, &x) });
            }
        }
    }
}

#[target_feature(enable = "avx2,f16c")]
pub(crate) fn plain<P: Plain>(weights: &[u8], row_bytes: usize, x: &[f32], y: &mut [f32]) {
    // SAFETY: this function needs the same instructions.
    floats::products::<P>(weights, row_bytes, x, y, |raw| unsafe {
        P::widen_avx2(raw)
    });
}

/// The values of eight half-precision numbers.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(crate) fn widen_halves(raw: &[[u8; 2]; 8]) -> [f32; 8] {
    to_array(_mm256_cvtph_ps(load_half(raw, 0)))
}

/// The values of eight bfloat16 numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn widen_bfloats(raw: &[[u8; 2]; 8]) -> [f32; 8] {
    let wide = _mm256_cvtepu16_epi32(load_half(raw, 0));
    to_array(_mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide)))
}

/// The values of eight single-precision numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn widen_floats(raw: &[[u8; 4]; 8]) -> [f32; 8] {
    to_array(_mm256_castsi256_ps(load(raw, 0)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_array(v: __m256) -> [f32; 8] {
    let mut out = [0.0; 8];
    // SAFETY: the array holds the eight numbers of the vector.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), v) };
    out
}

/// 32 bytes from the middle of an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load<T: Copy, const N: usize>(from: &[T; N], at: usize) -> __m256i {
    assert!((at * size_of::<T>()) + 32 <= size_of_val(from));
    // SAFETY: the 32 bytes lie inside the array, and any bytes are a vector.
    unsafe { _mm256_loadu_si256(from.as_ptr().add(at).cast()) }
}

/// 16 bytes from the middle of an array.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn load_half<T: Copy, const N: usize>(from: &[T; N], at: usize) -> __m128i {
    assert!((at * size_of::<T>()) + 16 <= size_of_val(from));
    // SAFETY: the 16 bytes lie inside the array, and any bytes are a vector.
    unsafe { _mm_loadu_si128(from.as_ptr().add(at).cast()) }
}

/// The sum of the eight numbers.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn add_all(v: __m256i) -> i32 {
    let v = add_halves(v);
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b01_00_11_10>(v));
    let v = _mm_add_epi32(v, _mm_shuffle_epi32::<0b10_11_00_01>(v));
    _mm_cvtsi128_si32(v)
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_halves(v: __m256i) -> __m128i {
    _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v))
}

/// The sums of the eight numbers of each of eight vectors.
#[inline]
#[target_feature(enable = "avx2")]
fn add_each(v: [__m256i; 8]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = v;
    let first = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let second = _mm256_hadd_epi32(_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let low = _mm256_permute2x128_si256::<0x20>(first, second);
    let high = _mm256_permute2x128_si256::<0x31>(first, second);
    _mm256_add_epi32(low, high)
}

/// What a block of a type with minima adds to the row, given the partial sums of its products, its
/// minima, and that it begins with `d` and `dmin`.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(crate) fn term_with_min<const N: usize>(
    block: &[u8; N],
    sum: __m256i,
    mins: __m128i,
    x: &Wide<'_, i8>,
) -> f32 {
    let less = _mm_madd_epi16(mins, load_half(x.sums32, 0));
    // Both sums at once: the one of the products in lane 0, that of the minima in lane 1.
    let sums = _mm_hadd_epi32(add_halves(sum), less);
    let sums = _mm_cvtepi32_ps(_mm_hadd_epi32(sums, sums));
    let ds = i32::from_le_bytes([block[0], block[1], block[2], block[3]]);
    let ds = _mm_mul_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(ds)), _mm_set1_ps(x.scale));
    let terms = _mm_mul_ps(ds, sums);
    _mm_cvtss_f32(_mm_sub_ss(terms, _mm_movehdup_ps(terms)))
}

/// The product of a row of blocks of 32 that begin with `d`, given the partial sums of a block's
/// products. `OFFSET` is what the quants are too large by.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(crate) fn dot_groups<const BYTES: usize, const OFFSET: i32>(
    row: &[u8],
    x: &Token<'_>,
    sum: impl Fn(&[u8; BYTES], &[i8; 32]) -> __m256i,
) -> f32 {
    let (eights, rest) = row.as_chunks::<BYTES>().0.as_chunks::<8>();
    let (quants, rest_quants) = x.quants.as_chunks::<32>().0.as_chunks::<8>();
    let (sums, rest_sums) = x.sums32.as_chunks::<8>();
    let (scales, rest_scales) = x.scales.as_chunks::<8>();
    let mut total = 0.0;
    for (((w, q), sums), scales) in eights.iter().zip(quants).zip(sums).zip(scales) {
        let products: [__m256i; 8] = std::array::from_fn(|i| sum(&w[i], &q[i]));
        let excess = _mm256_cvtepi16_epi32(load_half(sums, 0));
        let excess = _mm256_mullo_epi32(excess, _mm256_set1_epi32(OFFSET));
        let products = _mm256_cvtepi32_ps(_mm256_sub_epi32(add_each(products), excess));
        let d: [u16; 8] = std::array::from_fn(|i| u16::from_le_bytes([w[i][0], w[i][1]]));
        let scales = _mm256_castsi256_ps(load(scales, 0));
        let d = _mm256_mul_ps(_mm256_cvtph_ps(load_half(&d, 0)), scales);
        to_array(_mm256_mul_ps(d, products))
            .into_iter()
            .for_each(|term| total += term);
    }
    let rest = rest.iter().zip(rest_quants).zip(rest_sums).zip(rest_scales);
    for (((w, q), &excess), scale) in rest {
        let products = add_all(sum(w, q)) - OFFSET * i32::from(excess);
        total += (half(w, 0) * scale) * products as f32;
    }
    total
}

/// Adds the terms of `blocks` blocks of two rows and four tokens to the totals.
#[inline]
#[target_feature(enable = "avx2")]
fn tile<B: Blocks>(pair: &Pair, x: &Quad, blocks: usize, total: &mut [f32; TILE]) {
    // SAFETY: eight floats are a vector.
    let mut totals = unsafe { _mm256_loadu_ps(total.as_ptr()) };
    for b in 0..blocks {
        let mut sums = [_mm256_setzero_si256(); TILE];
        for at in (b * B::LEN..(b + 1) * B::LEN).step_by(16) {
            multiply(&pair.weights, &x.quants, at, &mut sums);
        }
        // SAFETY: four floats are half a vector.
        let scales = unsafe { _mm_loadu_ps(x.scales[b].as_ptr()) };
        let scales = _mm256_set_m128(scales, scales);
        let mut terms = scaled(pair.d[0][b], pair.d[1][b], scales, sums);
        if B::MINS {
            let mut sums = [_mm256_setzero_si256(); TILE];
            multiply(&pair.mins, &x.sums, 0, &mut sums);
            let less = scaled(pair.dmin[0][b], pair.dmin[1][b], scales, sums);
            terms = _mm256_sub_ps(terms, less);
        }
        totals = _mm256_add_ps(totals, terms);
    }
    // SAFETY: eight floats are a vector.
    unsafe { _mm256_storeu_ps(total.as_mut_ptr(), totals) };
}

/// Adds the products of 16 columns of two rows and four tokens to the partial sums.
#[inline]
#[target_feature(enable = "avx2")]
fn multiply<const N: usize>(
    rows: &[[i16; N]; ROWS],
    tokens: &[[i16; N]; TOKENS],
    at: usize,
    sums: &mut [__m256i; TILE],
) {
    let w = [load(&rows[0], at), load(&rows[1], at)];
    for t in 0..TOKENS {
        let x = load(&tokens[t], at);
        sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(w[0], x));
        sums[TOKENS + t] = _mm256_add_epi32(sums[TOKENS + t], _mm256_madd_epi16(w[1], x));
    }
}

/// `(d · dx) · sum` for each place of a tile.
#[inline]
#[target_feature(enable = "avx2")]
fn scaled(d0: f32, d1: f32, scales: __m256, sums: [__m256i; TILE]) -> __m256 {
    let d = _mm256_set_m128(_mm_set1_ps(d1), _mm_set1_ps(d0));
    _mm256_mul_ps(_mm256_mul_ps(d, scales), _mm256_cvtepi32_ps(add_each(sums)))
}

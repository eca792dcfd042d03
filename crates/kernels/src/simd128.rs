//! What the WebAssembly kernels share. The products themselves stand beside the formats.
//!
//! Plain simd128 has no products of bytes, so activations are widened to 16 bits once, and weights
//! as they are unpacked; `i32x4_dot_i16x8` does the rest.

use std::arch::wasm32::*;

use crate::activations::Quantised;
use crate::batch::{ROWS, TILE, TOKENS};
use crate::formats::{Blocks, half};
use crate::token::Wide;
use crate::{activations::canonical, batch};

/// The product of a packed row with one token.
pub(crate) type Dot = fn(&[u8], &Token<'_>) -> f32;
pub(crate) type Token<'a> = crate::token::Token<'a, i16>;

pub(crate) fn blocks<B: Blocks>(weights: &[u8], row_bytes: usize, x: &Quantised, y: &mut [f32]) {
    let width = row_bytes / B::BYTES * B::LEN;
    match B::SIMD128 {
        Some(dot) if x.quants.len() == width => {
            let quants: Vec<i16> = x.quants.iter().map(|&q| i16::from(q)).collect();
            let x = Token::new(x, &quants, 0, width);
            for (row, y) in weights.chunks_exact(row_bytes).zip(y) {
                *y = canonical(dot(row, &x));
            }
        }
        _ => batch::blocks::<B>(weights, row_bytes, x, y, tile),
    }
}

/// 16 bytes from the middle of an array.
#[inline(always)]
pub(crate) fn load<T: Copy, const N: usize>(from: &[T; N], at: usize) -> v128 {
    assert!((at * size_of::<T>()) + 16 <= size_of_val(from));
    // SAFETY: the 16 bytes lie inside the array, and any bytes are a vector.
    unsafe { v128_load(from.as_ptr().add(at).cast()) }
}

/// Partial sums of the products of 16 unsigned bytes with 16 activations.
#[inline(always)]
pub(crate) fn dot_u8<const N: usize>(w: v128, x: &[i16; N], at: usize) -> v128 {
    let low = i32x4_dot_i16x8(i16x8_extend_low_u8x16(w), load(x, at));
    let high = i32x4_dot_i16x8(i16x8_extend_high_u8x16(w), load(x, at + 8));
    i32x4_add(low, high)
}

/// The sum of the four numbers.
#[inline(always)]
pub(crate) fn add_all(v: v128) -> i32 {
    let v = i32x4_add(v, i32x4_shuffle::<2, 3, 0, 1>(v, v));
    i32x4_extract_lane::<0>(v) + i32x4_extract_lane::<1>(v)
}

/// The sums of the four numbers of each of four vectors.
#[inline(always)]
fn add_each(v: [v128; 4]) -> v128 {
    let [a, b, c, d] = v;
    let ab = i32x4_add(
        i32x4_shuffle::<0, 4, 1, 5>(a, b),
        i32x4_shuffle::<2, 6, 3, 7>(a, b),
    );
    let cd = i32x4_add(
        i32x4_shuffle::<0, 4, 1, 5>(c, d),
        i32x4_shuffle::<2, 6, 3, 7>(c, d),
    );
    i32x4_add(i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd))
}

/// What a block of a type with minima adds to the row, given the partial sums of its products,
/// eight scales followed by eight minima, and that it begins with `d` and `dmin`.
#[inline(always)]
pub(crate) fn term_with_min<const N: usize>(
    block: &[u8; N],
    sum: v128,
    scales_and_mins: &[u8; 16],
    x: &Wide<'_, i16>,
) -> f32 {
    let mins = i16x8_extend_high_u8x16(load(scales_and_mins, 0));
    let less = add_all(i32x4_dot_i16x8(mins, load(x.sums32, 0)));
    let term = (half(block, 0) * x.scale) * add_all(sum) as f32;
    term - (half(block, 2) * x.scale) * less as f32
}

/// The product of a row of blocks of 32 that begin with `d`, given the partial sums of a block's
/// products. `OFFSET` is what the quants are too large by.
#[inline(always)]
pub(crate) fn dot_groups<const BYTES: usize, const OFFSET: i32>(
    row: &[u8],
    x: &Token<'_>,
    sum: impl Fn(&[u8; BYTES], &[i16; 32]) -> v128,
) -> f32 {
    let (fours, rest) = row.as_chunks::<BYTES>().0.as_chunks::<4>();
    let (quants, rest_quants) = x.quants.as_chunks::<32>().0.as_chunks::<4>();
    let (sums, rest_sums) = x.sums32.as_chunks::<4>();
    let (scales, rest_scales) = x.scales.as_chunks::<4>();
    let mut total = 0.0;
    for (((w, q), sums), scales) in fours.iter().zip(quants).zip(sums).zip(scales) {
        let products = add_each(std::array::from_fn(|i| sum(&w[i], &q[i])));
        let sums = sums.map(i32::from);
        let excess = i32x4_mul(load(&sums, 0), i32x4_splat(OFFSET));
        let products = f32x4_convert_i32x4(i32x4_sub(products, excess));
        let d: [f32; 4] = std::array::from_fn(|i| half(&w[i], 0));
        let terms = f32x4_mul(f32x4_mul(load(&d, 0), load(scales, 0)), products);
        total += f32x4_extract_lane::<0>(terms);
        total += f32x4_extract_lane::<1>(terms);
        total += f32x4_extract_lane::<2>(terms);
        total += f32x4_extract_lane::<3>(terms);
    }
    let rest = rest.iter().zip(rest_quants).zip(rest_sums).zip(rest_scales);
    for (((w, q), &excess), scale) in rest {
        let products = add_all(sum(w, q)) - OFFSET * i32::from(excess);
        total += (half(w, 0) * scale) * products as f32;
    }
    total
}

/// The inner products of two rows of 16-bit numbers with four.
#[inline(always)]
fn tile(rows: [&[i16]; ROWS], tokens: &[i16]) -> [i32; TILE] {
    let length = rows[0].len();
    if length < 8 {
        return batch::short_tile(rows, tokens);
    }
    let rows = rows.map(|row| row.as_chunks::<8>().0);
    let tokens: [&[[i16; 8]]; TOKENS] =
        std::array::from_fn(|t| tokens[t * length..(t + 1) * length].as_chunks().0);
    let mut sums = [i32x4_splat(0); TILE];
    for i in 0..length / 8 {
        let w = [load(&rows[0][i], 0), load(&rows[1][i], 0)];
        for t in 0..TOKENS {
            let x = load(&tokens[t][i], 0);
            sums[t] = i32x4_add(sums[t], i32x4_dot_i16x8(w[0], x));
            sums[TOKENS + t] = i32x4_add(sums[TOKENS + t], i32x4_dot_i16x8(w[1], x));
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let mut out = [0i32; TILE];
    // SAFETY: the array holds the eight numbers of the two vectors.
    unsafe {
        v128_store(out.as_mut_ptr().cast(), add_each([a, b, c, d]));
        v128_store(out.as_mut_ptr().add(4).cast(), add_each([e, f, g, h]));
    }
    out
}

//! What the WebAssembly kernels share. The products themselves stand beside the formats.
//!
//! Plain simd128 has no products of bytes, so activations are widened to 16 bits once, and weights
//! when they are unpacked; `i32x4_dot_i16x8` does the rest.

use std::arch::wasm32::*;

use crate::activations::Quantised;
use crate::batch::{Pair, Quad, ROWS, TILE, TOKENS};
use crate::formats::{Blocks, half};
use crate::token::Wide;
use crate::{activations::canonical, batch};

/// The product of a packed row with one token.
pub(crate) type Dot = fn(&[u8], &Token<'_>) -> f32;
pub(crate) type Token<'a> = crate::token::Token<'a, i16>;

pub(crate) fn blocks<B: Blocks>(weights: &[u8], row_bytes: usize, x: &Quantised, y: &mut [f32]) {
    let rows = weights.len() / row_bytes;
    let width = row_bytes / B::BYTES * B::LEN;
    let tokens = y.len() / rows;
    let together = if B::SIMD128.is_some() {
        batch::together(tokens, 3)
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
    if let Some(dot) = B::SIMD128 {
        for t in together..tokens {
            let quants: Vec<i16> = x.quants[t * width..(t + 1) * width]
                .iter()
                .map(|&q| i16::from(q))
                .collect();
            let x = Token::new(x, &quants, t);
            for (row, y) in weights.chunks_exact(row_bytes).zip(&mut y[t * rows..]) {
                *y = canonical(dot(row, &x));
            }
        }
    }
}

/// The values of eight single-precision numbers.
#[inline(always)]
pub(crate) fn widen_floats(raw: &[[u8; 4]; 8]) -> [f32; 8] {
    to_array(load(raw, 0), load(raw, 4))
}

/// The values of eight bfloat16 numbers.
#[inline(always)]
pub(crate) fn widen_bfloats(raw: &[[u8; 2]; 8]) -> [f32; 8] {
    let (raw, zero) = (load(raw, 0), u16x8_splat(0));
    to_array(
        i16x8_shuffle::<8, 0, 9, 1, 10, 2, 11, 3>(raw, zero),
        i16x8_shuffle::<8, 4, 9, 5, 10, 6, 11, 7>(raw, zero),
    )
}

/// The values of eight half-precision numbers.
#[inline(always)]
pub(crate) fn widen_halves(raw: &[[u8; 2]; 8]) -> [f32; 8] {
    let raw = load(raw, 0);
    to_array(
        halves(u32x4_extend_low_u16x8(raw)),
        halves(u32x4_extend_high_u16x8(raw)),
    )
}

/// [`crate::f16::to_f32`] for four numbers: all its cases are computed, then chosen from.
#[inline(always)]
fn halves(bits: v128) -> v128 {
    let sign = u32x4_shl(v128_and(bits, u32x4_splat(0x8000)), 16);
    let magnitude = u32x4_shl(v128_and(bits, u32x4_splat(0x7fff)), 13);
    let hidden = u32x4_splat(0x3880_0000);
    let subnormal = f32x4_sub(u32x4_add(magnitude, hidden), hidden);
    let normal = u32x4_add(magnitude, u32x4_splat(0x3800_0000));
    let special = u32x4_add(magnitude, u32x4_splat(0x7000_0000));
    let is_subnormal = u32x4_lt(magnitude, u32x4_splat(0x0080_0000));
    let is_special = u32x4_ge(magnitude, u32x4_splat(0x0f80_0000));
    let value = v128_bitselect(subnormal, normal, is_subnormal);
    v128_or(sign, v128_bitselect(special, value, is_special))
}

#[inline(always)]
fn to_array(low: v128, high: v128) -> [f32; 8] {
    let mut out = [0.0f32; 8];
    // SAFETY: the array holds the eight numbers of the two vectors.
    unsafe {
        v128_store(out.as_mut_ptr().cast(), low);
        v128_store(out.as_mut_ptr().add(4).cast(), high);
    }
    out
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

/// Adds the terms of `blocks` blocks of two rows and four tokens to the totals.
#[inline(always)]
fn tile<B: Blocks>(pair: &Pair, x: &Quad, blocks: usize, total: &mut [f32; TILE]) {
    let mut totals = [load(total, 0), load(total, 4)];
    for b in 0..blocks {
        let mut sums = [[i32x4_splat(0); TOKENS]; ROWS];
        for at in (b * B::LEN..(b + 1) * B::LEN).step_by(8) {
            multiply(&pair.weights, &x.quants, at, &mut sums);
        }
        let scales = load(&x.scales[b], 0);
        let mut less = [[i32x4_splat(0); TOKENS]; ROWS];
        if B::MINS {
            multiply(&pair.mins, &x.sums, 0, &mut less);
            multiply(&pair.mins, &x.sums, 8, &mut less);
        }
        for r in 0..ROWS {
            let mut term = scaled(pair.d[r][b], scales, sums[r]);
            if B::MINS {
                term = f32x4_sub(term, scaled(pair.dmin[r][b], scales, less[r]));
            }
            totals[r] = f32x4_add(totals[r], term);
        }
    }
    // SAFETY: the array holds the eight numbers of the two vectors.
    unsafe {
        v128_store(total.as_mut_ptr().cast(), totals[0]);
        v128_store(total.as_mut_ptr().add(TOKENS).cast(), totals[1]);
    }
}

/// Adds the products of 8 columns of two rows and four tokens to the partial sums.
#[inline(always)]
fn multiply<const N: usize>(
    rows: &[[i16; N]; ROWS],
    tokens: &[[i16; N]; TOKENS],
    at: usize,
    sums: &mut [[v128; TOKENS]; ROWS],
) {
    let w = [load(&rows[0], at), load(&rows[1], at)];
    for t in 0..TOKENS {
        let x = load(&tokens[t], at);
        sums[0][t] = i32x4_add(sums[0][t], i32x4_dot_i16x8(w[0], x));
        sums[1][t] = i32x4_add(sums[1][t], i32x4_dot_i16x8(w[1], x));
    }
}

/// `(d · dx) · sum` for each token of a row.
#[inline(always)]
fn scaled(d: f32, scales: v128, sums: [v128; TOKENS]) -> v128 {
    f32x4_mul(
        f32x4_mul(f32x4_splat(d), scales),
        f32x4_convert_i32x4(add_each(sums)),
    )
}

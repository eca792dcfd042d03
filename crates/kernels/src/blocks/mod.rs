//! Products of quantised weights with activations, on any vector instruction set.
//!
//! A strip is as many rows as a vector has lanes. Of each block of a strip, 16 bytes of each row
//! after the other are transposed into words whose lanes are rows; from there on every operation
//! is that of the scalar definition ([`crate::scalar`]), for all rows of the strip at once.
//!
//! One token meets the quants as they come out of the words ([`vector`]). For several, a block is
//! unpacked into memory once, and meets them all from there ([`matrix`]).

mod columns;
mod matrix;
mod strip;
mod vector;

use columns::Columns;
use strip::Strip;

use crate::activations::{Quantised, canonical};
use crate::formats::Blocks;
use crate::lanes::{Lanes, Work};

/// Tokens of one pass over the weights: what of their activations stays in the cache.
const PASS: usize = 128;

/// Products of rows of weights with all tokens; `ONE`: there is one token only.
///
/// That is known when this is compiled so that each of the two is a function of its own: engines of
/// WebAssembly do better with two than with one that does everything.
pub(crate) struct Product<'a, 'y, B, const ONE: bool> {
    pub(crate) weights: &'a [u8],
    pub(crate) row_bytes: usize,
    pub(crate) x: &'a Quantised,
    /// For each token, a place for each row.
    pub(crate) y: &'a mut [&'y mut [f32]],
    pub(crate) format: std::marker::PhantomData<B>,
}

impl<B: Blocks, const ONE: bool> Work for Product<'_, '_, B, ONE> {
    const ONE_TOKEN: bool = ONE;

    #[inline(always)]
    fn with<L: Lanes>(self, l: L) {
        if B::LEN == 256 {
            products::<L, B, 16, ONE>(l, self);
        } else {
            products::<L, B, 2, ONE>(l, self);
        }
    }
}

#[inline(always)]
fn products<L: Lanes, B: Blocks, const UNITS: usize, const ONE: bool>(
    l: L,
    product: Product<'_, '_, B, ONE>,
) {
    let Product {
        weights,
        row_bytes,
        x,
        y,
        ..
    } = product;
    let rows = weights.len() / row_bytes;
    let padded;
    // Fewer rows than lanes are filled up with zeros, and what comes of those is dropped.
    let weights = if rows < L::LANES {
        let mut bytes = weights.to_vec();
        bytes.resize(L::LANES * row_bytes, 0);
        padded = bytes;
        &padded
    } else {
        weights
    };
    let blocks = row_bytes / B::BYTES;
    let tokens = y.len();
    let mut totals = vec![L::ZEROS; tokens.min(PASS)];
    for (pass, y) in y.chunks_mut(PASS).enumerate() {
        let columns = columns::prepare::<L, B, UNITS>(x, tokens, pass * PASS, y.len());
        let mut next = 0;
        while next < rows {
            // The last strip goes back to where it is a whole one: rows that were computed before
            // get the same bits again.
            let first = next.min(rows.saturating_sub(L::LANES));
            next = first + L::LANES;
            let strip = Strip::new::<L>(weights, row_bytes, first);
            let totals = &mut totals[..y.len()];
            if ONE {
                totals[0] = vector::product::<L, B, UNITS>(l, &strip, blocks, &columns);
            } else {
                matrix::product::<L, B, UNITS>(l, &strip, blocks, &columns, totals);
            }
            for (y, total) in y.iter_mut().zip(totals) {
                for (y, &total) in y[first..].iter_mut().zip(total.as_ref()) {
                    *y = canonical(total);
                }
            }
        }
    }
}

/// What a block adds to the rows, given its sums of products of quants and of minima.
#[inline(always)]
fn term<L: Lanes, B: Blocks>(
    l: L,
    [d, dmin]: [L::Float; 2],
    scale: f32,
    sum: L::Int,
    less: L::Int,
) -> L::Float {
    let scale = l.splat_float(scale);
    let term = l.mul_float(l.mul_float(d, scale), l.float(sum));
    if B::MINS {
        let less = l.mul_float(l.mul_float(dmin, scale), l.float(less));
        l.sub_float(term, less)
    } else {
        term
    }
}

/// The scale of a group.
#[inline(always)]
fn scale<L: Lanes, B: Blocks>(l: L, words: &[L::Int; 4], group: usize) -> L::Int {
    let (word, byte) = (words[group / 4], group as u32 % 4);
    if B::SIGNED_SCALES {
        l.sar(l.shl(word, 24 - 8 * byte), 24)
    } else {
        let scale = l.and(l.shr(word, 8 * byte), l.splat(0xff));
        if B::SCALE_OFFSET == 0 {
            scale
        } else {
            l.sub(scale, l.splat(B::SCALE_OFFSET))
        }
    }
}

/// The minima of groups `4·(pair/2) + pair%2` and the second next to it, as 16-bit integers.
#[inline(always)]
fn min_pair<L: Lanes>(l: L, words: &[L::Int; 4], pair: usize) -> L::Int {
    let word = words[pair / 2];
    let word = l.shr(word, 8 * (pair as u32 % 2));
    l.and(word, l.splat(0x00ff_00ff))
}

//! Products of quantised weights with activations, on any vector instruction set.
//!
//! 16 bytes of as many blocks as a vector has lanes are transposed into words whose lanes are
//! those blocks; from there on every operation is that of the scalar definition
//! ([`crate::scalar`]), for all of them at once.
//!
//! One token takes the blocks as they lie in memory, and meets the quants as they come out of the
//! words ([`vector`]). For several tokens the blocks are those of neighbouring rows, and are
//! unpacked into memory once, from where all tokens meet them ([`matrix`]).

mod beside;
mod columns;
mod matrix;
mod vector;

use std::marker::PhantomData;

use beside::Beside;
use columns::Columns;

use crate::activations::Quantised;
use crate::formats::Blocks;
use crate::lanes::{Lanes, Operands, Work};
use crate::sharing::share;

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
    pub(crate) format: PhantomData<B>,
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
        format,
    } = product;
    if ONE {
        let x = vector::prepare::<L, B, UNITS>(x);
        share(weights, row_bytes, y, |weights, y| {
            l.enter(vector::Rows {
                weights,
                row_bytes,
                x: &x,
                y: y[0],
                format,
            });
        });
        return;
    }
    let tokens = y.len();
    for (pass, y) in y.chunks_mut(PASS).enumerate() {
        let columns = columns::prepare::<L, B, UNITS>(x, tokens, pass * PASS, y.len());
        share(weights, row_bytes, y, |weights, y| {
            l.enter(matrix::Rows {
                weights,
                row_bytes,
                columns: &columns,
                y,
                format,
            });
        });
    }
}

/// What blocks add to their rows, given their sums of products of quants and of minima.
#[inline(always)]
fn term<L: Lanes, B: Blocks>(
    l: L,
    [d, dmin]: [L::Float; 2],
    scale: L::Float,
    sum: L::Int,
    less: L::Int,
) -> L::Float {
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

/// [`Lanes::dot`] for the quants of a type.
#[inline(always)]
fn dot<L: Lanes, B: Blocks>(
    l: L,
    sum: L::Int,
    quads: &[L::Int; 4],
    x: &impl Operands<L>,
) -> L::Int {
    match B::BITS {
        8 => l.dot_signed(sum, quads, x),
        6 => l.dot::<6>(sum, quads, x),
        5 => l.dot::<5>(sum, quads, x),
        _ => l.dot::<4>(sum, quads, x),
    }
}

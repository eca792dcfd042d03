//! Several tokens at once: each block of weights is unpacked once and used for all of them.
//!
//! Rows are taken in pairs and tokens in fours, so that each number loaded is used several times;
//! what the instruction set contributes is the product of one such tile. The work is cut so that
//! what is used again is near: a unit of 256 columns of all tokens stays in the fastest cache
//! while a strip of rows passes over it.

use crate::activations::{Quantised, canonical};
use crate::formats::{Blocks, Unpacked};

/// Rows in a tile.
pub(crate) const ROWS: usize = 2;
/// Tokens in a tile.
pub(crate) const TOKENS: usize = 4;
/// Results in a tile: the first row with each token, then the second.
pub(crate) const TILE: usize = ROWS * TOKENS;
/// Columns in a tile: one block of 256, or up to eight of 32.
const UNIT: usize = 256;
/// Rows that are computed before the next unit of columns is turned to.
const STRIP: usize = 16;

/// A unit of two rows with the scales multiplied in.
pub(crate) struct Pair {
    pub(crate) weights: [[i16; UNIT]; ROWS],
    /// One for each 16 weights.
    pub(crate) mins: [[i16; 16]; ROWS],
    /// One for each block.
    pub(crate) d: [[f32; 8]; ROWS],
    /// One for each block.
    pub(crate) dmin: [[f32; 8]; ROWS],
}

/// A unit of four tokens.
#[derive(Clone)]
pub(crate) struct Quad {
    pub(crate) quants: [[i16; UNIT]; TOKENS],
    /// Sums of 16 quants.
    pub(crate) sums: [[i16; 16]; TOKENS],
    /// For each block, those of the four tokens.
    pub(crate) scales: [[f32; TOKENS]; 8],
}

impl Pair {
    const fn new() -> Self {
        Self {
            weights: [[0; UNIT]; ROWS],
            mins: [[0; 16]; ROWS],
            d: [[0.0; 8]; ROWS],
            dmin: [[0.0; 8]; ROWS],
        }
    }

    #[inline(always)]
    fn unpack<B: Blocks>(&mut self, r: usize, packed: &[u8], block: &mut Unpacked) {
        let groups = B::LEN / 16;
        let weights = self.weights[r].chunks_exact_mut(B::LEN);
        for (b, (packed, weights)) in packed.chunks_exact(B::BYTES).zip(weights).enumerate() {
            B::unpack(packed, block);
            self.d[r][b] = block.d;
            for (group, (weights, quants)) in weights
                .chunks_exact_mut(16)
                .zip(block.quants.chunks_exact(16))
                .enumerate()
            {
                let scale = if B::SCALES { block.scales[group] } else { 1 };
                for (weight, &quant) in weights.iter_mut().zip(quants) {
                    *weight = i16::from(quant) * scale;
                }
            }
            if B::MINS {
                self.dmin[r][b] = block.dmin;
                self.mins[r][b * groups..(b + 1) * groups].copy_from_slice(&block.mins[..groups]);
            }
        }
    }
}

/// The activations by unit, then by four tokens, filled up with zeros.
fn quads<B: Blocks>(x: &Quantised, width: usize, tokens: usize) -> Vec<Quad> {
    let empty = Quad {
        quants: [[0; UNIT]; TOKENS],
        sums: [[0; 16]; TOKENS],
        scales: [[0.0; TOKENS]; 8],
    };
    let tiles = tokens.div_ceil(TOKENS);
    let mut quads = vec![empty; width.div_ceil(UNIT) * tiles];
    for t in 0..tokens {
        let quants = x.quants[t * width..(t + 1) * width].chunks(UNIT);
        let sums = x.sums16[t * width / 16..(t + 1) * width / 16].chunks(16);
        let scales = x.scales[t * width / B::LEN..(t + 1) * width / B::LEN].chunks(UNIT / B::LEN);
        for (unit, ((quants, sums), scales)) in quants.zip(sums).zip(scales).enumerate() {
            let quad = &mut quads[unit * tiles + t / TOKENS];
            for (wide, &quant) in quad.quants[t % TOKENS].iter_mut().zip(quants) {
                *wide = i16::from(quant);
            }
            quad.sums[t % TOKENS][..sums.len()].copy_from_slice(sums);
            for (to, &scale) in quad.scales.iter_mut().zip(scales) {
                to[t % TOKENS] = scale;
            }
        }
    }
    quads
}

/// Products of all rows with the first `tokens` tokens. `tile` adds the terms of the first so many
/// blocks of a unit to the eight totals, block by block.
#[inline(always)]
pub(crate) fn blocks<B: Blocks>(
    weights: &[u8],
    row_bytes: usize,
    x: &Quantised,
    tokens: usize,
    y: &mut [f32],
    tile: impl Fn(&Pair, &Quad, usize, &mut [f32; TILE]),
) {
    let rows = weights.len() / row_bytes;
    let quads = quads::<B>(x, row_bytes / B::BYTES * B::LEN, tokens);
    let tiles = tokens.div_ceil(TOKENS);
    let unit_bytes = UNIT / B::LEN * B::BYTES;
    let mut pair = Pair::new();
    let mut block = Unpacked::new();
    let mut totals = vec![[0f32; TILE]; STRIP / ROWS * tiles];
    for (strip, packed) in weights.chunks(STRIP * row_bytes).enumerate() {
        totals.fill([0.0; TILE]);
        for (unit, quads) in quads.chunks_exact(tiles).enumerate() {
            let bytes = unit * unit_bytes..row_bytes.min((unit + 1) * unit_bytes);
            let blocks = bytes.len() / B::BYTES;
            let pairs = packed
                .chunks(ROWS * row_bytes)
                .zip(totals.chunks_exact_mut(tiles));
            for (packed, totals) in pairs {
                // An odd last row shares its tile with whatever was there before.
                for (r, row) in packed.chunks_exact(row_bytes).enumerate() {
                    pair.unpack::<B>(r, &row[bytes.clone()], &mut block);
                }
                for (quad, total) in quads.iter().zip(totals) {
                    tile(&pair, quad, blocks, total);
                }
            }
        }
        for (i, r) in (strip * STRIP..rows.min((strip + 1) * STRIP)).enumerate() {
            for t in 0..tokens {
                let total = &totals[i / ROWS * tiles + t / TOKENS];
                y[t * rows + r] = canonical(total[i % ROWS * TOKENS + t % TOKENS]);
            }
        }
    }
}

/// A tile in plain Rust, for the types no instruction set cares about.
#[inline(always)]
pub(crate) fn tile<B: Blocks>(pair: &Pair, x: &Quad, blocks: usize, total: &mut [f32; TILE]) {
    let groups = B::LEN / 16;
    for b in 0..blocks {
        for (i, total) in total.iter_mut().enumerate() {
            let (r, t) = (i / TOKENS, i % TOKENS);
            let columns = b * B::LEN..(b + 1) * B::LEN;
            let sum = dot(&pair.weights[r][columns.clone()], &x.quants[t][columns]);
            let mut term = (pair.d[r][b] * x.scales[b][t]) * sum as f32;
            if B::MINS {
                let groups = b * groups..(b + 1) * groups;
                let sum = dot(&pair.mins[r][groups.clone()], &x.sums[t][groups]);
                term -= (pair.dmin[r][b] * x.scales[b][t]) * sum as f32;
            }
            *total += term;
        }
    }
}

#[inline(always)]
fn dot(a: &[i16], b: &[i16]) -> i32 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| i32::from(a) * i32::from(b))
        .sum()
}

/// How many of several tokens are better computed together where one by one is possible too.
///
/// Unpacking into memory pays from `least` tokens on; then all whole tiles, and a last one that is
/// nearly full.
pub(crate) const fn together(tokens: usize, least: usize) -> usize {
    let rest = tokens % TOKENS;
    if tokens < least {
        0
    } else if rest + 1 < TOKENS {
        tokens - rest
    } else {
        tokens
    }
}

//! The arithmetic in plain Rust: the definition the vector kernels must equal bit for bit.

use crate::activations::{Quantised, canonical};
use crate::formats::{Blocks, Plain, Unpacked};

/// A row of quantised weights with its scales multiplied in, ready for any number of tokens.
pub(crate) struct Row {
    /// `scale · quant`, at most 13 bits and a sign.
    pub(crate) weights: Vec<i16>,
    /// One for each 16 weights; empty where the type has none.
    pub(crate) mins: Vec<i16>,
    /// One per block.
    pub(crate) d: Vec<f32>,
    /// One per block.
    pub(crate) dmin: Vec<f32>,
}

impl Row {
    pub(crate) fn new<B: Blocks>(width: usize) -> Self {
        let blocks = width / B::LEN;
        Self {
            weights: vec![0; width],
            mins: vec![0; if B::MINS { width / 16 } else { 0 }],
            d: vec![0.0; blocks],
            dmin: vec![0.0; blocks],
        }
    }

    pub(crate) fn unpack<B: Blocks>(&mut self, packed: &[u8]) {
        let mut block = Unpacked::new();
        for (b, packed) in packed.chunks_exact(B::BYTES).enumerate() {
            B::unpack(packed, &mut block);
            self.d[b] = block.d;
            let weights = &mut self.weights[b * B::LEN..(b + 1) * B::LEN];
            for (group, weights) in weights.chunks_exact_mut(16).enumerate() {
                let scale = if B::SCALES { block.scales[group] } else { 1 };
                for (weight, &quant) in weights.iter_mut().zip(&block.quants[16 * group..]) {
                    *weight = i16::from(quant) * scale;
                }
            }
            if B::MINS {
                self.dmin[b] = block.dmin;
                let groups = B::LEN / 16;
                self.mins[b * groups..(b + 1) * groups].copy_from_slice(&block.mins[..groups]);
            }
        }
    }
}

pub(crate) fn blocks<B: Blocks>(
    weights: &[u8],
    row_bytes: usize,
    x: &Quantised,
    y: &mut [&mut [f32]],
) {
    let width = row_bytes / B::BYTES * B::LEN;
    let mut row = Row::new::<B>(width);
    for (r, packed) in weights.chunks_exact(row_bytes).enumerate() {
        row.unpack::<B>(packed);
        for (t, y) in y.iter_mut().enumerate() {
            let quants = &x.quants[t * width..(t + 1) * width];
            let sums = &x.sums16[t * width / 16..(t + 1) * width / 16];
            let scales = &x.scales[t * width / B::LEN..(t + 1) * width / B::LEN];
            y[r] = canonical(dot_blocks::<B>(&row, quants, sums, scales));
        }
    }
}

fn dot_blocks<B: Blocks>(row: &Row, quants: &[i8], sums: &[i16], scales: &[f32]) -> f32 {
    let products = row
        .weights
        .chunks_exact(B::LEN)
        .zip(quants.chunks_exact(B::LEN));
    let mut total = 0.0;
    for (b, (w, x)) in products.enumerate() {
        let sum: i32 = w
            .iter()
            .zip(x)
            .map(|(&w, &x)| i32::from(w) * i32::from(x))
            .sum();
        let mut term = (row.d[b] * scales[b]) * sum as f32;
        if B::MINS {
            let groups = b * B::LEN / 16..(b + 1) * B::LEN / 16;
            let (mins, sums) = (&row.mins[groups.clone()], &sums[groups]);
            let sum: i32 = mins
                .iter()
                .zip(sums)
                .map(|(&m, &s)| i32::from(m) * i32::from(s))
                .sum();
            term -= (row.dmin[b] * scales[b]) * sum as f32;
        }
        total += term;
    }
    total
}

pub(crate) fn plain<P: Plain>(weights: &[u8], row_bytes: usize, x: &[f32], y: &mut [&mut [f32]]) {
    for (r, row) in weights.chunks_exact(row_bytes).enumerate() {
        let row = P::weights(row);
        for (x, y) in x.chunks_exact(row.len()).zip(&mut *y) {
            y[r] = canonical(dot_plain::<P>(row, x));
        }
    }
}

fn dot_plain<P: Plain>(row: &[P::Raw], x: &[f32]) -> f32 {
    let mut lanes = [0.0; 8];
    for (row, x) in row.chunks(8).zip(x.chunks(8)) {
        for ((lane, &w), x) in lanes.iter_mut().zip(row).zip(x) {
            *lane += P::value(w) * x;
        }
    }
    add_lanes(lanes)
}

/// The fixed order in which the eight lanes of a sum of floats are added.
pub(crate) fn add_lanes([a, b, c, d, e, f, g, h]: [f32; 8]) -> f32 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

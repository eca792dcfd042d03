//! Several tokens: lanes are rows, as many of which are a strip.

use std::marker::PhantomData;

use super::{Beside, Columns, dot, min_pair, scale, term};
use crate::activations::canonical;
use crate::formats::{Block, Blocks, Sink};
use crate::lanes::{Lanes, Spread, Task};

/// The products of some rows with several tokens.
pub(super) struct Rows<'a, 'y, L: Lanes, B, const UNITS: usize> {
    pub(super) weights: &'a [u8],
    pub(super) row_bytes: usize,
    /// All tokens of the first block, of the second, and so on.
    pub(super) columns: &'a [Columns<L::Quad, UNITS>],
    /// For each token, a place for each row.
    pub(super) y: &'a mut [&'y mut [f32]],
    pub(super) format: PhantomData<B>,
}

impl<L: Lanes, B: Blocks, const UNITS: usize> Task<L> for Rows<'_, '_, L, B, UNITS> {
    #[inline(always)]
    fn run(self, l: L) {
        let rows = self.weights.len() / self.row_bytes;
        let padded;
        // Fewer rows than lanes are filled up with zeros, and what comes of those is dropped.
        let weights = if rows < L::LANES {
            let mut bytes = self.weights.to_vec();
            bytes.resize(L::LANES * self.row_bytes, 0);
            padded = bytes;
            &padded
        } else {
            self.weights
        };
        let mut totals = vec![L::ZEROS; self.y.len()];
        let mut next = 0;
        while next < rows {
            // The last strip goes back to where it is a whole one: rows that were computed before
            // get the same bits again.
            let first = next.min(rows.saturating_sub(L::LANES));
            next = first + L::LANES;
            let strip = &weights[first * self.row_bytes..next * self.row_bytes];
            product::<L, B, UNITS>(l, strip, self.row_bytes, self.columns, &mut totals);
            for (y, total) in self.y.iter_mut().zip(&totals) {
                for (y, &total) in y[first..].iter_mut().zip(total.as_ref()) {
                    *y = canonical(total);
                }
            }
        }
    }
}

/// A block of each row of a strip, unpacked.
struct Unpacked<L: Lanes, const UNITS: usize> {
    quads: [[L::Word; 4]; UNITS],
    /// One for each group.
    scales: [L::Word; UNITS],
    /// In pairs.
    mins: [L::Word; UNITS],
    d: [L::Floats; 2],
    signed: bool,
}

impl<L: Lanes, const UNITS: usize> Sink<L> for Unpacked<L, UNITS> {
    #[inline(always)]
    fn take(&mut self, l: L, unit: usize, quads: [L::Int; 4]) {
        for (quad, word) in quads.into_iter().zip(&mut self.quads[unit]) {
            l.store(if self.signed { l.signed(quad) } else { quad }, word);
        }
    }
}

impl<L: Lanes, const UNITS: usize> Unpacked<L, UNITS> {
    #[inline(always)]
    fn fill<B: Blocks>(&mut self, l: L, packed: &impl Block<L>) {
        let groups = B::LEN / B::GROUP;
        B::quads(l, packed, self);
        if B::SCALES {
            let scales = B::scales(l, packed);
            for (group, word) in self.scales[..groups].iter_mut().enumerate() {
                l.store(scale::<L, B>(l, &scales, group), word);
            }
        }
        if B::MINS && B::SCALES {
            let mins = B::mins(l, packed);
            for (pair, word) in self.mins[..groups / 2].iter_mut().enumerate() {
                l.store(min_pair(l, &mins, pair), word);
            }
        }
        for (d, to) in B::d(l, packed).into_iter().zip(&mut self.d) {
            l.store_float(d, to);
        }
    }
}

/// The products of a strip with several tokens.
#[inline(always)]
fn product<L: Lanes, B: Blocks, const UNITS: usize>(
    l: L,
    strip: &[u8],
    row_bytes: usize,
    columns: &[Columns<L::Quad, UNITS>],
    totals: &mut [L::Floats],
) {
    let mut block = Unpacked::<L, UNITS> {
        quads: [[L::ZERO; 4]; UNITS],
        scales: [L::ZERO; UNITS],
        mins: [L::ZERO; UNITS],
        d: [L::ZEROS; 2],
        signed: B::BITS == 8,
    };
    totals.fill(L::ZEROS);
    for (b, columns) in columns.chunks_exact(totals.len()).enumerate() {
        // What comes after this strip lies together.
        let ahead = strip.as_ptr_range().end;
        let ahead = ahead.wrapping_add(b * L::LANES * B::BYTES);
        let beside = Beside::new::<L, B>(strip, b * B::BYTES, row_bytes, ahead);
        block.fill::<B>(l, &beside);
        let mut rest = (columns, &mut *totals);
        if L::TOKENS >= 8 {
            rest = tiles::<L, B, UNITS, 8>(l, &block, rest);
        }
        rest = tiles::<L, B, UNITS, 4>(l, &block, rest);
        rest = tiles::<L, B, UNITS, 2>(l, &block, rest);
        tiles::<L, B, UNITS, 1>(l, &block, rest);
    }
}

/// Tokens and their totals.
type Tokens<'a, 't, L, const UNITS: usize> = (
    &'a [Columns<<L as Lanes>::Quad, UNITS>],
    &'t mut [<L as Lanes>::Floats],
);

/// Does what can be done `T` tokens at a time, and gives back the rest.
#[inline(always)]
fn tiles<'a, 't, L: Lanes, B: Blocks, const UNITS: usize, const T: usize>(
    l: L,
    block: &Unpacked<L, UNITS>,
    (x, totals): Tokens<'a, 't, L, UNITS>,
) -> Tokens<'a, 't, L, UNITS> {
    let (x, x_rest) = x.as_chunks::<T>();
    let (totals, totals_rest) = totals.as_chunks_mut::<T>();
    for (x, totals) in x.iter().zip(totals) {
        tile::<L, B, UNITS, T>(l, block, x, totals);
    }
    (x_rest, totals_rest)
}

/// Adds the terms of a block.
#[inline(always)]
fn tile<L: Lanes, B: Blocks, const UNITS: usize, const T: usize>(
    l: L,
    block: &Unpacked<L, UNITS>,
    x: &[Columns<L::Quad, UNITS>; T],
    totals: &mut [L::Floats; T],
) {
    let groups = B::LEN / B::GROUP;
    let units = B::GROUP / 16;
    let mut sums = [l.splat(0); T];
    for group in 0..groups {
        let mut dots = [l.splat(0); T];
        for t in 0..T {
            dots[t] = l.splat(x[t].starts[group]);
        }
        for unit in units * group..units * (group + 1) {
            let quads = &block.quads[unit];
            let quads = [
                l.load(&quads[0]),
                l.load(&quads[1]),
                l.load(&quads[2]),
                l.load(&quads[3]),
            ];
            for t in 0..T {
                let x = Spread(&x[t].quads[unit]);
                dots[t] = dot::<L, B>(l, dots[t], &quads, &x);
            }
        }
        if B::SCALES {
            let scale = l.load(&block.scales[group]);
            for t in 0..T {
                sums[t] = l.add(sums[t], l.mul(dots[t], scale));
            }
        } else {
            sums = dots;
        }
    }
    let mut less = [l.splat(0); T];
    if B::MINS && B::SCALES {
        for pair in 0..groups / 2 {
            let mins = l.load(&block.mins[pair]);
            for t in 0..T {
                less[t] = l.dot_pair(less[t], mins, l.splat(x[t].sums[pair]));
            }
        }
    } else if B::MINS {
        for t in 0..T {
            less[t] = l.splat(x[t].sums[0]);
        }
    }
    let d = [l.load_float(&block.d[0]), l.load_float(&block.d[1])];
    for t in 0..T {
        let scale = l.splat_float(x[t].scale);
        let term = term::<L, B>(l, d, scale, sums[t], less[t]);
        let total = l.add_float(l.load_float(&totals[t]), term);
        l.store_float(total, &mut totals[t]);
    }
}

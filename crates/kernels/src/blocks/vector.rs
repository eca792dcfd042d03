//! One token: lanes are the next blocks in memory, whatever rows they belong to.
//!
//! So weights are read in the order in which they lie, which is as fast as memory is read at all,
//! and nothing is spread over lanes: each meets activations of its own. The terms of the blocks
//! are kept, and added up row by row.

use std::marker::PhantomData;

use super::{Beside, Columns, min_pair, scale, term};
use crate::activations::{Quantised, canonical};
use crate::formats::{Blocks, Sink, unroll};
use crate::lanes::{Lanes, Operands, Task};

/// Rows that are added up at once: enough independent sums to keep an adder busy.
const ROWS: usize = 8;
/// How far ahead of what is read memory is asked for, in bytes. Measured: half as far, and the
/// answers come too late; twice as far, and they have gone from the cache before they are used.
const AHEAD: usize = 14 << 10;

/// Activations for as many blocks as there are lanes.
#[derive(Clone)]
pub(super) struct Beneath<L: Lanes, const UNITS: usize> {
    /// Quads, and what of them did not fit.
    words: [[L::Word; 4]; UNITS],
    more: [[L::More; 4]; UNITS],
    /// As in [`Columns`], and so are the sums.
    starts: [L::Word; UNITS],
    sums: [L::Word; UNITS],
    scales: L::Floats,
}

/// The activations that the blocks of rows meet, from the first block of a row to where a row and
/// a vector end together. From there on it is the same again.
#[inline(always)]
pub(super) fn prepare<L: Lanes, B: Blocks, const UNITS: usize>(
    x: &Quantised,
) -> Vec<Beneath<L, UNITS>> {
    let columns = super::columns::prepare::<L, B, UNITS>(x, 1, 0, 1);
    let vectors = columns.len() * rows_of_vectors::<L>(columns.len()) / L::LANES;
    let empty = Beneath {
        words: [[L::ZERO; 4]; UNITS],
        more: [[L::More::default(); 4]; UNITS],
        starts: [L::ZERO; UNITS],
        sums: [L::ZERO; UNITS],
        scales: L::ZEROS,
    };
    let mut all = vec![empty; vectors];
    for (place, column) in (0..vectors * L::LANES).zip(columns.iter().cycle()) {
        all[place / L::LANES].put::<B>(place % L::LANES, column);
    }
    all
}

impl<L: Lanes, const UNITS: usize> Beneath<L, UNITS> {
    #[inline(always)]
    fn put<B: Blocks>(&mut self, lane: usize, column: &Columns<L::Quad, UNITS>) {
        let places = self.words.as_flattened_mut().iter_mut();
        let places = places.zip(self.more.as_flattened_mut());
        for ((word, more), &quad) in places.zip(column.quads.as_flattened()) {
            L::put(word, more, lane, quad);
        }
        let groups = B::LEN / B::GROUP;
        for (to, &start) in self.starts[..groups].iter_mut().zip(&column.starts) {
            to.as_mut()[lane] = start as u32;
        }
        for (to, &sum) in self.sums[..groups].iter_mut().zip(&column.sums) {
            to.as_mut()[lane] = sum as u32;
        }
        self.scales.as_mut()[lane] = column.scale;
    }
}

/// How many rows of so many blocks fill vectors.
fn rows_of_vectors<L: Lanes>(blocks: usize) -> usize {
    // The lanes are a power of two, and so is the largest divisor they have in common.
    L::LANES >> blocks.trailing_zeros().min(L::LANES.trailing_zeros())
}

/// The products of some rows with one token.
pub(super) struct Rows<'a, L: Lanes, B, const UNITS: usize> {
    pub(super) weights: &'a [u8],
    pub(super) row_bytes: usize,
    pub(super) x: &'a [Beneath<L, UNITS>],
    pub(super) y: &'a mut [f32],
    pub(super) format: PhantomData<B>,
}

impl<L: Lanes, B: Blocks, const UNITS: usize> Task<L> for Rows<'_, L, B, UNITS> {
    #[inline(always)]
    fn run(self, l: L) {
        let blocks = self.row_bytes / B::BYTES;
        let rows = rows_of_vectors::<L>(blocks).max(ROWS);
        let mut kept = vec![0.0; rows * blocks];
        let vector = L::LANES * B::BYTES;
        let panels = self.weights.chunks(rows * self.row_bytes);
        for (mut weights, y) in panels.zip(self.y.chunks_mut(rows)) {
            let padded;
            if !weights.len().is_multiple_of(vector) {
                // The last vector is filled up with zeros.
                let mut bytes = weights.to_vec();
                bytes.resize(bytes.len().next_multiple_of(vector), 0);
                padded = bytes;
                weights = &padded;
            }
            let places = kept.chunks_exact_mut(L::LANES);
            let vectors = weights.chunks_exact(vector).zip(self.x.iter().cycle());
            for ((weights, x), kept) in vectors.zip(places) {
                let mut out = L::ZEROS;
                l.store_float(terms::<L, B, UNITS>(l, weights, x), &mut out);
                kept.copy_from_slice(out.as_ref());
            }
            add_up(&kept, blocks, y);
        }
    }
}

/// Adds up the terms of each row, in their order.
#[inline(always)]
fn add_up(terms: &[f32], blocks: usize, y: &mut [f32]) {
    for (terms, y) in terms.chunks_exact(ROWS * blocks).zip(y.chunks_mut(ROWS)) {
        let mut sums = [0.0; ROWS];
        for b in 0..blocks {
            for (r, sum) in sums.iter_mut().enumerate() {
                *sum += terms[r * blocks + b];
            }
        }
        for (y, sum) in y.iter_mut().zip(sums) {
            *y = canonical(sum);
        }
    }
}

/// What each block adds to its row.
#[inline(always)]
fn terms<L: Lanes, B: Blocks, const UNITS: usize>(
    l: L,
    weights: &[u8],
    x: &Beneath<L, UNITS>,
) -> L::Float {
    let ahead = weights.as_ptr().wrapping_add(AHEAD);
    let block = Beside::new::<L, B>(weights, 0, B::BYTES, ahead);
    let mut dots = Dots::<L, B, UNITS> {
        x,
        scales: B::scales(l, &block),
        dots: [l.splat(0); UNITS],
        sum: l.splat(0),
        format: PhantomData,
    };
    B::quads(l, &block, &mut dots);
    let mut less = l.load(&x.sums[0]);
    if B::MINS && B::SCALES {
        let mins = B::mins(l, &block);
        less = l.splat(0);
        unroll!(for pair in [0, 1, 2, 3, 4, 5, 6, 7] {
            if pair < B::LEN / B::GROUP / 2 {
                let sums = l.load(&x.sums[pair % UNITS]);
                less = l.dot_pair(less, min_pair(l, &mins, pair), sums);
            }
        });
    }
    let scale = l.load_float(&x.scales);
    term::<L, B>(l, B::d(l, &block), scale, dots.sum, less)
}

/// Takes quants by multiplying them with the activations of one token.
struct Dots<'a, L: Lanes, B, const UNITS: usize> {
    x: &'a Beneath<L, UNITS>,
    scales: [L::Int; 4],
    /// Of each group, as far as it has come.
    dots: [L::Int; UNITS],
    /// Of the groups that are complete.
    sum: L::Int,
    format: PhantomData<B>,
}

impl<L: Lanes, B: Blocks, const UNITS: usize> Sink<L> for Dots<'_, L, B, UNITS> {
    #[inline(always)]
    fn take(&mut self, l: L, unit: usize, quads: [L::Int; 4]) {
        let group = 16 * unit / B::GROUP;
        let is_first = (16 * unit).is_multiple_of(B::GROUP);
        // Each unit's sum begins anew: two short chains of additions are done sooner than a long one.
        let start = if is_first && (B::OFFSET != 0 || B::BITS == 8) {
            l.load(&self.x.starts[group])
        } else {
            l.splat(0)
        };
        let x = l.operands(&self.x.words[unit], &self.x.more[unit]);
        let mut dot = dot_of::<L, B>(l, start, quads, &x);
        if !is_first {
            dot = l.add(dot, self.dots[group]);
        }
        if !(16 * (unit + 1)).is_multiple_of(B::GROUP) {
            self.dots[group] = dot;
        } else if B::SCALES {
            let scale = scale::<L, B>(l, &self.scales, group);
            self.sum = l.add(self.sum, l.mul(dot, scale));
        } else {
            self.sum = dot;
        }
    }
}

/// The products of quants as they are unpacked.
#[inline(always)]
fn dot_of<L: Lanes, B: Blocks>(
    l: L,
    sum: L::Int,
    quads: [L::Int; 4],
    x: &impl Operands<L>,
) -> L::Int {
    if B::BITS == 8 {
        let quads = [
            l.signed(quads[0]),
            l.signed(quads[1]),
            l.signed(quads[2]),
            l.signed(quads[3]),
        ];
        l.dot_signed(sum, &quads, x)
    } else {
        super::dot::<L, B>(l, sum, &quads, x)
    }
}

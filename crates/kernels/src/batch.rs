//! Several tokens at once: each block of weights is unpacked once and used for all of them.
//!
//! Rows are taken in pairs and tokens in fours, so that each number loaded is used several times.
//! What the instruction set contributes is one function: the eight integer inner products of two
//! rows of 16-bit numbers with four.

use crate::activations::{Quantised, canonical};
use crate::formats::{Blocks, Unpacked};

/// Rows in a tile.
pub(crate) const ROWS: usize = 2;
/// Tokens in a tile.
pub(crate) const TOKENS: usize = 4;
/// Inner products in a tile: the first row with each token, then the second.
pub(crate) const TILE: usize = ROWS * TOKENS;

/// Rows that are computed before the next block of activations is turned to, so that a block of
/// the activations of all tokens stays in the fastest cache meanwhile.
const STRIP: usize = 16;

/// Activations ordered by block, then token, with the tokens filled up to whole tiles.
struct Panel {
    tokens: usize,
    quants: Vec<i16>,
    sums: Vec<i16>,
    scales: Vec<f32>,
}

impl Panel {
    fn new(x: &Quantised, length: usize, tokens: usize) -> Self {
        let padded = tokens.next_multiple_of(TOKENS);
        let blocks = x.scales.len() / tokens;
        let groups = length / 16;
        let mut panel = Self {
            tokens: padded,
            quants: vec![0; blocks * padded * length],
            sums: vec![0; blocks * padded * groups],
            scales: vec![0.0; blocks * padded],
        };
        for t in 0..tokens {
            for b in 0..blocks {
                let (from, to) = (t * blocks + b, b * padded + t);
                let quants = &x.quants[from * length..(from + 1) * length];
                for (wide, &q) in panel.quants[to * length..].iter_mut().zip(quants) {
                    *wide = i16::from(q);
                }
                panel.sums[to * groups..(to + 1) * groups]
                    .copy_from_slice(&x.sums16[from * groups..(from + 1) * groups]);
                panel.scales[to] = x.scales[from];
            }
        }
        panel
    }
}

/// A block of weights of two rows with the scales multiplied in.
struct Pair {
    weights: [[i16; 256]; ROWS],
    mins: [[i16; 16]; ROWS],
    d: [f32; ROWS],
    dmin: [f32; ROWS],
}

impl Pair {
    #[inline(always)]
    fn unpack<B: Blocks>(&mut self, r: usize, packed: &[u8], block: &mut Unpacked) {
        B::unpack(packed, block);
        self.d[r] = block.d;
        let groups = self.weights[r][..B::LEN].chunks_exact_mut(16);
        for (group, (weights, quants)) in groups.zip(block.quants.chunks_exact(16)).enumerate() {
            let scale = if B::SCALES { block.scales[group] } else { 1 };
            for (weight, &quant) in weights.iter_mut().zip(quants) {
                *weight = i16::from(quant) * scale;
            }
        }
        if B::MINS {
            self.mins[r] = block.mins;
            self.dmin[r] = block.dmin;
        }
    }
}

/// Products of all rows with all tokens. `tile` computes the inner products of two rows with four
/// tokens; the tokens' numbers follow one another.
#[inline(always)]
pub(crate) fn blocks<B: Blocks>(
    weights: &[u8],
    row_bytes: usize,
    x: &Quantised,
    y: &mut [f32],
    tile: impl Fn([&[i16]; ROWS], &[i16]) -> [i32; TILE],
) {
    let rows = weights.len() / row_bytes;
    let tokens = y.len() / rows;
    let panel = Panel::new(x, B::LEN, tokens);
    let tiles = panel.tokens / TOKENS;
    let groups = B::LEN / 16;
    let mut pair = Pair {
        weights: [[0; 256]; ROWS],
        mins: [[0; 16]; ROWS],
        d: [0.0; ROWS],
        dmin: [0.0; ROWS],
    };
    let mut block = Unpacked::new();
    let mut totals = vec![[0f32; TILE]; STRIP / ROWS * tiles];
    for (strip, packed) in weights.chunks(STRIP * row_bytes).enumerate() {
        totals.fill([0.0; TILE]);
        for b in 0..row_bytes / B::BYTES {
            let quants = &panel.quants[b * panel.tokens * B::LEN..(b + 1) * panel.tokens * B::LEN];
            let sums = &panel.sums[b * panel.tokens * groups..(b + 1) * panel.tokens * groups];
            let (scales, _) =
                panel.scales[b * panel.tokens..(b + 1) * panel.tokens].as_chunks::<TOKENS>();
            for (p, packed) in packed.chunks(ROWS * row_bytes).enumerate() {
                // An odd last row is computed with what the row before left in the other place.
                for (r, row) in packed.chunks_exact(row_bytes).enumerate() {
                    pair.unpack::<B>(r, &row[b * B::BYTES..(b + 1) * B::BYTES], &mut block);
                }
                let totals = &mut totals[p * tiles..(p + 1) * tiles];
                let weights = [&pair.weights[0][..B::LEN], &pair.weights[1][..B::LEN]];
                let mins = [&pair.mins[0][..groups], &pair.mins[1][..groups]];
                for (q, total) in totals.iter_mut().enumerate() {
                    let at = q * TOKENS;
                    let dots = tile(weights, &quants[at * B::LEN..(at + TOKENS) * B::LEN]);
                    let mut terms = scaled(pair.d, &scales[q], dots);
                    if B::MINS {
                        let dots = tile(mins, &sums[at * groups..(at + TOKENS) * groups]);
                        let less = scaled(pair.dmin, &scales[q], dots);
                        for (term, less) in terms.iter_mut().zip(less) {
                            *term -= less;
                        }
                    }
                    for (total, term) in total.iter_mut().zip(terms) {
                        *total += term;
                    }
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

/// `(d · dx) · dot` for each place of a tile.
#[inline(always)]
fn scaled(d: [f32; ROWS], dx: &[f32; TOKENS], dots: [i32; TILE]) -> [f32; TILE] {
    let mut out = [0.0; TILE];
    for r in 0..ROWS {
        for t in 0..TOKENS {
            out[r * TOKENS + t] = (d[r] * dx[t]) * dots[r * TOKENS + t] as f32;
        }
    }
    out
}

/// A tile in plain Rust, for inner products shorter than a vector.
#[inline(always)]
pub(crate) fn short_tile(rows: [&[i16]; ROWS], tokens: &[i16]) -> [i32; TILE] {
    let length = rows[0].len();
    std::array::from_fn(|i| {
        let x = &tokens[i % TOKENS * length..(i % TOKENS + 1) * length];
        rows[i / TOKENS]
            .iter()
            .zip(x)
            .map(|(&w, &x)| i32::from(w) * i32::from(x))
            .sum()
    })
}

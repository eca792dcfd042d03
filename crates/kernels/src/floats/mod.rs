//! Weights that are floats, several rows and tokens at a time.
//!
//! The order of additions is that of the definition: eight lanes, which are eight neighbouring
//! columns. So a vector lies along the row here, and what is done at once are rows and tokens.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "aarch64")]
pub(crate) mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod simd128;

use crate::activations::canonical;
use crate::formats::Plain;
use crate::scalar::add_lanes;

/// Eight floats at a time, in the operations of an instruction set. A value that implements it is
/// the proof that the machine has them. Its methods are `inline(always)`.
pub(crate) trait Octets: Copy {
    /// Rows side by side for one token: enough independent sums to keep the adders busy.
    const ROWS: usize;
    type Octet: Copy;

    fn zero(self) -> Self::Octet;
    fn load(self, from: &[f32; 8]) -> Self::Octet;
    /// Single-precision numbers.
    fn floats(self, raw: &[[u8; 4]; 8]) -> Self::Octet;
    /// Half-precision numbers.
    fn halves(self, raw: &[[u8; 2]; 8]) -> Self::Octet;
    /// Bfloat16 numbers.
    fn bfloats(self, raw: &[[u8; 2]; 8]) -> Self::Octet;
    /// `sum + a·b`, rounded after the product and after the sum.
    fn add_product(self, sum: Self::Octet, a: Self::Octet, b: Self::Octet) -> Self::Octet;
    fn to_array(self, v: Self::Octet) -> [f32; 8];
    /// Hints that what lies there will be read soon. No address is wrong.
    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}
}

/// Rows and tokens side by side for several tokens: as many sums as there are registers for.
const TILE: (usize, usize) = (2, 4);

/// Products of all rows with all tokens, a slice of `y` for each.
#[inline(always)]
pub(crate) fn products<P: Plain, O: Octets>(
    o: O,
    weights: &[u8],
    row_bytes: usize,
    x: &[f32],
    mut y: &mut [&mut [f32]],
) {
    let width = x.len() / y.len();
    let mut x = x.chunks_exact(width);
    while y.len() >= TILE.1 {
        let (some, rest) = y.split_at_mut(TILE.1);
        let tokens: [&[f32]; TILE.1] = std::array::from_fn(|_| x.next().unwrap_or_default());
        strips::<P, O, { TILE.0 }, { TILE.1 }>(o, weights, row_bytes, tokens, some);
        y = rest;
    }
    for (x, y) in x.zip(y.chunks_mut(1)) {
        match O::ROWS {
            8 => strips::<P, O, 8, 1>(o, weights, row_bytes, [x], y),
            _ => strips::<P, O, 4, 1>(o, weights, row_bytes, [x], y),
        }
    }
}

/// Products of all rows with some tokens, `R` rows at a time.
#[inline(always)]
fn strips<P: Plain, O: Octets, const R: usize, const T: usize>(
    o: O,
    weights: &[u8],
    row_bytes: usize,
    tokens: [&[f32]; T],
    y: &mut [&mut [f32]],
) {
    let rows = weights.len() / row_bytes;
    let row = |r: usize| &weights[r * row_bytes..(r + 1) * row_bytes];
    for r in (0..rows).step_by(R) {
        // The last strip goes back to where it is a whole one, if there are so many rows: those
        // that were computed before get the same bits again.
        let first = r.min(rows.saturating_sub(R));
        let sums = tile::<P, O, R, T>(
            o,
            std::array::from_fn(|i| row((first + i).min(rows - 1))),
            tokens,
        );
        for (r, sums) in (first..rows).zip(sums) {
            for (y, sum) in y.iter_mut().zip(sums) {
                y[r] = sum;
            }
        }
    }
}

#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "several arrays are indexed alike"
)]
fn tile<P: Plain, O: Octets, const R: usize, const T: usize>(
    o: O,
    rows: [&[u8]; R],
    tokens: [&[f32]; T],
) -> [[f32; T]; R] {
    let octets = tokens[0].len() / 8;
    let tokens = tokens.map(|token| token.as_chunks::<8>());
    let x = tokens.map(|(octets_of_token, _)| &octets_of_token[..octets]);
    let weights = rows.map(|row| P::weights(row).as_chunks::<8>());
    let w = weights.map(|(octets_of_row, _)| &octets_of_row[..octets]);
    let mut sums = [[o.zero(); T]; R];
    for c in 0..octets {
        let mut here = [o.zero(); T];
        for t in 0..T {
            here[t] = o.load(&x[t][c]);
        }
        for r in 0..R {
            // The same place of the next rows.
            o.prefetch(
                w[r][c]
                    .as_ptr()
                    .cast::<u8>()
                    .wrapping_add(R * rows[r].len()),
            );
            let weight = P::widen(o, &w[r][c]);
            for t in 0..T {
                sums[r][t] = o.add_product(sums[r][t], weight, here[t]);
            }
        }
    }
    let mut out = [[0.0; T]; R];
    for r in 0..R {
        for t in 0..T {
            let mut lanes = o.to_array(sums[r][t]);
            for (lane, (&w, x)) in lanes.iter_mut().zip(weights[r].1.iter().zip(tokens[t].1)) {
                *lane += P::value(w) * x;
            }
            out[r][t] = canonical(add_lanes(lanes));
        }
    }
    out
}

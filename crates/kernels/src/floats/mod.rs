//! Weights that are floats, several rows or tokens at a time.
//!
//! The loops are written so that the compiler makes vector instructions of the eight lanes; it
//! never changes the order of additions of floats, so the bits are those of the definition.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod simd128;

use crate::activations::canonical;
use crate::formats::Plain;
use crate::scalar::add_lanes;

/// Rows or tokens side by side: enough independent sums to keep the adders busy.
const SIDE: usize = 4;

/// Products of all rows with all tokens, a slice of `y` for each. `widen` gives the values of eight weights.
#[inline(always)]
pub(crate) fn products<P: Plain>(
    weights: &[u8],
    row_bytes: usize,
    x: &[f32],
    y: &mut [&mut [f32]],
    widen: impl Fn(&[P::Raw; 8]) -> [f32; 8],
) {
    let rows = weights.len() / row_bytes;
    let tokens = y.len();
    let width = x.len() / tokens;
    let row = |r: usize| P::weights(&weights[r * row_bytes..(r + 1) * row_bytes]);
    let token = |t: usize| &x[t * width..(t + 1) * width];
    let whole_tokens = tokens / SIDE * SIDE;
    let whole_rows = rows / SIDE * SIDE;
    #[allow(
        clippy::needless_range_loop,
        reason = "rows, tokens and results are indexed alike"
    )]
    for r in 0..rows {
        for t in (0..whole_tokens).step_by(SIDE) {
            let tokens = std::array::from_fn(|i| token(t + i));
            let [sums] = tile::<P, 1, SIDE>([row(r)], tokens, &widen);
            for (i, sum) in sums.into_iter().enumerate() {
                y[t + i][r] = sum;
            }
        }
    }
    #[allow(clippy::needless_range_loop, reason = "as above")]
    for t in whole_tokens..tokens {
        for r in (0..whole_rows).step_by(SIDE) {
            let rows_here = std::array::from_fn(|i| row(r + i));
            let sums = tile::<P, SIDE, 1>(rows_here, [token(t)], &widen);
            for (i, [sum]) in sums.into_iter().enumerate() {
                y[t][r + i] = sum;
            }
        }
        for r in whole_rows..rows {
            let [[sum]] = tile::<P, 1, 1>([row(r)], [token(t)], &widen);
            y[t][r] = sum;
        }
    }
}

#[inline(always)]
#[allow(
    clippy::needless_range_loop,
    reason = "several arrays are indexed alike"
)]
fn tile<P: Plain, const R: usize, const T: usize>(
    rows: [&[P::Raw]; R],
    tokens: [&[f32]; T],
    widen: &impl Fn(&[P::Raw; 8]) -> [f32; 8],
) -> [[f32; T]; R] {
    let rows = rows.map(|row| row.as_chunks::<8>());
    let tokens = tokens.map(|token| token.as_chunks::<8>());
    let mut lanes = [[[0.0; 8]; T]; R];
    for c in 0..tokens[0].0.len() {
        let w = rows.map(|(row, _)| widen(&row[c]));
        let x = tokens.map(|(token, _)| token[c]);
        for r in 0..R {
            for t in 0..T {
                for i in 0..8 {
                    lanes[r][t][i] += w[r][i] * x[t][i];
                }
            }
        }
    }
    for i in 0..tokens[0].1.len() {
        for r in 0..R {
            for t in 0..T {
                lanes[r][t][i] += P::value(rows[r].1[i]) * tokens[t].1[i];
            }
        }
    }
    lanes.map(|lanes| lanes.map(|lanes| canonical(add_lanes(lanes))))
}

//! Weights that are floats, several rows or tokens at a time.
//!
//! The loops are written so that the compiler makes vector instructions of the eight lanes; it
//! never changes the order of additions of floats, so the bits are those of the definition.

use crate::activations::canonical;
use crate::formats::Plain;
use crate::scalar::add_lanes;

/// Rows or tokens side by side: enough independent sums to keep the adders busy.
const SIDE: usize = 4;

#[inline(always)]
pub(crate) fn products<P: Plain>(weights: &[u8], row_bytes: usize, x: &[f32], y: &mut [f32]) {
    let rows = weights.len() / row_bytes;
    let width = row_bytes / P::BYTES;
    let row = |r: usize| &weights[r * row_bytes..(r + 1) * row_bytes];
    let token = |t: usize| &x[t * width..(t + 1) * width];
    let tokens = x.len() / width;
    let whole_tokens = tokens / SIDE * SIDE;
    let whole_rows = rows / SIDE * SIDE;
    for t in (0..whole_tokens).step_by(SIDE) {
        for r in 0..rows {
            let [sums] = tile::<P, 1, SIDE>([row(r)], std::array::from_fn(|i| token(t + i)));
            for (i, sum) in sums.into_iter().enumerate() {
                y[(t + i) * rows + r] = sum;
            }
        }
    }
    for t in whole_tokens..tokens {
        for r in (0..whole_rows).step_by(SIDE) {
            let sums = tile::<P, SIDE, 1>(std::array::from_fn(|i| row(r + i)), [token(t)]);
            for (i, [sum]) in sums.into_iter().enumerate() {
                y[t * rows + r + i] = sum;
            }
        }
        for r in whole_rows..rows {
            let [[sum]] = tile::<P, 1, 1>([row(r)], [token(t)]);
            y[t * rows + r] = sum;
        }
    }
}

#[inline(always)]
fn tile<P: Plain, const R: usize, const T: usize>(
    rows: [&[u8]; R],
    tokens: [&[f32]; T],
) -> [[f32; T]; R] {
    let width = tokens[0].len();
    let mut lanes = [[[0.0; 8]; T]; R];
    for c in (0..width / 8 * 8).step_by(8) {
        for (row, lanes) in rows.iter().zip(&mut lanes) {
            let row = &row[c * P::BYTES..(c + 8) * P::BYTES];
            let w: [f32; 8] = std::array::from_fn(|i| P::value(&row[i * P::BYTES..]));
            for (x, lanes) in tokens.iter().zip(lanes) {
                let x = &x[c..c + 8];
                for i in 0..8 {
                    lanes[i] += w[i] * x[i];
                }
            }
        }
    }
    for c in width / 8 * 8..width {
        for (row, lanes) in rows.iter().zip(&mut lanes) {
            let w = P::value(&row[c * P::BYTES..]);
            for (x, lanes) in tokens.iter().zip(lanes) {
                lanes[c % 8] += w * x[c];
            }
        }
    }
    lanes.map(|lanes| lanes.map(|lanes| canonical(add_lanes(lanes))))
}

//! Slow and exact: what the fast kernels are checked against, and the arithmetic of `--exact`.

use gguf::TensorType;

use crate::Error;
use crate::activations::canonical;
use crate::formats::{Blocks, Plain, Unpacked, with_blocks, with_plain};
use crate::product::row_bytes;

/// The values of packed weights, as ggml computes them.
///
/// `out` must be a whole number of blocks and `weights` just their bytes.
pub fn dequantise(ty: TensorType, weights: &[u8], out: &mut [f32]) -> Result<(), Error> {
    let expected = if out.is_empty() {
        0
    } else {
        row_bytes(ty, out.len())?
    };
    if weights.len() != expected {
        return Err(Error::Length {
            what: "bytes of weights",
            expected,
            found: weights.len(),
        });
    }
    with_blocks!(ty, blocks(weights, out))
        .or_else(|| with_plain!(ty, plain(weights, out)))
        .ok_or(Error::Unsupported(ty))
}

fn blocks<B: Blocks>(weights: &[u8], out: &mut [f32]) {
    let mut block = Unpacked::new();
    for (bytes, out) in weights
        .chunks_exact(B::BYTES)
        .zip(out.chunks_exact_mut(B::LEN))
    {
        B::unpack(bytes, &mut block);
        for (group, out) in out.chunks_exact_mut(16).enumerate() {
            let scale = block.d * f32::from(block.scales[group]);
            let min = block.dmin * f32::from(block.mins[group]);
            for (out, &quant) in out.iter_mut().zip(&block.quants[16 * group..]) {
                *out = scale * f32::from(quant);
                if B::MINS {
                    *out -= min;
                }
            }
        }
    }
}

fn plain<P: Plain>(weights: &[u8], out: &mut [f32]) {
    for (&weight, out) in P::weights(weights).iter().zip(out) {
        *out = P::value(weight);
    }
}

/// `y[t·rows + r] = Σ w[r, c] · x[t, c]` with activations left as they are and sums in `f64`.
///
/// The sums run in eight lanes like those of the float kernels, so the result is the same on every
/// target here too.
pub fn matmul(
    ty: TensorType,
    weights: &[u8],
    rows: usize,
    cols: usize,
    x: &[f32],
    tokens: usize,
    y: &mut [f32],
) -> Result<(), Error> {
    let row_bytes = row_bytes(ty, cols)?;
    let check = |what, a: usize, b: usize, found| {
        let expected = a.checked_mul(b).ok_or(Error::Overflow(what))?;
        if found == expected {
            Ok(())
        } else {
            Err(Error::Length {
                what,
                expected,
                found,
            })
        }
    };
    check("bytes of weights", rows, row_bytes, weights.len())?;
    check("activations", tokens, cols, x.len())?;
    check("results", tokens, rows, y.len())?;
    let mut row = vec![0.0; cols];
    for (r, weights) in weights.chunks_exact(row_bytes).enumerate() {
        dequantise(ty, weights, &mut row)?;
        for (t, x) in x.chunks_exact(cols).enumerate() {
            y[t * rows + r] = canonical(dot(&row, x));
        }
    }
    Ok(())
}

fn dot(w: &[f32], x: &[f32]) -> f32 {
    let mut lanes = [0f64; 8];
    for (w, x) in w.chunks(8).zip(x.chunks(8)) {
        for ((lane, w), x) in lanes.iter_mut().zip(w).zip(x) {
            *lane += f64::from(*w) * f64::from(*x);
        }
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    (((a + e) + (c + g)) + ((b + f) + (d + h))) as f32
}

use gguf::TensorType;
use kernels::{Activations, reference};

use crate::{Error, TOLERANCE};

/// Checks the results of a graphics processor, the first, against those of the CPU, in at most so many rows, spread
/// evenly.
///
/// Drivers have faults, and one that is quick and wrong must not win.
///
/// # Errors
/// When they are further apart than [`TOLERANCE`] allows, or the sizes do not fit together.
pub fn agree(
    ty: TensorType,
    weights: &[u8],
    rows: usize,
    x: &Activations,
    [found, exact]: [&[f32]; 2],
    checked: usize,
) -> Result<(), Error> {
    let (columns, tokens) = (x.width(), x.tokens());
    for results in [found, exact] {
        if results.len() != rows * tokens {
            return Err(Error::Length {
                what: "results",
                expected: rows * tokens,
                found: results.len(),
            });
        }
    }
    let input = x.decode();
    let bytes = weights.len() / rows.max(1);
    let mut row = vec![0.0; columns];
    for r in (0..rows).step_by(rows.div_ceil(checked.max(1)).max(1)) {
        reference::dequantise(ty, &weights[r * bytes..][..bytes], &mut row)?;
        for (t, input) in input.chunks_exact(columns).enumerate() {
            let magnitude: f32 = row.iter().zip(input).map(|(w, x)| (w * x).abs()).sum();
            let (found, exact) = (found[t * rows + r], exact[t * rows + r]);
            // Whoever asks about infinite activations proves nothing against the device.
            if !exact.is_finite() {
                continue;
            }
            let off = (found - exact).abs();
            // What is not a number is not near either.
            if off > TOLERANCE * magnitude || off.is_nan() {
                return Err(Error::Wrong {
                    row: r,
                    token: t,
                    off,
                    allowed: TOLERANCE * magnitude,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

    use kernels::encoding_for;

    use super::*;

    /// Two rows of 32 weights in Q8_0, all of them 1, for one token of ones: both results should be 32.
    fn check(found: [f32; 2], checked: usize) -> Result<(), Error> {
        compare(found, [32.0; 2], checked)
    }

    fn compare(found: [f32; 2], exact: [f32; 2], checked: usize) -> Result<(), Error> {
        let block = [[0x00, 0x3c].as_slice(), &[1; 32]].concat();
        let ty = TensorType::Q8_0;
        let x = Activations::encode(encoding_for(ty).unwrap(), 32, &[1.0; 32]).unwrap();
        agree(ty, &block.repeat(2), 2, &x, [&found, &exact], checked)
    }

    #[test]
    fn results_within_the_tolerance_agree() {
        check([32.0, 32.0], 2).unwrap();
        check([32.0, 32.0 + 16.0 * TOLERANCE], 2).unwrap();
    }

    #[test]
    fn results_beyond_the_tolerance_do_not() {
        for wrong in [32.0 + 64.0 * TOLERANCE, 0.0, f32::NAN, f32::INFINITY] {
            let error = check([32.0, wrong], 2).unwrap_err();
            assert!(
                matches!(
                    error,
                    Error::Wrong {
                        row: 1,
                        token: 0,
                        ..
                    }
                ),
                "{error}"
            );
        }
    }

    #[test]
    fn where_the_cpu_has_no_number_nothing_is_compared() {
        compare([32.0, 7.0], [32.0, f32::INFINITY], 2).unwrap();
        compare([f32::NAN, 32.0], [f32::NAN, 32.0], 2).unwrap();
    }

    #[test]
    fn only_so_many_rows_are_checked() {
        check([32.0, 0.0], 1).unwrap();
        check([0.0, 32.0], 1).unwrap_err();
    }
}

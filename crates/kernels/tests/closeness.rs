//! How far the fast products are from exact arithmetic.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use common::{Random, supported, values, weights};
use kernels::{Activations, Encoding, encoding_for, matmul, reference};

#[test]
fn products_are_those_of_the_rounded_activations_but_for_the_last_digits() {
    for ty in supported() {
        for seed in 0..30 {
            let random = &mut Random(seed);
            let (rows, tokens) = (1 + random.below(5), 1 + random.below(9));
            let cols = 256 * (1 + random.below(8));
            let weights = weights(ty, rows, cols, false, random);
            let input = values(cols * tokens, false, random);
            let x = Activations::encode(encoding_for(ty).unwrap(), cols, &input).unwrap();
            let rounded = x.decode();
            let (mut fast, mut exact) = (vec![0.0; rows * tokens], vec![0.0; rows * tokens]);
            matmul(ty, &weights, rows, &x, &mut fast).unwrap();
            reference::matmul(ty, &weights, rows, cols, &rounded, tokens, &mut exact).unwrap();
            let mut w = vec![0.0; rows * cols];
            reference::dequantise(ty, &weights, &mut w).unwrap();
            for t in 0..tokens {
                for r in 0..rows {
                    let (w, x) = (&w[r * cols..][..cols], &rounded[t * cols..][..cols]);
                    let size: f32 = w.iter().zip(x).map(|(w, x)| (w * x).abs()).sum();
                    let difference = (fast[t * rows + r] - exact[t * rows + r]).abs();
                    assert!(
                        difference <= 3e-6 * size + 1e-38,
                        "{} with seed {seed}: {difference} of {size}",
                        ty.name()
                    );
                }
            }
        }
    }
}

#[test]
fn the_reference_is_the_sum_of_the_products_in_double_precision() {
    for ty in supported() {
        let random = &mut Random(5);
        let (rows, tokens, cols) = (3, 2, 512);
        let weights = weights(ty, rows, cols, false, random);
        let x = values(cols * tokens, false, random);
        let mut y = vec![0.0; rows * tokens];
        reference::matmul(ty, &weights, rows, cols, &x, tokens, &mut y).unwrap();
        let mut w = vec![0.0; rows * cols];
        reference::dequantise(ty, &weights, &mut w).unwrap();
        for t in 0..tokens {
            for r in 0..rows {
                let products =
                    (0..cols).map(|c| f64::from(w[r * cols + c]) * f64::from(x[t * cols + c]));
                let size: f64 = products.clone().map(f64::abs).sum();
                let difference = (products.sum::<f64>() - f64::from(y[t * rows + r])).abs();
                assert!(
                    difference <= 1e-7 * size,
                    "{}: {difference} of {size}",
                    ty.name()
                );
            }
        }
    }
}

#[test]
fn rounding_moves_a_value_by_half_a_step_at_most() {
    for seed in 0..300 {
        let random = &mut Random(seed);
        let input = values(512, false, random);
        for encoding in [Encoding::Q8_0, Encoding::Q8_K] {
            let decoded = Activations::encode(encoding, 512, &input).unwrap().decode();
            let block = encoding.block_len();
            for (input, decoded) in input.chunks(block).zip(decoded.chunks(block)) {
                let largest = input.iter().fold(0f32, |m, v| m.max(v.abs()));
                // Half precision of the scale adds its own half step, and has a smallest number.
                let slack = if encoding == Encoding::Q8_0 {
                    largest * 5e-4 + 4e-6
                } else {
                    0.0
                };
                for (input, decoded) in input.iter().zip(decoded) {
                    let bound = largest / 127.0 * 0.5001 + slack;
                    assert!(
                        (input - decoded).abs() <= bound,
                        "{encoding}, seed {seed}: {input} became {decoded}"
                    );
                }
            }
        }
    }
}

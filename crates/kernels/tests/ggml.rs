//! The crate against vectors made with ggml and its Python package (`fixtures/make.py`).
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use gguf::TensorType;
use kernels::{Activations, Encoding, encoding_for, matmul, reference};

const DEQUANTISED: &[u8] = include_bytes!("fixtures/dequantised.bin");
const ACTIVATIONS: &[u8] = include_bytes!("fixtures/activations.bin");

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (head, rest) = bytes.split_at(count);
    *bytes = rest;
    head
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|b| f32::from_le_bytes(*b))
        .collect()
}

/// Type, packed weights, their values.
fn blocks() -> Vec<(TensorType, &'static [u8], Vec<f32>)> {
    let mut rest = DEQUANTISED;
    let mut all = Vec::new();
    while !rest.is_empty() {
        let number = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
        let ty = TensorType::from_id(number(take(&mut rest, 4))).unwrap();
        let count = number(take(&mut rest, 4)) as usize;
        let packed = take(&mut rest, count * ty.block_bytes());
        let values = floats(take(&mut rest, count * ty.block_len() * 4));
        all.push((ty, packed, values));
    }
    all
}

#[test]
fn every_supported_type_is_dequantised_as_ggml_does_it() {
    let blocks = blocks();
    for (ty, packed, values) in &blocks {
        let mut found = vec![0.0; values.len()];
        reference::dequantise(*ty, packed, &mut found).unwrap();
        for (i, (found, expected)) in found.iter().zip(values).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{} at {i}", ty.name());
        }
    }
    let supported = TensorType::ALL
        .iter()
        .filter(|ty| encoding_for(**ty).is_some());
    assert_eq!(supported.count(), blocks.len());
}

#[test]
fn activations_are_rounded_to_the_bytes_ggml_rounds_them_to() {
    const CASE: usize = 256 * 4 + 8 * 34 + 292;
    for (number, mut case) in ACTIVATIONS.chunks_exact(CASE).enumerate() {
        let values = floats(take(&mut case, 256 * 4));
        let q8_0 = Activations::encode(Encoding::Q8_0, 256, &values).unwrap();
        assert_eq!(
            q8_0.to_bytes(),
            take(&mut case, 8 * 34),
            "Q8_0, case {number}"
        );
        let q8_k = Activations::encode(Encoding::Q8_K, 256, &values).unwrap();
        // ggml's block goes on with sums, which we compute where they are needed.
        assert_eq!(q8_k.to_bytes(), case[..260], "Q8_K, case {number}");
    }
}

#[test]
fn products_are_those_of_ggmls_weights_with_the_rounded_activations() {
    for (ty, packed, values) in blocks() {
        let width = values.len();
        let x: Vec<f32> = (0..width)
            .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
            .collect();
        let x = Activations::encode(encoding_for(ty).unwrap(), width, &x).unwrap();
        let mut y = [0.0];
        matmul(ty, packed, 1, &x, &mut y).unwrap();
        let products = values
            .iter()
            .zip(x.decode())
            .map(|(w, x)| f64::from(*w) * f64::from(x));
        let size: f64 = products.clone().map(f64::abs).sum();
        let difference = (products.sum::<f64>() - f64::from(y[0])).abs();
        assert!(
            difference <= 1e-6 * size,
            "{}: off by {difference} of {size}",
            ty.name()
        );
    }
}

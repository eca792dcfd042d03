//! What a graphics processor computes, against the reference kernels. In Chromium, which brings one in software:
//!
//! ```text
//! cargo test -p gpu --target wasm32-unknown-unknown
//! ```
//!
//! And where there is a real one: `cargo test -p gpu --features native -- --ignored`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use gguf::TensorType;
use gpu::{Error, Gpu, agree};
use kernels::{Activations, encoding_for, matmul, reference};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test_configure!(run_in_dedicated_worker);

const TYPES: [TensorType; 3] = [TensorType::Q4_K, TensorType::Q6_K, TensorType::Q8_0];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Any bytes are weights, as long as the scales are numbers of a sensible size.
    fn weights(&mut self, ty: TensorType, rows: usize, columns: usize) -> Vec<u8> {
        let mut weights = Vec::new();
        for _ in 0..rows * columns / ty.block_len() {
            let at = weights.len();
            weights.extend((0..ty.block_bytes()).map(|_| self.next() as u8));
            let scales: &[usize] = match ty {
                TensorType::Q4_K => &[0, 2],
                TensorType::Q6_K => &[208],
                _ => &[0],
            };
            for offset in scales {
                // 2^-8 to 2^-5, either sign.
                let exponent = 7 + self.next() % 3;
                let half = (self.next() & 0x83ff) as u16 | (exponent << 10) as u16;
                weights[at + offset..][..2].copy_from_slice(&half.to_le_bytes());
            }
        }
        weights
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count)
            .map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0)
            .collect()
    }
}

/// Products of many shapes are as near to the exact ones as the crate says.
async fn products_are_near(gpu: &Gpu) {
    let random = &mut Random(7);
    let shapes = [
        (1, 256, 1),
        (3, 256, 2),
        (64, 512, 3),
        (65, 768, 8),
        (200, 1024, 9),
        (33, 4096, 17),
        (128, 2048, 1),
        // More rows than workgroups stand side by side.
        (32_800, 32, 2),
    ];
    for ty in TYPES {
        let fits = |(_, columns, _): &(usize, usize, usize)| columns.is_multiple_of(ty.block_len());
        for (rows, columns, tokens) in shapes.into_iter().filter(fits) {
            let weights = random.weights(ty, rows, columns);
            let values = random.values(columns * tokens);
            let x = Activations::encode(encoding_for(ty).unwrap(), columns, &values).unwrap();
            let matrix = gpu.upload(ty, &weights, rows).await.unwrap();
            assert_eq!((matrix.rows(), matrix.columns()), (rows, columns));
            let got = gpu.multiply(&matrix, &x).await.unwrap();
            assert_eq!(got.len(), rows * tokens);

            let mut exact = vec![0.0; rows * tokens];
            let input = x.decode();
            reference::matmul(ty, &weights, rows, columns, &input, tokens, &mut exact).unwrap();
            let mut bits = vec![0.0; rows * tokens];
            matmul(ty, &weights, rows, &x, &mut bits).unwrap();
            for (of, values) in [("exact", &exact), ("CPU", &bits)] {
                agree(ty, &weights, rows, &x, [&got, values], rows).unwrap_or_else(|error| {
                    panic!(
                        "{} {rows}x{columns}, {tokens} tokens, {of} result: {error}",
                        ty.name()
                    )
                });
            }
        }
    }
}

async fn what_does_not_fit_is_refused(gpu: &Gpu) {
    let weights = Random(1).weights(TensorType::Q4_K, 2, 256);
    assert_eq!(
        gpu.upload(TensorType::F32, &weights, 2).await.unwrap_err(),
        Error::Unsupported(TensorType::F32)
    );
    for (bytes, rows) in [
        (&weights[1..], 2),
        (&weights, 3),
        (&weights, 0),
        (&[][..], 1),
    ] {
        let upload = gpu.upload(TensorType::Q4_K, bytes, rows).await;
        let error = upload.unwrap_err();
        assert!(matches!(error, Error::Length { .. }), "{error}");
    }
    let matrix = gpu.upload(TensorType::Q4_K, &weights, 2).await.unwrap();
    let encoding = encoding_for(TensorType::Q4_K).unwrap();
    let x = Activations::encode(encoding, 512, &[0.0; 512]).unwrap();
    let error = gpu.multiply(&matrix, &x).await.unwrap_err();
    assert!(matches!(error, Error::Length { .. }), "{error}");
}

async fn all() {
    let gpu = Gpu::open().await.unwrap().expect("a graphics processor");
    products_are_near(&gpu).await;
    what_does_not_fit_is_refused(&gpu).await;
}

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen_test]
async fn a_graphics_processor_computes_what_the_cpu_does() {
    all().await;
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
#[ignore = "needs a graphics processor and the feature `native`"]
fn a_graphics_processor_computes_what_the_cpu_does() {
    futures::executor::block_on(all());
}

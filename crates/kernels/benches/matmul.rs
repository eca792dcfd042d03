//! Bytes of weights per second, for one thread: `cargo bench -p kernels`.
//!
//! One token is bound by memory, so a plain read of as many bytes stands beside it. For several
//! tokens, operations per second are two per weight and token.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "not part of the crate's interface"
)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gguf::TensorType::{self, BF16, F16, F32, Q4_K, Q5_0, Q5_K, Q6_K, Q8_0};
use kernels::{Activations, encoding_for, matmul};

const TYPES: [TensorType; 8] = [F32, F16, BF16, Q8_0, Q5_0, Q4_K, Q5_K, Q6_K];
const WIDTH: usize = 4096;
/// More than the caches hold.
const BYTES: usize = 96 << 20;

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(bytes / 8).flatten().collect()
}

fn read(c: &mut Criterion) {
    let bytes = noise(BYTES);
    let mut group = c.benchmark_group("read");
    group
        .throughput(Throughput::Bytes(BYTES as u64))
        .sample_size(10);
    group.bench_function("memory", |b| {
        b.iter(|| {
            let mut sums = [0u64; 32];
            for chunk in bytes.as_chunks::<256>().0 {
                for (sum, word) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
                    *sum ^= u64::from_le_bytes(*word);
                }
            }
            black_box(sums)
        });
    });
}

fn products(c: &mut Criterion) {
    let noise = noise(BYTES);
    for ty in TYPES {
        let encoding = encoding_for(ty).unwrap();
        let row = WIDTH / ty.block_len() * ty.block_bytes();
        let mut group = c.benchmark_group(ty.name());
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300));
        group.measurement_time(Duration::from_secs(1));
        for tokens in [1, 8, 32] {
            let rows = BYTES / row / tokens;
            let weights = &noise[..rows * row];
            let x: Vec<f32> = (0..WIDTH * tokens)
                .map(|i| (i % 255) as f32 - 127.0)
                .collect();
            let x = Activations::encode(encoding, WIDTH, &x).unwrap();
            let mut y = vec![0.0; rows * tokens];
            group.throughput(Throughput::Bytes(weights.len() as u64));
            group.bench_function(format!("{tokens} tokens"), |b| {
                b.iter(|| matmul(ty, weights, rows, &x, &mut y).unwrap());
            });
        }
    }
}

criterion_group!(benches, read, products);
criterion_main!(benches);

//! Times the kernels natively: `cargo run --release -p kernels --example speed -- [TYPE…]`.
//!
//! One line of JSON per type, number of tokens and instruction set: bytes of weights and operations
//! per second, each the best of several rounds in which everything takes its turn, the plain read
//! of memory included.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run may stop")]

mod bench;

use std::time::{Duration, Instant};

use bench::{Bench, WIDTH};
use gguf::TensorType;
use kernels::{Isa, encoding_for};

/// Bytes of weights times tokens in one product.
const SAMPLE: usize = 16 << 20;
/// Short enough for some samples to pass undisturbed, long enough for other threads to wake up.
const SAMPLE_TIME: Duration = Duration::from_millis(4);

fn main() {
    // In a thread of the pool, as programs do it: from outside each product would wait for one to wake up.
    #[cfg(feature = "threads")]
    rayon::scope(|_| measure());
    #[cfg(not(feature = "threads"))]
    measure();
}

fn measure() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let rounds: usize = std::env::var("ROUNDS").map_or(50, |n| n.parse().unwrap());
    let all = std::env::var_os("EVERY_ISA").is_some();
    let isas: Vec<Isa> = Isa::ALL
        .into_iter()
        .filter(|isa| isa.is_available() && (*isa == Isa::best() || all && *isa != Isa::Scalar))
        .collect();
    let types = TensorType::ALL.iter().copied().filter(|ty| {
        encoding_for(*ty).is_some() && (wanted.is_empty() || wanted.iter().any(|w| w == ty.name()))
    });
    let mut bench = Bench::new(512 << 20);
    for ty in types {
        let inputs: Vec<_> = [1, 8, 32].map(|t| (t, Bench::activations(ty, t))).into();
        let mut best = vec![vec![0f64; inputs.len()]; isas.len()];
        let mut read = 0f64;
        for _ in 0..rounds {
            let speed = |work: &mut dyn FnMut() -> usize| {
                let start = Instant::now();
                let mut bytes = 0;
                while start.elapsed() < SAMPLE_TIME {
                    bytes += work();
                }
                bytes as f64 / start.elapsed().as_secs_f64()
            };
            read = read.max(speed(&mut || bench.read(SAMPLE)));
            for (isa, best) in isas.iter().zip(&mut best) {
                for ((tokens, x), best) in inputs.iter().zip(best) {
                    let bytes = SAMPLE / tokens;
                    *best = best.max(speed(&mut || bench.multiply(*isa, ty, bytes, x)));
                }
            }
        }
        for (isa, best) in isas.iter().zip(&best) {
            for ((tokens, _), best) in inputs.iter().zip(best) {
                let weights = best / ty.block_bytes() as f64 * ty.block_len() as f64;
                println!(
                    "{{\"type\":\"{}\",\"isa\":\"{isa}\",\"tokens\":{tokens},\"width\":{WIDTH},\"bytes\":{best:.4e},\"operations\":{:.4e},\"read\":{read:.4e}}}",
                    ty.name(),
                    2.0 * weights * *tokens as f64,
                );
            }
        }
    }
}

//! Times whole models natively: `cargo run --release -p inference --features threads --example
//! engine -- FILE.gguf PROMPT ANSWER ROUNDS`, with as many threads as `RAYON_NUM_THREADS` says.
//!
//! One line of JSON: tokens of the prompt and of the answer per second, each the best of the
//! rounds.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run may stop")]

mod run;

use std::time::Instant;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize| arguments[i].parse::<usize>().unwrap();
    let (prompt, answer, rounds) = (number(2), number(3), number(4));
    let engine = run::Engine::new(&std::fs::read(&arguments[1]).unwrap());
    let (mut prefill, mut decode) = (0f64, 0f64);
    for _ in 0..rounds {
        let start = Instant::now();
        let mut times = Vec::new();
        let token = || times.push(start.elapsed().as_secs_f64());
        rayon::scope(|_| engine.run(prompt, answer, token));
        prefill = prefill.max(prompt as f64 / times[0]);
        decode = decode.max((times.len() - 1) as f64 / (times[times.len() - 1] - times[0]));
    }
    println!("{{\"prefill\":{prefill:.2},\"decode\":{decode:.2}}}");
}

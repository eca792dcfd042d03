//! How fast it is, beside what it is compared with, in the same run; the tables go into `docs/benchmarks.md`.

mod browser;
mod engines;
mod kernels;
mod report;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Benchmark {
    /// The products of every type of weights, natively and in Chromium, beside a plain read of memory.
    Kernels(kernels::Options),
    /// Whole models, beside llama.cpp natively and wllama in Chromium.
    Engines(engines::Options),
}

pub(crate) fn run(benchmark: &Benchmark) -> Result<()> {
    match benchmark {
        Benchmark::Kernels(options) => kernels::run(options),
        Benchmark::Engines(options) => engines::run(options),
    }
}

//! `cargo xtask …`: the chores of the project, in Rust instead of shell.
//!
//! Two commands matter to a newcomer: `run` shows the system working, `test` shows that it is right. Both do all
//! set-up themselves and say what they are doing. Nothing here is part of the product; nothing of the product
//! depends on it.

mod bench;
mod lab;
mod paths;
mod policy;
mod precache;
mod relaxed;
mod run;
mod setup;
mod shell;
mod size;
mod steps;
mod test;
mod wasm;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Chores of Inference-IA-P2P"
)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Build everything, start a node with the page and print the address to open.
    Run(run::Options),
    /// Run every check and every test, including real browsers.
    Test(test::Options),
    /// Install what building and testing need; nothing when it is all there.
    Setup,
    /// Build the page into `dist/`.
    Web,
    /// Add up what the page costs to load, compressed.
    Size,
    /// Measure how fast it is, and write the tables of docs/benchmarks.md.
    #[command(subcommand)]
    Bench(bench::Benchmark),
    /// Longer experiments that are not part of `test`.
    #[command(subcommand)]
    Lab(lab::Experiment),
    /// What Trunk cannot do itself; called by it while it builds.
    #[command(hide = true)]
    FinishPage,
}

fn main() -> ExitCode {
    match perform(Arguments::parse().chore) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(chore: Chore) -> Result<ExitCode> {
    match chore {
        Chore::Run(options) => return run::run(&options),
        Chore::Test(options) => return test::test(&options),
        Chore::Setup => drop(setup::prepare(setup::Purpose::Test)?),
        Chore::Web => web::build(&setup::prepare(setup::Purpose::Run)?)?,
        Chore::Size => size::check()?,
        Chore::Bench(benchmark) => bench::run(&benchmark)?,
        Chore::Lab(experiment) => lab::run(&experiment)?,
        Chore::FinishPage => web::finish()?,
    }
    Ok(ExitCode::SUCCESS)
}

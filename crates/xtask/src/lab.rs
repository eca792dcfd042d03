//! Longer experiments, whose figures stand in the documentation beside the command that makes them.

mod bigfile;
mod peak;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Experiment {
    /// Cut, verify and join a large generated file, and show time and memory.
    Bigfile(bigfile::Options),
}

pub(crate) fn run(experiment: &Experiment) -> Result<()> {
    match experiment {
        Experiment::Bigfile(options) => bigfile::run(options),
    }
}

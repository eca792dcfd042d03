//! Longer experiments, whose figures stand in the documentation beside the command that makes them.

mod bigfile;
mod fullsize;
mod peak;

use anyhow::Result;
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Experiment {
    /// Cut, verify and join a large generated file, and show time and memory.
    Bigfile(bigfile::Options),
    /// Cut and join a model of the real size, and compare with copying and hashing it.
    Fullsize(fullsize::Options),
}

pub(crate) fn run(experiment: &Experiment) -> Result<()> {
    match experiment {
        Experiment::Bigfile(options) => bigfile::run(options),
        Experiment::Fullsize(options) => fullsize::run(options),
    }
}

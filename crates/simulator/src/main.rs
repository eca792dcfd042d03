//! Runs an experiment at full length and prints its page; `cargo xtask lab` calls it.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use simulator::{
    Model,
    survival::{
        Trial,
        study::{self, Options},
    },
};

/// Experiments with swarms of many nodes, in virtual time.
#[derive(Parser)]
struct Simulate {
    #[command(subcommand)]
    experiment: Experiment,
    /// What all that is drawn depends on
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// Put the page, the figures and the plots into docs/simulation, too
    #[arg(long, global = true)]
    write: bool,
}

#[derive(Subcommand)]
enum Experiment {
    /// What is left of a model when many nodes go at once, and how many replicas which promise takes.
    Survival {
        /// How often each loss is tried
        #[arg(long, default_value_t = 1000)]
        runs: u32,
        /// The share of the experts' fragments that a degraded answer needs
        #[arg(long, default_value_t = 0.9)]
        floor: f64,
        /// How many join before they hear of each other
        #[arg(long, default_value_t = 100)]
        at_once: usize,
    },
}

fn main() -> Result<()> {
    let simulate = Simulate::parse();
    let models = [
        Model::magistral()?,
        Model::mistral_large()?,
        Model::first_plan(),
    ];
    let Experiment::Survival {
        runs,
        floor,
        at_once,
    } = simulate.experiment;
    ensure!(runs > 0, "--runs must be at least 1");
    ensure!(at_once > 0, "--at-once must be at least 1");
    ensure!(
        (0.0..=1.0).contains(&floor),
        "--floor is a share, between 0 and 1"
    );
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos}/{human_len} fragments, {elapsed}",
    )?);
    let options = Options {
        seed: simulate.seed,
        trial: Trial { runs, floor },
        at_once,
    };
    let study = study::run(&models, &options, |what, complete, of| {
        bar.set_length(of as u64);
        bar.set_position(complete as u64);
        if bar.message() != what {
            bar.set_message(what.to_owned());
        }
    });
    bar.finish_and_clear();
    let page = study.page(&models)?;
    print!("{page}");
    if simulate.write {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulation");
        page.write(&folder, "survival.md")?;
    }
    // What came of it is of use in any case.
    ensure!(
        study.broken.is_empty(),
        "this does not hold:\n{}",
        study.broken.join("\n")
    );
    Ok(())
}

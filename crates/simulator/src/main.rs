//! Runs an experiment at full length and prints its page; `cargo xtask lab` calls it.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use anyhow::{Result, bail, ensure};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use simulator::{Model, churn, histories, latency, repair, survival};

/// Experiments with swarms of many nodes, in virtual time.
#[derive(Parser)]
struct Simulate {
    #[command(subcommand)]
    experiment: Experiment,
    /// What all that is drawn depends on
    #[arg(long, global = true, default_value_t = 1)]
    seed: u64,
    /// Only these models: demo, magistral-small, mistral-large-3, first-plan
    #[arg(long, global = true, value_delimiter = ',', value_name = "MODEL")]
    models: Vec<String>,
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
    /// How long it takes until all is held as often as wanted again, after many nodes have gone.
    Repair {
        /// How many join before they hear of each other
        #[arg(long, default_value_t = 100)]
        at_once: usize,
    },
    /// What is left of a model while nodes come and go all the time.
    Churn {
        /// How many join before they hear of each other
        #[arg(long, default_value_t = 100)]
        at_once: usize,
        /// How many hours pass before it is looked
        #[arg(long, default_value_t = 1.0)]
        before: f64,
        /// For how many hours it is looked
        #[arg(long, default_value_t = 2.0)]
        hours: f64,
        /// The share of the experts' fragments that a degraded answer needs
        #[arg(long, default_value_t = 0.9)]
        floor: f64,
    },
    /// Whole nodes keep their promises in histories made up at random: --seed is the first of them.
    Histories {
        /// How many; of a single one that breaks a promise, all that happened is told
        #[arg(long, default_value_t = 5000)]
        seeds: u64,
    },
    /// How long a token takes, and which decision saves how much.
    Latency {
        /// How many nodes the swarms have
        #[arg(long, value_delimiter = ',', default_values_t = [50_000, 200_000])]
        nodes: Vec<usize>,
        /// How many servers the one who asks knows that run layers for others
        #[arg(long, default_value_t = 64)]
        servers: usize,
    },
}

fn main() -> Result<()> {
    let simulate = Simulate::parse();
    // What is said of many fragments is not true of a few: how many of them survive is a matter of luck.
    let small = !matches!(simulate.experiment, Experiment::Survival { .. });
    let models = chosen(&simulate.models, small)?;
    ensure!(
        !simulate.write || simulate.models.is_empty(),
        "--write puts all models into the documents; leave out --models"
    );
    let bar = ProgressBar::new(0);
    bar.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {human_pos}/{human_len} fragments, {elapsed}",
    )?);
    let told = |what: &str, complete: usize, of: usize| {
        bar.set_length(of as u64);
        bar.set_position(complete as u64);
        if bar.message() != what {
            bar.set_message(what.to_owned());
        }
    };
    let (name, page, broken) = match simulate.experiment {
        Experiment::Survival {
            runs,
            floor,
            at_once,
        } => {
            ensure!(runs > 0, "--runs must be at least 1");
            ensure!(at_once > 0, "--at-once must be at least 1");
            ensure!(
                (0.0..=1.0).contains(&floor),
                "--floor is a share, between 0 and 1"
            );
            let options = survival::study::Options {
                seed: simulate.seed,
                trial: survival::Trial { runs, floor },
                at_once,
            };
            let study = survival::study::run(&models, &options, told);
            ("survival.md", study.page(&models)?, study.broken)
        }
        Experiment::Repair { at_once } => {
            ensure!(at_once > 0, "--at-once must be at least 1");
            let options = repair::study::Options {
                seed: simulate.seed,
                at_once,
            };
            let study = repair::study::run(&models, &options, told);
            ("repair.md", study.page(&models)?, study.broken)
        }
        Experiment::Churn {
            at_once,
            before,
            hours,
            floor,
        } => {
            ensure!(at_once > 0, "--at-once must be at least 1");
            ensure!(
                before >= 0.0 && hours > 0.0 && before + hours < 10_000.0,
                "--before and --hours are a number of hours"
            );
            let options = churn::study::Options {
                seed: simulate.seed,
                at_once,
                before,
                hours,
                floor,
            };
            let study = churn::study::run(&models, &options, told);
            let page = study.page(&models, &options)?;
            ("churn.md", page, study.broken)
        }
        Experiment::Histories { seeds } => {
            name_the_seed_of_a_panic();
            bar.set_length(seeds);
            bar.set_style(ProgressStyle::with_template(
                "histories {wide_bar} {human_pos}/{human_len}, {elapsed}",
            )?);
            let study = histories::study::run(simulate.seed, seeds, |seed| {
                SEED.store(seed, Ordering::Relaxed);
                bar.inc(1);
            });
            if seeds == 1 {
                let log = study.broken.iter().flat_map(|broken| &broken.log);
                log.for_each(|line| eprintln!("{line}"));
            }
            let broken = study.broken.iter().map(ToString::to_string).collect();
            ("histories.md", study.page(), broken)
        }
        Experiment::Latency { nodes, servers } => {
            ensure!(!nodes.contains(&0), "--nodes must be at least 1");
            let options = latency::study::Options {
                seed: simulate.seed,
                nodes,
                servers,
            };
            let study = latency::study::run(&models, &options, told);
            ("latency.md", study.page(&models)?, study.broken)
        }
    };
    bar.finish_and_clear();
    print!("{page}");
    if simulate.write {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulation");
        page.write(&folder, name)?;
    }
    // What came of it is of use in any case.
    ensure!(
        broken.is_empty(),
        "this does not hold:\n{}",
        broken.join("\n")
    );
    Ok(())
}

/// The history that is being played.
static SEED: AtomicU64 = AtomicU64::new(0);

/// A promise that is checked where it is broken ends the program; the seed is needed to see it again.
fn name_the_seed_of_a_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        let seed = SEED.load(Ordering::Relaxed);
        eprintln!("this was seed {seed}: --seed {seed} --seeds 1 plays it again");
    }));
}

/// The models with these names, or all of them: also `small` ones.
fn chosen(names: &[String], small: bool) -> Result<Vec<Model>> {
    let mut models = vec![
        Model::magistral()?,
        Model::mistral_large()?,
        Model::first_plan(),
    ];
    if small {
        models.insert(0, Model::demo()?);
    }
    if let Some(unknown) = names
        .iter()
        .find(|name| models.iter().all(|model| model.id != name.as_str()))
    {
        let known: Vec<_> = models.iter().map(|model| model.id).collect();
        bail!(
            "there is no model {unknown:?}; there are {}",
            known.join(", ")
        );
    }
    models.retain(|model| names.is_empty() || names.iter().any(|name| model.id == name));
    Ok(models)
}

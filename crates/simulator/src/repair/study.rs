//! All of it: how long repair takes and what goes over the lines for it.

use serde::Serialize;
use swarm::Replication;

use super::run::Run;
use crate::{Growth, Model, Placed, Population};

/// How large the study is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// What all that is drawn depends on.
    pub seed: u64,
    /// So many join before they hear of each other.
    pub at_once: usize,
}

/// What came of one loss.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Repaired {
    /// Of which model.
    pub model: &'static str,
    /// How often each fragment is wanted.
    pub replicas: u32,
    /// Nodes before the loss.
    pub nodes: usize,
    /// The share of them that went.
    pub loss: f64,
    /// Fragments of which nothing was left.
    pub lost: usize,
    /// Fragments that had too few replicas, but one.
    pub lacking: usize,
    /// Seconds until half of those had all their replicas again.
    pub half: Option<f64>,
    /// Until nine of ten had.
    pub nine_tenths: Option<f64>,
    /// Until all had.
    pub all: Option<f64>,
    /// Replicas that were fetched for each that was missing or, where all lay in one region, in the wrong place.
    pub fetched_for_missing: f64,
    /// Megabytes that a node received, on average.
    pub mean_received: f64,
    /// The most that one received.
    pub most_received: f64,
    /// The most that one sent.
    pub most_sent: f64,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Study {
    /// Each model, replication and loss.
    pub repaired: Vec<Repaired>,
    /// What should hold and does not.
    pub broken: Vec<String>,
}

const LOSSES: [f64; 3] = [0.01, 0.1, 0.3];

/// No more replicas may be fetched than so many for each that is missing.
const STAMPEDE: f64 = 2.0;

/// Grows swarms in which there is half as much room again as is wanted, lets a part of them go, and repairs. `told` hears what
/// is done, and of how many fragments how many are as wanted.
#[must_use]
pub fn run(models: &[Model], options: &Options, mut told: impl FnMut(&str, usize, usize)) -> Study {
    let mut study = Study::default();
    for model in models {
        for replicas in [3, 5] {
            let wanted = Replication::uniform(replicas);
            let growth = Growth {
                population: Population::Mixed,
                at_once: options.at_once,
                wanted,
                places_known: true,
                surplus: 0.5,
            };
            let fragments = model.catalogue.fragments.len();
            let what = format!("{}, ×{replicas}", model.name);
            let placed = Placed::new(model, &growth, options.seed, |complete| {
                told(&what, complete, fragments);
            });
            for loss in LOSSES {
                let run = Run::new(model, &placed, wanted, loss, options.seed);
                let what = format!("{what}, {:.0} % lost", 100.0 * loss);
                let outcome = run.outcome(&mut |whole| told(&what, whole, fragments));
                let seconds = outcome.until.map(|until| Some(until?.as_secs_f64()));
                let left = (1.0 - loss) * placed.members.len() as f64;
                let megabytes = |bytes: u64| bytes as f64 / 1e6;
                let fetched = outcome.fetched as f64 / outcome.missing.max(1) as f64;
                if outcome.until.contains(&None) {
                    study.broken.push(format!("{what}: it is not repaired"));
                }
                if fetched > STAMPEDE && outcome.missing > 100 {
                    study
                        .broken
                        .push(format!("{what}: {fetched:.1} fetched for one missing"));
                }
                study.repaired.push(Repaired {
                    model: model.name,
                    replicas,
                    nodes: placed.members.len(),
                    loss,
                    lost: outcome.lost,
                    lacking: outcome.lacking,
                    half: seconds[0],
                    nine_tenths: seconds[1],
                    all: seconds[2],
                    fetched_for_missing: fetched,
                    mean_received: megabytes(outcome.received) / left,
                    most_received: megabytes(outcome.most_received),
                    most_sent: megabytes(outcome.most_sent),
                });
            }
        }
    }
    study
}

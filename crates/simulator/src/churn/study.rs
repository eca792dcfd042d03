//! All of it: what so many replicas keep while nodes come and go, and how many it takes.

use std::time::Duration;

use serde::Serialize;
use swarm::{
    Replication,
    replication::{Losses, Target},
};

use super::run::Run;
use crate::Model;

/// How large the study is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What all that is drawn depends on.
    pub seed: u64,
    /// So many join before they hear of each other, when the swarm comes about.
    pub at_once: usize,
    /// So many hours pass before it is looked.
    pub before: f64,
    /// For so many hours it is looked.
    pub hours: f64,
    /// The share of the conditional fragments that a degraded answer needs.
    pub floor: f64,
}

/// How many replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Three of everything.
    Three,
    /// Five of everything.
    Five,
    /// As many as keep all of it for a month with 99 %, by what is seen to go.
    Month,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Three, Self::Five, Self::Month];

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Three => "×3",
            Self::Five => "×5",
            Self::Month => "by churn",
        }
    }

    /// How many are wanted at first, and what is aimed at.
    fn begin(self, model: &Model) -> (Replication, Option<Target>) {
        match self {
            Self::Three => (Replication::THREE, None),
            Self::Five => (Replication::FIVE, None),
            Self::Month => {
                // As if everybody stayed for some hours.
                let losses = Losses {
                    always_active: 1.0 / 64.0,
                    conditional: 1.0 / 64.0,
                };
                let target = Target::MONTH;
                let periods = target.over.as_secs_f64() / 240.0;
                let wanted = Replication::keeping(&target, losses, periods, &model.catalogue);
                (wanted, Some(target))
            }
        }
    }
}

/// What came of one swarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kept {
    /// Of which model.
    pub model: &'static str,
    /// How many replicas were wanted, and why.
    pub mode: Mode,
    /// Nodes that were there, on average.
    pub nodes: f64,
    /// Nodes that went in an hour.
    pub went: f64,
    /// Replicas that were wanted in the end of a fragment that every token needs.
    pub always_active: u32,
    /// And of the others.
    pub conditional: u32,
    /// The share of replicas that goes while one is replaced, of those that every token needs, as it was seen in the end.
    pub always_active_loss: f64,
    /// And of the others.
    pub conditional_loss: f64,
    /// How often nobody who was there had a fragment any more that every token needs.
    pub always_active_lost: usize,
    /// The same of the others.
    pub conditional_lost: usize,
    /// The share of the time in which nothing was missing.
    pub whole: f64,
    /// In which an answer was possible, degraded or not.
    pub usable: f64,
    /// Megabytes that a node received in an hour.
    pub received: f64,
}

/// What came of all of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Study {
    /// Each model and mode.
    pub kept: Vec<Kept>,
    /// What should hold and does not.
    pub broken: Vec<String>,
}

/// Grows swarms, lets their nodes come and go, and looks what is left. `told` hears what is done, and how much of it.
#[must_use]
pub fn run(models: &[Model], options: &Options, mut told: impl FnMut(&str, usize, usize)) -> Study {
    let mut study = Study::default();
    for model in models {
        for mode in Mode::ALL {
            let what = format!("{}, {}", model.name, mode.name());
            told(&what, 0, 1);
            let (wanted, target) = mode.begin(model);
            let run = Run::new(model, wanted, target, options.at_once, options.seed);
            let hours = |hours: f64| Duration::from_secs_f64(hours * 3600.0);
            let (before, looked) = (hours(options.before), hours(options.hours));
            let outcome = run.outcome(before, looked, options.floor, &mut |over, of| {
                told(&what, over, of);
            });
            let lost = outcome.always_active_lost + outcome.conditional_lost;
            if mode == Mode::Month && lost > 0 {
                study
                    .broken
                    .push(format!("{what}: {lost} fragments were lost"));
            }
            study.kept.push(Kept {
                model: model.name,
                mode,
                nodes: outcome.nodes,
                went: outcome.went,
                always_active: outcome.wanted.always_active,
                conditional: outcome.wanted.conditional,
                always_active_loss: outcome.losses.always_active,
                conditional_loss: outcome.losses.conditional,
                always_active_lost: outcome.always_active_lost,
                conditional_lost: outcome.conditional_lost,
                whole: outcome.whole,
                usable: outcome.usable,
                received: outcome.received / 1e6,
            });
        }
    }
    study
}

//! All of it: what replication promises what, and what that costs.

use serde::Serialize;
use swarm::{
    Replication,
    replication::{Goal, survival},
};

use super::{Trial, after_loss, left};
use crate::{Growth, Model, Placed, Population, REGIONS};

/// How large the study is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What all that is drawn depends on.
    pub seed: u64,
    /// How often each loss is tried, and what counts as left.
    pub trial: Trial,
    /// So many join before they hear of each other.
    pub at_once: usize,
}

/// How many replicas, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Three of everything.
    Three,
    /// Five of everything.
    Five,
    /// As many as the first plan's promise for ×3 takes: whole after 10 %, usable after 30 %.
    Modest,
    /// As many as the first plan's promise for ×5 takes: whole after 40 %, usable after 50 %.
    Strong,
    /// As many as what it promised for ×5 takes, but only usable.
    Usable,
}

/// The probability with which a promise is kept.
const KEPT: f64 = 0.99;

impl Mode {
    const ALL: [Self; 5] = [
        Self::Three,
        Self::Five,
        Self::Modest,
        Self::Strong,
        Self::Usable,
    ];

    /// What is promised: after which loss nothing is missing, and after which there is still an answer.
    #[must_use]
    pub fn promises(self) -> &'static [(f64, bool)] {
        match self {
            Self::Three | Self::Five => &[],
            Self::Modest => &[(0.1, true), (0.3, false)],
            Self::Strong => &[(0.4, true), (0.5, false)],
            Self::Usable => &[(0.5, false)],
        }
    }

    /// How many replicas that takes.
    #[must_use]
    pub fn replication(self, model: &Model, floor: f64) -> Replication {
        let goal = |(loss, whole): &(f64, bool)| Goal {
            loss: *loss,
            probability: KEPT,
            conditional: if *whole { 1.0 } else { floor },
        };
        let goals: Vec<_> = self.promises().iter().map(goal).collect();
        match self {
            Self::Three => Replication::THREE,
            Self::Five => Replication::FIVE,
            _ => Replication::reaching(&goals, &model.catalogue),
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Three => "×3",
            Self::Five => "×5",
            Self::Modest => "whole after 10 %, usable after 30 %",
            Self::Strong => "whole after 40 %, usable after 50 %",
            Self::Usable => "usable after 50 %",
        }
    }
}

/// One loss of one swarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Survived {
    /// Of which model.
    pub model: &'static str,
    /// Who holds it.
    pub population: Population,
    /// How many replicas were wanted, and why.
    pub mode: Mode,
    /// The share of nodes lost at once.
    pub loss: f64,
    /// The probability that nothing is missing, by the closed formula for exactly as many replicas as are wanted.
    pub whole_formula: f64,
    /// And for as many as there were.
    pub whole_expected: f64,
    /// What came of the runs.
    pub whole: f64,
    /// The probability that there is still an answer, by the closed formula for as many replicas as there were.
    pub usable_expected: f64,
    /// What came of the runs.
    pub usable: f64,
}

impl Survived {
    /// Whether it is the loss of the swarm that took this.
    pub(super) fn is_of(&self, cost: &Cost) -> bool {
        (self.model, self.population, self.mode) == (cost.model, cost.population, cost.mode)
    }
}

/// What a mode takes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// Of which model.
    pub model: &'static str,
    /// Who holds it.
    pub population: Population,
    /// How many replicas are wanted, and why.
    pub mode: Mode,
    /// Replicas wanted of a fragment that every token needs.
    pub always_active: u32,
    /// And of the others.
    pub conditional: u32,
    /// What all of them take, in bytes.
    pub bytes: u64,
    /// Nodes that it took.
    pub nodes: usize,
    /// Those among them that found nothing to do.
    pub idle: usize,
    /// Replicas beyond what was wanted, because those who join at the same moment do not see each other: in per cent.
    pub excess: f64,
}

/// What is lost when all of one place go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlaceLost {
    /// Of which model.
    pub model: &'static str,
    /// Whether nodes know where others are.
    pub places_known: bool,
    /// `network` or `region`.
    pub what: &'static str,
    /// How many such places there are.
    pub places: usize,
    /// How many of them, lost alone, take fragments with them.
    pub fatal: usize,
    /// The most fragments that one of them takes.
    pub most_lost: usize,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Study {
    /// Each loss of each swarm.
    pub survived: Vec<Survived>,
    /// What each swarm takes.
    pub costs: Vec<Cost>,
    /// Each kind of place.
    pub places: Vec<PlaceLost>,
    /// What should hold and does not.
    pub broken: Vec<String>,
}

/// The shares of nodes lost.
pub(super) const LOSSES: [f64; 8] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];

/// So many standard deviations a share of runs may lie beside what is expected of it.
const DEVIATIONS: f64 = 4.5;

/// Grows swarms of each model and mode and lets parts of them go. `told` hears what is grown, and of how many fragments
/// how many have all their replicas.
#[must_use]
pub fn run(models: &[Model], options: &Options, mut told: impl FnMut(&str, usize, usize)) -> Study {
    let mut study = Study::default();
    for model in models {
        let fragments = model.catalogue.fragments.len();
        for mode in Mode::ALL {
            // Where everybody holds one, nothing is lost together, and the formula has to be met.
            let populations: &[_] = match mode {
                Mode::Three | Mode::Five => &[Population::OneEach, Population::Mixed],
                _ => &[Population::Mixed],
            };
            for population in populations {
                let growth = Growth {
                    population: *population,
                    at_once: options.at_once,
                    wanted: mode.replication(model, options.trial.floor),
                    places_known: true,
                    surplus: 0.0,
                };
                let what = format!("{}, {population}, {}", model.name, mode.name());
                let placed = Placed::new(model, &growth, options.seed, |complete| {
                    told(&what, complete, fragments);
                });
                study.cost(model, mode, &growth, &placed);
                study.losses(model, mode, &growth, &placed, options);
            }
        }
        for places_known in [true, false] {
            let growth = Growth {
                population: Population::Mixed,
                at_once: options.at_once,
                wanted: Replication::THREE,
                places_known,
                surplus: 0.0,
            };
            let placed = Placed::new(model, &growth, options.seed, |complete| {
                told(&format!("{}, places", model.name), complete, fragments);
            });
            study.places(model, places_known, &placed);
        }
    }
    study
}

impl Study {
    fn cost(&mut self, model: &Model, mode: Mode, growth: &Growth, placed: &Placed) {
        let wanted: usize = model
            .catalogue
            .fragments
            .iter()
            .map(|info| growth.wanted.of(info) as usize)
            .sum();
        self.costs.push(Cost {
            model: model.name,
            population: growth.population,
            mode,
            always_active: growth.wanted.always_active,
            conditional: growth.wanted.conditional,
            bytes: growth.wanted.bytes(&model.catalogue),
            nodes: placed.members.len(),
            idle: placed.idle,
            excess: 100.0 * (placed.replicas() as f64 / wanted as f64 - 1.0),
        });
    }

    fn losses(
        &mut self,
        model: &Model,
        mode: Mode,
        growth: &Growth,
        placed: &Placed,
        options: &Options,
    ) {
        let (always_active, conditional) = model.classes();
        for loss in LOSSES {
            let outcome = after_loss(model, placed, loss, &options.trial, options.seed);
            let what = format!(
                "{}, {}, {}, {:.0} % lost",
                model.name,
                growth.population,
                mode.name(),
                100.0 * loss
            );
            let runs = f64::from(options.trial.runs);
            let tolerance =
                |share: f64| DEVIATIONS * (share * (1.0 - share) / runs).sqrt() + 1.0 / runs;
            let apart = growth.population == Population::OneEach;
            for (kind, is, expected, at_least) in [
                ("whole", outcome.whole, outcome.whole_expected, true),
                // How many go at once varies more where nodes hold several, so the formula is no bound then.
                ("usable", outcome.usable, outcome.usable_expected, apart),
            ] {
                let too_low = is < expected - tolerance(expected) && at_least;
                let too_high = is > expected + tolerance(expected) && apart;
                if too_low || too_high {
                    self.broken.push(format!(
                        "{what}: {kind} in {is} of runs, expected {expected}"
                    ));
                }
            }
            for (at, whole) in mode.promises() {
                let is = if *whole {
                    outcome.whole
                } else {
                    outcome.usable
                };
                if *at == loss && is < KEPT - tolerance(KEPT) {
                    self.broken
                        .push(format!("{what}: promised {KEPT}, kept in {is} of runs"));
                }
            }
            self.survived.push(Survived {
                model: model.name,
                population: growth.population,
                mode,
                loss,
                whole_formula: survival(loss, growth.wanted.always_active, always_active)
                    * survival(loss, growth.wanted.conditional, conditional),
                whole_expected: outcome.whole_expected,
                whole: outcome.whole,
                usable_expected: outcome.usable_expected,
                usable: outcome.usable,
            });
        }
    }

    fn places(&mut self, model: &Model, places_known: bool, placed: &Placed) {
        let networks: std::collections::BTreeSet<_> =
            placed.members.iter().map(|member| member.network).collect();
        let regions = 0..REGIONS;
        let lost_by = |goes: &dyn Fn(&crate::Member) -> bool| {
            let gone: Vec<_> = placed.members.iter().map(goes).collect();
            let left = left(model, placed, &gone);
            left.always_active_lost + left.conditional_lost
        };
        let kinds: [(_, Vec<usize>); 2] = [
            (
                "network",
                networks
                    .iter()
                    .map(|network| lost_by(&|member| member.network == *network))
                    .collect(),
            ),
            (
                "region",
                regions
                    .map(|region| lost_by(&|member| member.region == region))
                    .collect(),
            ),
        ];
        for (what, lost) in kinds {
            let fatal = lost.iter().filter(|lost| **lost > 0).count();
            if places_known && fatal > 0 {
                self.broken.push(format!(
                    "{}: the loss of one {what} takes fragments with it, {fatal} times",
                    model.name
                ));
            }
            self.places.push(PlaceLost {
                model: model.name,
                places_known,
                what,
                places: lost.len(),
                fatal,
                most_lost: lost.into_iter().max().unwrap_or(0),
            });
        }
    }
}

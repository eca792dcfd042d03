//! What is left of a model when many nodes go at once.

mod pages;
pub mod study;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use swarm::replication;

use crate::{Model, Placed};

/// How often it is tried, and what counts as left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Losses drawn.
    pub runs: u32,
    /// The share of the conditional fragments that a degraded answer needs.
    pub floor: f64,
}

/// What was left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// The share of runs after which every fragment was left.
    pub whole: f64,
    /// The share of runs after which every fragment that each token needs was left, and enough of the others.
    pub usable: f64,
    /// What the closed formula says of the first, for as many replicas as there really are: the product over all
    /// fragments of `1 − loss^replicas`. Where nodes hold several fragments, more is left than it says: those of one node
    /// are lost together, but to lose one fragment all of its holders have to go.
    pub whole_expected: f64,
    /// And of the second. With tens of thousands of conditional fragments the share of them that is lost hardly differs
    /// from run to run, so their part is 0 or 1.
    pub usable_expected: f64,
}

/// Loses the share `loss` of all members, again and again, whoever they are.
#[must_use]
pub fn after_loss(model: &Model, placed: &Placed, loss: f64, trial: &Trial, seed: u64) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let going = (loss * placed.members.len() as f64).round() as usize;
    let mut order: Vec<u32> = (0..placed.members.len() as u32).collect();
    let mut gone = vec![false; placed.members.len()];
    let (mut whole, mut usable) = (0u32, 0u32);
    for _ in 0..trial.runs {
        let (leaving, _) = order.partial_shuffle(&mut rng, going);
        for member in leaving.iter() {
            gone[*member as usize] = true;
        }
        let left = left(model, placed, &gone);
        whole += u32::from(left.is_whole());
        usable += u32::from(left.is_usable(trial.floor));
        for member in leaving.iter() {
            gone[*member as usize] = false;
        }
    }
    let (whole_expected, usable_expected) = expected(model, placed, loss, trial.floor);
    let share = |runs: u32| f64::from(runs) / f64::from(trial.runs.max(1));
    Outcome {
        whole: share(whole),
        usable: share(usable),
        whole_expected,
        usable_expected,
    }
}

/// Fragments without a replica.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Left {
    /// Of those that every token needs.
    pub always_active_lost: usize,
    /// Of the others.
    pub conditional_lost: usize,
    /// All of the others, lost or not.
    pub conditional: usize,
}

impl Left {
    /// Nothing is lost.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.always_active_lost == 0 && self.conditional_lost == 0
    }

    /// An answer is possible, if with fewer experts than the model has.
    #[must_use]
    pub fn is_usable(&self, floor: f64) -> bool {
        let left = (self.conditional - self.conditional_lost) as f64;
        self.always_active_lost == 0 && left >= floor * self.conditional as f64
    }
}

/// What is lost when these members go.
#[must_use]
pub fn left(model: &Model, placed: &Placed, gone: &[bool]) -> Left {
    let mut left = Left::default();
    for (info, holders) in model.catalogue.fragments.iter().zip(&placed.holders) {
        let lost = holders.iter().all(|member| gone[*member as usize]);
        if info.always_active {
            left.always_active_lost += usize::from(lost);
        } else {
            left.conditional += 1;
            left.conditional_lost += usize::from(lost);
        }
    }
    left
}

fn expected(model: &Model, placed: &Placed, loss: f64, floor: f64) -> (f64, f64) {
    let (mut always_active, mut conditional) = (1.0, 1.0);
    let (mut lost, mut all) = (0.0, 0.0);
    for (info, holders) in model.catalogue.fragments.iter().zip(&placed.holders) {
        let replicas = u32::try_from(holders.len()).unwrap_or(u32::MAX);
        let kept = replication::survival(loss, replicas, 1);
        if info.always_active {
            always_active *= kept;
        } else {
            conditional *= kept;
            lost += 1.0 - kept;
            all += 1.0;
        }
    }
    let enough = all - lost >= floor * all;
    (
        always_active * conditional,
        if enough { always_active } else { 0.0 },
    )
}

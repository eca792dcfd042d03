//! Many of them.

use super::{Broken, Played, play};

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Study {
    /// How many histories there were.
    pub histories: u64,
    /// What they had in them, all together.
    pub total: Played,
    /// Those that broke a promise.
    pub broken: Vec<Broken>,
}

/// Plays the histories with `seeds` seeds, from the first on. `told` hears which comes next.
#[must_use]
pub fn run(first: u64, seeds: u64, mut told: impl FnMut(u64)) -> Study {
    let mut study = Study::default();
    for seed in first..first.saturating_add(seeds) {
        told(seed);
        study.histories += 1;
        match play(seed) {
            Ok(played) => {
                let total = &mut study.total;
                total.steps += played.steps;
                total.answered += played.answered;
                total.downloaded += played.downloaded;
                total.asked_again += played.asked_again;
                total.banned += played.banned;
                total.cuts += played.cuts;
                total.taken_up += played.taken_up;
                total.let_go += played.let_go;
            }
            Err(broken) => study.broken.push(broken),
        }
    }
    study
}

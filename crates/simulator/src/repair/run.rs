//! The repair itself, heartbeat by heartbeat.

use std::time::Duration;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use swarm::Replication;

use crate::{
    Model, Placed,
    rounds::{MISSED, Rounds},
};

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Fragments of which nothing was left.
    pub(crate) lost: usize,
    /// Fragments that had too few replicas, but one.
    pub(crate) lacking: usize,
    /// When a half, nine tenths and all of them were held as often as wanted again; nothing if that did not come.
    pub(crate) until: [Option<Duration>; 3],
    /// Replicas that were missing, with those that were only in the wrong place.
    pub(crate) missing: usize,
    /// Replicas that were fetched.
    pub(crate) fetched: usize,
    /// The most bytes that one node received.
    pub(crate) most_received: u64,
    /// The most bytes that one node sent.
    pub(crate) most_sent: u64,
    /// Bytes that all of them received.
    pub(crate) received: u64,
}

/// A swarm of which a part has just gone.
pub(crate) struct Run<'a> {
    model: &'a Model,
    wanted: Replication,
    rounds: Rounds<'a>,
}

impl<'a> Run<'a> {
    /// A swarm of which the share `loss` has just gone.
    pub(crate) fn new(
        model: &'a Model,
        placed: &'a Placed,
        wanted: Replication,
        loss: f64,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let going = (loss * placed.members.len() as f64).round() as usize;
        let mut order: Vec<u32> = (0..placed.members.len() as u32).collect();
        let (gone, _) = order.partial_shuffle(&mut rng, going);
        gone.sort_unstable();
        let mut rounds = Rounds::new(model, wanted, &placed.members, &placed.holders);
        for number in gone {
            rounds.leave(*number as usize);
        }
        Self {
            model,
            wanted,
            rounds,
        }
    }

    /// Lets heartbeats pass until all is as wanted, or nothing more happens.
    pub(crate) fn outcome(mut self, told: &mut dyn FnMut(usize)) -> Outcome {
        const MOST_ROUNDS: u32 = 2000;
        let wanted = self.model.catalogue.fragments.iter();
        let wanted: Vec<_> = wanted.map(|info| self.wanted.of(info) as usize).collect();
        let lacks = |has: &[Vec<usize>], index: usize| has[index].len() < wanted[index];
        let has = &self.rounds.has;
        let lost: Vec<_> = has.iter().map(Vec::is_empty).collect();
        let lacking: Vec<_> = (0..wanted.len())
            .filter(|index| !lost[*index] && lacks(has, *index))
            .collect();
        let mut outcome = Outcome {
            lost: lost.iter().filter(|lost| **lost).count(),
            lacking: lacking.len(),
            ..Outcome::default()
        };
        for round in 0..MOST_ROUNDS {
            if round == MISSED {
                outcome.missing = self.missing(&lost);
            }
            let has = &self.rounds.has;
            let still = lacking.iter().filter(|index| lacks(has, **index));
            let whole = outcome.lacking - still.count();
            told(whole);
            for (until, share) in outcome.until.iter_mut().zip([0.5, 0.9, 1.0]) {
                if until.is_none() && whole as f64 >= share * outcome.lacking as f64 {
                    *until = Some(self.rounds.now());
                }
            }
            if whole == outcome.lacking {
                break;
            }
            if round >= MISSED {
                outcome.fetched += self.rounds.repair();
            }
            self.rounds.beat();
        }
        let left = || self.rounds.nodes.iter().filter(|node| node.there);
        outcome.most_received = left().map(|it| it.received).max().unwrap_or(0);
        outcome.most_sent = left().map(|it| it.sent).max().unwrap_or(0);
        outcome.received = left().map(|it| it.received).sum();
        outcome
    }

    /// Replicas that have to be fetched: as many as there are too few of, or one that lies elsewhere.
    fn missing(&self, lost: &[bool]) -> usize {
        let counts = &self.rounds.counts;
        let fragments = self.model.catalogue.fragments.iter().enumerate();
        let missing = fragments.map(|(index, info)| {
            let wanted = self.wanted.of(info);
            let few = wanted.saturating_sub(counts.all[index]);
            let elsewhere = !counts.is_enough(index, wanted, true);
            few.max(elsewhere.into()) as usize
        });
        let missing = missing.zip(lost).filter(|(_, lost)| !**lost);
        missing.map(|(missing, _)| missing).sum()
    }
}

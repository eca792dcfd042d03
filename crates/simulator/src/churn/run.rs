//! A swarm of nodes that come and go.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use swarm::{
    Replication,
    churn::Churn,
    replication::{Losses, Target},
};

use super::{draw, habits, times};
use crate::{
    Device, Growth, Member, Model, Placed, Population,
    rounds::{ROUND, Rounds},
};

/// How often one provider's network fails, and for how long.
const FAILS_EVERY: Duration = Duration::from_secs(2 * 3600);
const FAILS_FOR: Duration = Duration::from_secs(30 * 60);

/// What came of it, in the time that is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Nodes that were there, on average.
    pub(crate) nodes: f64,
    /// Nodes that went in an hour.
    pub(crate) went: f64,
    /// How many replicas were wanted in the end.
    pub(crate) wanted: Replication,
    /// The share of replicas that goes while one is replaced, as it was seen in the end.
    pub(crate) losses: Losses,
    /// How often nobody who was there had a fragment any more that every token needs.
    pub(crate) always_active_lost: usize,
    /// The same of the others.
    pub(crate) conditional_lost: usize,
    /// The share of the time in which nothing was missing.
    pub(crate) whole: f64,
    /// In which an answer was possible, degraded or not.
    pub(crate) usable: f64,
    /// Bytes that a node received in an hour.
    pub(crate) received: f64,
}

/// What changes by itself, the next first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// A node comes or goes.
    Turns(usize),
    /// A network fails, or works again.
    Fails,
    Recovers(u16),
}

pub(crate) struct Run<'a> {
    model: &'a Model,
    rounds: Rounds<'a>,
    rng: ChaCha8Rng,
    changes: BinaryHeap<Reverse<(Duration, Change)>>,
    /// For each node whether it would be there, if its network worked.
    on: Vec<bool>,
    failed: Option<u16>,
    churn: Churn,
    target: Option<Target>,
    went: usize,
}

impl<'a> Run<'a> {
    /// A swarm in which as much is held as `wanted` says. With a target that changes with what is seen.
    pub(crate) fn new(
        model: &'a Model,
        wanted: Replication,
        target: Option<Target>,
        at_once: usize,
        seed: u64,
    ) -> Self {
        let growth = Growth {
            population: Population::Mixed,
            at_once,
            wanted,
            places_known: true,
            surplus: 0.5,
        };
        let placed = Placed::new(model, &growth, seed, |_| {});
        let mut run = Self {
            model,
            rounds: Rounds::new(model, wanted, &placed.members, &placed.holders),
            rng: ChaCha8Rng::seed_from_u64(!seed),
            changes: BinaryHeap::new(),
            on: vec![true; placed.members.len()],
            failed: None,
            churn: Churn::default(),
            target,
            went: 0,
        };
        run.add_those_away(&placed.members);
        for place in 0..run.on.len() {
            run.turn_later(place, Duration::ZERO);
        }
        run.changes.push(Reverse((FAILS_EVERY, Change::Fails)));
        run
    }

    /// For each node that is there so many are not that as many are there at any time.
    fn add_those_away(&mut self, there: &[Member]) {
        let devices = [Device::Phone, Device::Home, Device::Server];
        let mut away = devices.map(|device| {
            let count = there.iter().filter(|member| member.device == device);
            (count.count() as f64 * (times(device) - 1.0)).round() as usize
        });
        let mut number = there.len() as u32;
        while away.iter().any(|left| *left > 0) {
            let member = Population::Mixed.draw(number, &mut self.rng);
            number += 1;
            let left = &mut away[member.device as usize];
            if *left > 0 {
                *left -= 1;
                self.rounds.add(&member);
                self.on.push(false);
            }
        }
    }

    /// A node will have been there, or away, long enough.
    fn turn_later(&mut self, place: usize, now: Duration) {
        let (there, away) = habits(self.rounds.nodes[place].member.device);
        let mean = if self.on[place] { there } else { away };
        let at = now.saturating_add(draw(mean, &mut self.rng));
        self.changes.push(Reverse((at, Change::Turns(place))));
    }

    fn change(&mut self, change: Change, now: Duration) {
        match change {
            Change::Turns(place) => {
                self.on[place] = !self.on[place];
                self.turn_later(place, now);
                self.follow(place);
            }
            Change::Fails => {
                let some = self.rng.random_range(0..self.rounds.nodes.len());
                let network = self.rounds.nodes[some].member.network;
                self.failed = Some(network);
                self.follow_all(network);
                let works = now + FAILS_FOR;
                self.changes
                    .push(Reverse((works, Change::Recovers(network))));
                self.changes
                    .push(Reverse((now + FAILS_EVERY, Change::Fails)));
            }
            Change::Recovers(network) => {
                self.failed = None;
                self.follow_all(network);
            }
        }
    }

    fn follow_all(&mut self, network: u16) {
        for place in 0..self.on.len() {
            if self.rounds.nodes[place].member.network == network {
                self.follow(place);
            }
        }
    }

    /// A node comes or goes, if it should and does not yet.
    fn follow(&mut self, place: usize) {
        let node = &self.rounds.nodes[place];
        let wants = self.on[place] && self.failed != Some(node.member.network);
        match (wants, node.there) {
            (true, false) => self.rounds.come(place),
            (false, true) => {
                self.went += 1;
                self.rounds.leave(place);
            }
            _ => {}
        }
    }

    fn round(&mut self) {
        let now = self.rounds.now();
        while let Some(Reverse((at, change))) = self.changes.peek().copied()
            && at <= now
        {
            self.changes.pop();
            self.change(change, now);
        }
        let (held, lost) = self.rounds.beat();
        self.churn.pass(held, lost, ROUND);
        if let Some(target) = &self.target {
            let catalogue = &self.model.catalogue;
            self.rounds.wanted = self.churn.wanted(target, ROUND, catalogue);
        }
        self.rounds.repair();
    }

    /// Lets it go on for a while, and then looks for a while what is left. `told` hears of how many rounds how many are over.
    pub(crate) fn outcome(
        mut self,
        before: Duration,
        looked: Duration,
        floor: f64,
        told: &mut dyn FnMut(usize, usize),
    ) -> Outcome {
        let rounds = |time: Duration| time.as_secs() / ROUND.as_secs();
        let (before, looked) = (rounds(before), rounds(looked).max(1));
        let all = (before + looked) as usize;
        for round in 0..before as usize {
            told(round, all);
            self.round();
        }
        let hours = looked as f64 * ROUND.as_secs_f64() / 3600.0;
        let received = |run: &Self| -> u64 { run.rounds.nodes.iter().map(|it| it.received).sum() };
        let (went, had_received) = (self.went, received(&self));
        let mut outcome = Outcome::default();
        let mut missing = vec![false; self.rounds.has.len()];
        let (mut whole, mut usable) = (0, 0);
        for round in 0..looked as usize {
            told(before as usize + round, all);
            self.round();
            let (mut always_active, mut conditional, mut of) = (0, 0, 0);
            let fragments = self.model.catalogue.fragments.iter().zip(&self.rounds.has);
            for ((info, has), missed) in fragments.zip(&mut missing) {
                let is_missing = has.is_empty();
                let is_lost = is_missing && !std::mem::replace(missed, is_missing);
                if info.always_active {
                    always_active += usize::from(is_missing);
                    outcome.always_active_lost += usize::from(is_lost);
                } else {
                    of += 1;
                    conditional += usize::from(is_missing);
                    outcome.conditional_lost += usize::from(is_lost);
                }
                *missed = is_missing;
            }
            whole += u32::from(always_active + conditional == 0);
            let left = (of - conditional) as f64;
            usable += u32::from(always_active == 0 && left >= floor * of as f64);
            outcome.nodes += self.rounds.nodes.iter().filter(|it| it.there).count() as f64;
        }
        outcome.nodes /= looked as f64;
        outcome.whole = f64::from(whole) / looked as f64;
        outcome.usable = f64::from(usable) / looked as f64;
        outcome.went = (self.went - went) as f64 / hours;
        let bytes = received(&self) - had_received;
        outcome.received = bytes as f64 / outcome.nodes.max(1.0) / hours;
        outcome.wanted = self.rounds.wanted;
        outcome.losses = self.churn.losses(ROUND);
        outcome
    }
}

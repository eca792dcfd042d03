//! The repair itself, heartbeat by heartbeat.

use std::time::Duration;

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use swarm::{
    FragmentIndex, PeerId, Replication,
    placement::Newcomer,
    repair::{Lacking, may_let_go, take_up},
};

use super::{MISSED, ROUND, line};
use crate::{Model, Placed, counts::Counts};

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

/// A node that is left.
struct Left {
    number: u32,
    /// What it holds or fetches.
    holds: Vec<FragmentIndex>,
    /// Until when its line is in use, both ways.
    sends_until: Duration,
    receives_until: Duration,
    sent: u64,
    received: u64,
}

struct Fetch {
    done: Duration,
    /// Which of those left fetches it.
    by: usize,
    fragment: FragmentIndex,
}

/// What one of those left does in a round.
struct Decision {
    takes: FragmentIndex,
    instead_of: Option<FragmentIndex>,
}

pub(crate) struct Run<'a> {
    model: &'a Model,
    placed: &'a Placed,
    wanted: Replication,
    left: Vec<Left>,
    /// What everybody knows: who has gone is in it until it is missed.
    counts: Counts,
    /// Who is known to hold or fetch each fragment, by number.
    known: Vec<Vec<u32>>,
    /// Which of those left have each fragment.
    has: Vec<Vec<usize>>,
    fetches: Vec<Fetch>,
    /// For how many rounds each fragment has been lacking.
    rounds: Vec<u32>,
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
        // Where each member is among those left.
        let mut place: Vec<Option<usize>> = vec![Some(0); placed.members.len()];
        for number in gone.iter() {
            place[*number as usize] = None;
        }
        let mut left = Vec::new();
        for (number, place) in (0..).zip(&mut place) {
            if let Some(place) = place {
                *place = left.len();
                left.push(Left {
                    number,
                    holds: Vec::new(),
                    sends_until: Duration::ZERO,
                    receives_until: Duration::ZERO,
                    sent: 0,
                    received: 0,
                });
            }
        }
        let fragments = placed.holders.len();
        let mut counts = Counts::new(fragments);
        let mut has = vec![Vec::new(); fragments];
        for (index, holders) in placed.holders.iter().enumerate() {
            let fragment = FragmentIndex(index as u32);
            for number in holders {
                counts.add(&placed.members[*number as usize], fragment);
                if let Some(place) = place[*number as usize] {
                    left[place].holds.push(fragment);
                    has[index].push(place);
                }
            }
        }
        Self {
            model,
            placed,
            wanted,
            left,
            counts,
            known: placed.holders.clone(),
            has,
            fetches: Vec::new(),
            rounds: vec![0; fragments],
        }
    }

    /// Lets heartbeats pass until all is as wanted, or nothing more happens.
    pub(crate) fn outcome(mut self, told: &mut dyn FnMut(usize)) -> Outcome {
        const MOST_ROUNDS: u32 = 2000;
        let wanted = self.model.catalogue.fragments.iter();
        let wanted: Vec<_> = wanted.map(|info| self.wanted.of(info) as usize).collect();
        let lacks = |has: &[Vec<usize>], index: usize| has[index].len() < wanted[index];
        let lost: Vec<_> = self.has.iter().map(Vec::is_empty).collect();
        let lacking: Vec<_> = (0..wanted.len())
            .filter(|index| !lost[*index] && lacks(&self.has, *index))
            .collect();
        let mut outcome = Outcome {
            lost: lost.iter().filter(|lost| **lost).count(),
            lacking: lacking.len(),
            ..Outcome::default()
        };
        for round in 0..MOST_ROUNDS {
            let now = ROUND * round;
            self.finish_fetches(now);
            if round == MISSED {
                self.miss_those_gone();
                outcome.missing = self.missing(&lost);
            }
            let still = lacking.iter().filter(|index| lacks(&self.has, **index));
            let whole = outcome.lacking - still.count();
            told(whole);
            for (until, share) in outcome.until.iter_mut().zip([0.5, 0.9, 1.0]) {
                if until.is_none() && whole as f64 >= share * outcome.lacking as f64 {
                    *until = Some(now);
                }
            }
            if whole == outcome.lacking {
                break;
            }
            if round >= MISSED {
                outcome.fetched += self.repair(&lost, now);
            }
        }
        outcome.most_received = self.left.iter().map(|it| it.received).max().unwrap_or(0);
        outcome.most_sent = self.left.iter().map(|it| it.sent).max().unwrap_or(0);
        outcome.received = self.left.iter().map(|it| it.received).sum();
        outcome
    }

    fn finish_fetches(&mut self, now: Duration) {
        let (done, going_on): (Vec<_>, Vec<_>) = std::mem::take(&mut self.fetches)
            .into_iter()
            .partition(|fetch| fetch.done <= now);
        self.fetches = going_on;
        for fetch in done {
            // Unless it has been let go in the meantime.
            if self.left[fetch.by].holds.contains(&fetch.fragment) {
                self.has[fetch.fragment.0 as usize].push(fetch.by);
            }
        }
    }

    /// Replicas that have to be fetched: as many as there are too few of, or one that lies elsewhere.
    fn missing(&self, lost: &[bool]) -> usize {
        let fragments = self.model.catalogue.fragments.iter().enumerate();
        let missing = fragments.map(|(index, info)| {
            let wanted = self.wanted.of(info);
            let few = wanted.saturating_sub(self.counts.all[index]);
            let elsewhere = !self.counts.is_enough(index, wanted, true);
            few.max(elsewhere.into()) as usize
        });
        let missing = missing.zip(lost).filter(|(_, lost)| !**lost);
        missing.map(|(missing, _)| missing).sum()
    }

    fn miss_those_gone(&mut self) {
        let mut is_left = vec![false; self.placed.members.len()];
        for left in &self.left {
            is_left[left.number as usize] = true;
        }
        for (index, holders) in self.known.iter_mut().enumerate() {
            let fragment = FragmentIndex(index as u32);
            holders.retain(|number| {
                if !is_left[*number as usize] {
                    let member = &self.placed.members[*number as usize];
                    self.counts.remove(member, fragment);
                }
                is_left[*number as usize]
            });
        }
    }

    /// Everybody left decides by what was known before the round; then it is done. Says how many fragments are fetched.
    fn repair(&mut self, lost: &[bool], now: Duration) -> usize {
        let fragments = &self.model.catalogue.fragments;
        let lacking: Vec<_> = (0..fragments.len())
            .filter(|index| {
                let wanted = self.wanted.of(&fragments[*index]);
                let lacks = !self.counts.is_enough(*index, wanted, true);
                self.rounds[*index] = if lacks { self.rounds[*index] + 1 } else { 0 };
                lacks && !lost[*index]
            })
            .map(|index| FragmentIndex(index as u32))
            .collect();
        let decisions: Vec<_> = (0..self.left.len())
            .into_par_iter()
            .map(|place| self.decide(place, &lacking))
            .collect();
        let mut fetched = 0;
        for (place, decisions) in decisions.into_iter().enumerate() {
            let number = self.left[place].number;
            let member = &self.placed.members[number as usize];
            for Decision { takes, instead_of } in decisions {
                if let Some(gone) = instead_of {
                    self.counts.remove(member, gone);
                    self.known[gone.0 as usize].retain(|it| *it != number);
                    self.has[gone.0 as usize].retain(|it| *it != place);
                    self.left[place].holds.retain(|it| *it != gone);
                }
                self.counts.add(member, takes);
                self.known[takes.0 as usize].push(number);
                self.left[place].holds.push(takes);
                self.fetch(place, takes, now);
                fetched += 1;
            }
        }
        fetched
    }

    fn decide(&self, place: usize, lacking: &[FragmentIndex]) -> Vec<Decision> {
        let left = &self.left[place];
        let member = &self.placed.members[left.number as usize];
        let newcomer = Newcomer {
            me: &member.peer,
            capacity: member.capacity,
            stable: member.is_stable(),
        };
        let seen = self.counts.seen_by(member, true);
        let candidates = lacking
            .iter()
            .filter(|fragment| !left.holds.contains(fragment))
            .map(|fragment| Lacking {
                fragment: *fragment,
                replicas: seen(*fragment),
                rounds: self.rounds[fragment.0 as usize] - 1,
            });
        let catalogue = &self.model.catalogue;
        let taken = take_up(
            &newcomer,
            catalogue,
            self.wanted,
            self.left.len(),
            candidates,
        );
        if taken.is_empty() {
            return Vec::new();
        }
        let mut room = member.capacity - left.holds.len();
        let mut spare = left.holds.iter().copied().filter(|held| {
            let others = self.known[held.0 as usize].iter();
            let others = others.filter(|number| **number != left.number);
            let names =
                others.map(|number| -> &PeerId { &self.placed.members[*number as usize].peer });
            let info = &catalogue.fragments[held.0 as usize];
            may_let_go(&member.peer, *held, self.wanted.of(info), names)
        });
        let mut decisions = Vec::new();
        for takes in taken {
            let instead_of = if room > 0 {
                room -= 1;
                None
            } else {
                match spare.next() {
                    Some(spare) => Some(spare),
                    None => break,
                }
            };
            decisions.push(Decision { takes, instead_of });
        }
        decisions
    }

    /// Of those who have it, whoever's line is free first gives it, as fast as both lines let it.
    fn fetch(&mut self, by: usize, fragment: FragmentIndex, now: Duration) {
        let index = fragment.0 as usize;
        let sources = self.has[index].iter().copied();
        let Some(source) = sources.min_by_key(|it| (self.left[*it].sends_until, *it)) else {
            return;
        };
        let device = |it: usize| self.placed.members[self.left[it].number as usize].device;
        let bytes = self.model.catalogue.fragments[index].bytes;
        let rate = line(device(source)).0.min(line(device(by)).1);
        let begin = now
            .max(self.left[source].sends_until)
            .max(self.left[by].receives_until);
        let done = begin + Duration::from_micros(bytes * 1_000_000 / rate);
        self.left[source].sends_until = done;
        self.left[source].sent += bytes;
        self.left[by].receives_until = done;
        self.left[by].received += bytes;
        self.fetches.push(Fetch { done, by, fragment });
    }
}

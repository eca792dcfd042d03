//! Which nodes run layers for others: those that stay, that others can dial, that have memory for it, and that are quick,
//! by what they compute and by what their line takes; as many as are wanted.
//!
//! Nobody counts votes. Heartbeats say of everybody how long it has been there, how it is reached, what it has and what it
//! runs, so all who see the same come to the same order, and whoever stands before the places that are free takes one.
//! Where those who stand there do not (they have no room, or are gone), a third fewer of them are counted on in each round.

use super::choose;
use crate::heartbeats::{Held, Means};
use crate::placement::Orders;
use crate::{Action, FragmentIndex, Node, PeerId};
use protocol::Reach;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

/// Whether a node runs layers for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunLayers {
    /// No.
    Never,
    /// Those of which it happens to hold all that every token needs.
    Always,
    /// If there are too few others who do, and it is fit for it. Then it also takes up what it lacks.
    #[default]
    IfElected,
}

/// Who runs layers stays with it until so many more than wanted have run all of them for [`PATIENCE`] rounds: so nobody
/// takes over and gives up again and again.
const SURPLUS: u32 = 2;
const PATIENCE: u32 = 20;

/// Where this node stands.
#[derive(Debug, Default)]
pub(crate) struct Election {
    /// The layers that it is to run, whether it holds all of them yet or not.
    pub(super) range: Option<Range<u32>>,
    /// For how many rounds there have been too few, or too many, who run layers.
    lacking: u32,
    surplus: u32,
}

/// For the states of a few long conversations and what is computed with them, in units of 2²⁰ bytes.
const LEAST_MEMORY: u32 = 512;
/// The states of a few tokens a second, one after the other, and what experts are asked for them; in units of 2¹⁰ bytes a
/// second.
const LEAST_SENT: u32 = 256;

/// Whether somebody has what it takes. What was not measured yet speaks against nobody.
fn is_capable(means: Means) -> bool {
    let enough = |has: u32, least: u32| has == 0 || has >= least;
    enough(means.memory, LEAST_MEMORY) && enough(means.sends, LEAST_SENT)
}

/// What those are compared by who could run layers: the quicker first (as long as one is twice as quick), then whose line
/// is seen to take more, then as a hash has it.
fn standing(means: Means, peer: &PeerId) -> (Reverse<u32>, Reverse<u32>, u64) {
    let hash = Orders::of(peer).rank(&[]);
    let times_two = |of: u32| Reverse(of.max(1).ilog2());
    (times_two(means.speed), times_two(means.sends), hash)
}

impl Node {
    /// Looks at who runs layers: whether this node should begin to, or can stop.
    pub(crate) fn elect(&mut self, spare: usize, now: Duration) {
        if self.config.run_layers != RunLayers::IfElected || !self.stages.candidate {
            return;
        }
        let needed = self.stages.shape.always_active();
        if needed.is_empty() {
            return;
        }
        let runs = self.runs_of_others(needed.len());
        let wanted = self.config.runners;
        let fewest = |range: &Range<u32>| {
            let of_range = runs.iter().skip(range.start as usize).take(range.len());
            of_range.min().copied().unwrap_or_default()
        };
        if let Some(range) = self.stages.election.range.clone() {
            let election = &mut self.stages.election;
            if fewest(&range) < wanted + SURPLUS {
                election.surplus = 0;
                return;
            }
            election.surplus += 1;
            if election.surplus > PATIENCE {
                *election = Election::default();
                self.offer(now);
            }
            return;
        }
        let fit = self.up(now) >= self.config.stays_after
            && self.is_dialled()
            && is_capable(self.own_means());
        let missing: Vec<_> = needed
            .iter()
            .map(|layer| {
                layer
                    .iter()
                    .filter(|it| !self.computes.contains(it.0))
                    .count()
            })
            .collect();
        if !fit {
            self.stages.election.lacking = 0;
            return;
        }
        let election = &mut self.stages.election;
        let rounds = election.lacking;
        election.lacking = rounds.saturating_add(1);
        if let Some(range) = self.left_to_us(spare, &missing, runs, rounds, now) {
            self.stages.election = Election {
                range: Some(range),
                ..Election::default()
            };
            self.prepare(now);
        }
    }

    /// The layers that are left to this node, if those who stand before it take theirs: as many as this one has room for.
    /// With each round fewer of them are counted on.
    fn left_to_us(
        &self,
        spare: usize,
        missing: &[usize],
        mut runs: Vec<u32>,
        rounds: u32,
        now: Duration,
    ) -> Option<Range<u32>> {
        let wanted = self.config.runners;
        let mine = standing(self.own_means(), &self.config.me);
        let before = self.members.iter().filter_map(|(name, member)| {
            let fit = member.runs.is_none()
                && member.up_by(now) >= self.config.stays_after
                && member.reach == Reach::Dialled
                && is_capable(member.into());
            let stands = standing(member.into(), name);
            (fit && stands < mine).then_some((stands, name))
        });
        let before: BTreeSet<_> = before.collect();
        let counted = (0..rounds.min(32)).fold(before.len(), |count, _| count * 2 / 3);
        for (_, name) in before.into_iter().take(counted) {
            if runs.iter().all(|runs| *runs >= wanted) {
                return None;
            }
            let theirs = choose(name, spare, missing, &runs).unwrap_or_default();
            runs[theirs].iter_mut().for_each(|runs| *runs += 1);
        }
        let mine = choose(&self.config.me, spare, missing, &runs)?;
        let lacking = runs[mine.clone()].iter().any(|runs| *runs < wanted);
        lacking.then_some(mine.start as u32..mine.end as u32)
    }

    /// The layers that this node runs, or will when it has what it lacks of them.
    pub(crate) fn runs_before_long(&self) -> Option<Range<u32>> {
        let range = self.stages.election.range.clone();
        range.or(self.runs())
    }

    /// By how many others each layer is run, connected or heard of.
    fn runs_of_others(&self, layers: usize) -> Vec<u32> {
        let mut runs = vec![0; layers];
        let mut add = |range: &Range<u32>| {
            let of_range = runs.iter_mut().skip(range.start as usize).take(range.len());
            of_range.for_each(|runs| *runs += 1);
        };
        let mut heard = BTreeMap::new();
        for (name, member) in self.members.iter() {
            heard.insert(name, member.runs.as_ref());
        }
        // Who is connected and runs something already says so there, and sooner.
        for (name, peer) in &self.peers.connected {
            if let Some(runs) = &peer.runs
                && peer.serves(self.config.model)
            {
                heard.insert(name, Some(&runs.layers));
            }
        }
        heard.into_values().flatten().for_each(&mut add);
        runs
    }

    /// What this node lacks of the layers that it is to run.
    pub(crate) fn missing_of_layers(&self, held: &[Held]) -> Vec<FragmentIndex> {
        let Some(range) = &self.stages.election.range else {
            return Vec::new();
        };
        let needed = self.stages.shape.always_active().into_iter();
        let needed = needed.skip(range.start as usize).take(range.len());
        let missing: BTreeSet<_> = needed
            .flatten()
            .filter(|index| {
                let offered = held.get(index.0 as usize).is_some_and(|it| it.offered);
                let ours = self.computes.contains(index.0) || self.beats.taking.contains_key(index);
                offered && !ours
            })
            .collect();
        missing.into_iter().collect()
    }

    /// Whether a fragment belongs to layers that this node runs or is to run.
    pub(crate) fn is_of_own_layers(&self, index: FragmentIndex) -> bool {
        let range = self.stages.election.range.as_ref();
        range.or(self.stages.runs.as_ref()).is_some_and(|range| {
            let layers = self
                .stages
                .shape
                .layers
                .iter()
                .filter(|layer| !layer.private);
            layers
                .skip(range.start as usize)
                .take(range.len())
                .flat_map(|layer| &layer.steps)
                .flat_map(|step| &step.always)
                .any(|part| part.fragment == index)
        })
    }

    /// Has the shell prepare itself, if layers are to be run and it is not.
    pub(super) fn prepare(&mut self, now: Duration) {
        let to_run = match self.config.run_layers {
            RunLayers::Never => false,
            RunLayers::Always => !self.stages.shape.layers.is_empty(),
            RunLayers::IfElected => self.stages.election.range.is_some(),
        };
        let stages = &mut self.stages;
        if to_run
            && stages.candidate
            && !stages.able
            && !std::mem::replace(&mut stages.asked_for, true)
        {
            self.actions.push_back(Action::PrepareStages);
        }
        self.offer(now);
    }
}

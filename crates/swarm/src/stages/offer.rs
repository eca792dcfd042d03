//! Which layers this node runs for others.

use super::{RunLayers, Shape};
use crate::{FragmentIndex, Node};
use protocol::Runs;
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// If a token takes so many percent more or less than was said, it is said anew.
const WORTH_SAYING: u32 = 25;

impl Shape {
    /// For each layer between embedding and output head the fragments that every token needs of it.
    pub(crate) fn always_active(&self) -> Vec<BTreeSet<FragmentIndex>> {
        let body = self.layers.iter().filter(|layer| !layer.private);
        body.map(|layer| {
            let parts = layer.steps.iter().flat_map(|step| &step.always);
            parts.map(|part| part.fragment).collect()
        })
        .collect()
    }
}

impl Node {
    /// Says what a token asks of the model; after [`Node::set_catalogue`].
    pub fn set_shape(&mut self, shape: Shape, now: Duration) {
        let steps = shape.layers.iter().flat_map(|layer| &layer.steps);
        let parts = steps.flat_map(|step| {
            let some = step.some.iter().flat_map(|choice| &choice.groups);
            step.always.iter().chain(some.flatten())
        });
        self.stages.of_one_token = parts.map(|part| (part.fragment, part.request)).collect();
        self.stages.shape = shape;
        self.prepare(now);
    }

    /// Says whether the shell could run layers for others. If it should ([`Config::run_layers`](crate::Config::run_layers)),
    /// an [`Action::PrepareStages`](crate::Action::PrepareStages) says so.
    pub fn set_candidate(&mut self, candidate: bool, now: Duration) {
        self.stages.candidate = candidate;
        self.prepare(now);
    }

    /// Says whether the shell can run layers for others now, because what is small of them is here. Then this node does so
    /// for those of which it computes on all that every token needs. Each token that comes is an
    /// [`Action::RunStage`](crate::Action::RunStage).
    pub fn set_able(&mut self, able: bool, now: Duration) {
        self.stages.able = able;
        self.stages.asked_for &= able;
        self.offer(now);
    }

    /// The layers that this node runs for others.
    #[must_use]
    pub fn runs(&self) -> Option<Range<u32>> {
        self.stages.runs.clone()
    }

    pub(crate) fn runs_and_time(&self) -> Option<Runs> {
        Some(Runs {
            layers: self.runs()?,
            time: self.stages.told,
        })
    }

    /// Looks again at what can be run; others are told if it is something else.
    pub(crate) fn offer(&mut self, now: Duration) {
        if self.find_runs(now) {
            self.tell_holdings();
        }
    }

    /// Whether what can be run is something else than before.
    pub(crate) fn find_runs(&mut self, now: Duration) -> bool {
        let mut longest = 0..0;
        let elected = self.stages.election.range.is_some();
        let to_run = match self.config.run_layers {
            RunLayers::Never => false,
            RunLayers::Always => true,
            RunLayers::IfElected => elected,
        };
        if self.stages.able && to_run {
            let mut start = 0;
            for (layer, needed) in (0..).zip(self.stages.shape.always_active()) {
                if !needed.iter().all(|index| self.computes.contains(index.0)) {
                    start = layer + 1;
                } else if layer + 1 - start > longest.end - longest.start {
                    longest = start..layer + 1;
                }
            }
        }
        let runs = Some(longest).filter(|layers| !layers.is_empty());
        if runs == self.stages.runs {
            return false;
        }
        self.stages.runs = runs;
        self.stages.took = None;
        self.stages.told = self.time_of_runs(now);
        true
    }

    /// What a token takes through the layers run here: as measured, or as it is expected.
    fn time_of_runs(&self, now: Duration) -> Duration {
        let expected = || self.expected_here(self.runs()?, now);
        let took = self.stages.took.or_else(expected);
        took.unwrap_or_default()
    }

    /// Says anew what a token takes, if that has changed.
    pub(crate) fn tell_time_of_runs(&mut self, now: Duration) {
        if self.stages.runs.is_none() {
            return;
        }
        let (told, is) = (self.stages.told, self.time_of_runs(now));
        let off = told.max(is).saturating_sub(told.min(is));
        if off * 100 > told.min(is) * WORTH_SAYING {
            self.stages.told = is;
            self.tell_holdings();
        }
    }
}

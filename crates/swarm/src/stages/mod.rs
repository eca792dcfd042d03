//! Layers that one node runs for another.
//!
//! A token waits for others several times in each layer; with somebody who holds what every token needs of some layers it
//! waits there instead, and who asked waits once for all of them.
//!
//! - [`choose`]: which layers a node should run.
//! - `elect`: whether it should run any.
//! - `offer`: which it does run, and what it says of that.
//! - `serve`: others' tokens that go through them.
//! - `ask`: own tokens that go through others'.
//! - `route`: which way own tokens should take.

mod ask;
mod choose;
mod elect;
mod offer;
mod route;
mod serve;

use crate::routing::Layer;
use crate::{FragmentIndex, Ticket};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

pub use choose::choose;
pub use elect::RunLayers;
pub use route::{Leg, Pace, Plan};

/// What a token asks of a model, as the planner wants to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// The embedding, the layers, and the output head: the first and the last are [private](Layer::private).
    pub layers: Vec<Layer>,
    /// Bytes of the request that takes one token's state to somebody who runs layers.
    pub state: u32,
}

/// What this node runs for others, and what others run for it.
#[derive(Debug, Default)]
pub(crate) struct Stages {
    shape: Shape,
    /// How long a request about one token is, for each fragment.
    of_one_token: BTreeMap<FragmentIndex, u32>,
    /// The shell could run layers, and can: what is small of them is here. It was asked to see to that.
    candidate: bool,
    able: bool,
    asked_for: bool,
    election: elect::Election,
    /// The layers run for others.
    runs: Option<Range<u32>>,
    /// What was last said a token takes through them.
    told: Duration,
    /// What tokens took through them.
    took: Option<Duration>,
    /// What one more of them takes where many are on their way, and when the last had gone through.
    each: Option<Duration>,
    last_through: Duration,
    running: BTreeMap<Ticket, serve::Running>,
    asked: BTreeMap<u64, ask::Asked>,
    paced: route::Paced,
}

impl Stages {
    /// About how many tokens a request of this length asks for.
    pub(crate) fn tokens_of(&self, fragment: FragmentIndex, length: usize) -> u64 {
        let one = self.of_one_token.get(&fragment).copied().unwrap_or(0);
        (length as u64).checked_div(one.into()).unwrap_or(1)
    }

    /// Somebody runs layers who did not before.
    pub(crate) fn note_runner(&mut self) {
        self.paced.news = true;
    }
}

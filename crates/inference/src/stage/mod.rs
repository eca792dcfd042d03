//! Ranges of layers that somebody else runs.
//!
//! A token waits for others several times in each layer. Whoever holds what every token needs of some layers can run
//! them for others (a *stage*): a row of states goes in, the row behind the last of these layers comes out, and who asks
//! waits once instead of once for each step. Keys and values are then with whoever runs the stage, and who asks keeps
//! what went in: if a stage is lost, it is made again somewhere else from that, and no bit changes.
//!
//! - [`Request`] and [`Response`], and how they [travel](encode_request).
//! - [`Host`] runs stages of others' sessions.
//! - A [`Session`](crate::Session) has its layers run by whom [`Session::set_stages`](crate::Session::set_stages) says.

mod chain;
mod host;
mod kept;
mod wire;

use std::{ops::Range, sync::Arc};

pub(crate) use chain::{Chain, Settings};
pub use host::{Host, HostError, Limits};
pub use wire::{decode_request, decode_response, encode_request, encode_response};

use crate::{compute::Arithmetic, executor::CacheKind, requests::Parts};

/// Names whoever runs a stage; only compared here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Runner(pub Arc<[u8]>);

/// Where a stage is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// By the session itself, which asks about each fragment.
    Here,
    /// By somebody else.
    There(Runner),
}

/// Some layers, one after the other, and who runs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Which.
    pub layers: Range<u32>,
    /// Where.
    pub place: Place,
}

/// Names a request for a stage among those of its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

/// Tokens that are to go through some layers. It says all that its answer depends on besides the tokens before, so it may be
/// asked again, and of somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Which layers.
    pub layers: Range<u32>,
    /// The position of the first of these tokens. Whoever has gone further goes back to it.
    pub position: usize,
    /// The tokens' states in front of the first layer, one row for each.
    pub states: Vec<f32>,
    /// Of so many tokens, the last ones, the states behind the last layer are wanted.
    pub wanted: usize,
    /// How products are computed.
    pub arithmetic: Arithmetic,
    /// How keys and values are kept.
    pub cache: CacheKind,
    /// The least share of the experts' work that has to be there, 0 to 1.
    pub least_experts: f32,
}

/// What became of a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum Response {
    /// The tokens went through.
    States {
        /// The states that were wanted, one row for each.
        states: Vec<f32>,
        /// What these tokens, and those before, were made of in these layers.
        parts: Parts,
    },
    /// Only so many tokens have gone through these layers there: the rest has to be sent first.
    Behind {
        /// Fewer than [`Request::position`].
        position: usize,
    },
}

//! What messages about stages and jobs have in common.

use prost::Message;

use crate::{Parts, compute::Arithmetic};

/// [`Parts`] as they travel.
#[derive(Clone, Copy, PartialEq, Message)]
pub(crate) struct WireParts {
    #[prost(uint64, tag = "1")]
    total: u64,
    #[prost(uint64, tag = "2")]
    approximate: u64,
    #[prost(uint64, tag = "3")]
    experts: u64,
    #[prost(uint64, tag = "4")]
    left_out: u64,
}

impl From<Parts> for WireParts {
    fn from(parts: Parts) -> Self {
        Self {
            total: parts.total,
            approximate: parts.approximate,
            experts: parts.experts,
            left_out: parts.left_out,
        }
    }
}

impl From<WireParts> for Parts {
    fn from(wire: WireParts) -> Self {
        Self {
            total: wire.total,
            approximate: wire.approximate,
            experts: wire.experts,
            left_out: wire.left_out,
        }
    }
}

/// By their numbers.
pub(crate) const ARITHMETICS: [Arithmetic; 3] = [
    Arithmetic::Quantised,
    Arithmetic::Reference,
    Arithmetic::Approximate,
];

/// The number of `one` among `all`, which it is in.
pub(crate) fn number<T: PartialEq>(all: &[T], one: &T) -> u32 {
    all.iter().position(|it| it == one).unwrap_or_default() as u32
}

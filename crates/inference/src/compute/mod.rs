//! What one node asks another to compute: a pure function of one fragment and one request.
//!
//! Requests and answers come from strangers. Everything in them is checked before it is used, and what
//! is allocated is bounded by their own length and the fragment's.

mod answer;
mod latent;
mod multiply;
mod wire;

use std::sync::Arc;

use fragments::FragmentId;
use kernels::{Activations, Encoding};

pub use answer::{answer, answer_by, answer_with};
pub use multiply::{Cpu, Multiplier, Product, Weights};
pub use wire::{WireError, decode_request, decode_response, encode_request, encode_response};

use crate::tokenizer::Token;

/// The most tokens of one request. Keeps the largest answers of the models in sight below 16 MiB.
pub const MAX_TOKENS: usize = 256;

/// How products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// With activations rounded to 8 bits where the weights are quantised: fast, and the same bits on
    /// every CPU.
    #[default]
    Quantised,
    /// With activations as they are: slow, to check the rest against.
    Reference,
    /// As [`Quantised`](Self::Quantised), but whoever computes may add the terms of a product in another order, as
    /// graphics processors do, and then says so. How far off the product may be is what the device's kernels state.
    Approximate,
}

/// Whether bits are those that every CPU gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Exactness {
    /// They are: another honest answer is equal byte for byte.
    #[default]
    Exact,
    /// They may differ in the last places, within a stated tolerance.
    Approximate,
}

impl Exactness {
    /// Of what is made of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::Exact => other,
            Self::Approximate => self,
        }
    }
}

/// What to do with a part of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The embedding's rows of these tokens. Has no input.
    Embed(Vec<Token>),
    /// Queries, keys and values: for each token those of the part, in this order.
    Qkv,
    /// Latent attention: the part's rows of a projection to a latent.
    Latent,
    /// Latent attention: the queries of the part's heads, each led into the latent of keys and values, with the
    /// part that positions turn behind it.
    LatentQueries,
    /// What the heads of a part see through the output projection: a partial sum. In latent attention, what
    /// they see is led out of the latent first.
    AttentionOutput,
    /// The hidden columns of a part through gate, up and down: a partial sum.
    FeedForward,
    /// The logits of the part's rows.
    Logits,
}

/// A question to whoever holds a fragment.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The fragment.
    pub fragment: FragmentId,
    /// The part's index in it.
    pub part: u16,
    /// What to do.
    pub operation: Operation,
    /// How to do it.
    pub arithmetic: Arithmetic,
    /// Rows of activations, one per token; `None` for [`Operation::Embed`]. In the encoding that all
    /// weights of the operation share, or as they are; the answer is the same. Shared, because all
    /// fragments of a layer are asked about the same.
    pub input: Option<Arc<Activations>>,
}

impl Request {
    /// How many tokens it is about.
    pub fn tokens(&self) -> usize {
        match (&self.operation, &self.input) {
            (Operation::Embed(tokens), _) => tokens.len(),
            (_, Some(input)) => input.tokens(),
            (_, None) => 0,
        }
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// As many as in the request.
    pub tokens: usize,
    /// Values per token.
    pub width: usize,
    /// One row per token.
    pub values: Vec<f32>,
    /// [`Exact`](Exactness::Exact) unless the request allowed for another.
    pub exactness: Exactness,
}

/// Why a request cannot be answered. Whoever asks such a thing is mistaken or means harm.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request is about another fragment.
    #[error("asked about another fragment")]
    OtherFragment,
    /// The fragment has fewer parts.
    #[error("the fragment has no part {0}")]
    NoSuchPart(u16),
    /// The part does not have the tensors for it.
    #[error("part {part} cannot do {operation}")]
    WrongOperation {
        /// The part.
        part: u16,
        /// What was asked for.
        operation: &'static str,
    },
    /// Slices of a part do not fit together.
    #[error("the slices of part {0} do not fit together")]
    Inconsistent(u16),
    /// No tokens or too many.
    #[error("{0} tokens asked about, 1 to {MAX_TOKENS} are allowed")]
    Tokens(usize),
    /// A token whose row is elsewhere.
    #[error("the row of token {0} is not in this part")]
    NoSuchRow(Token),
    /// An operation without its input, or an input to what takes none.
    #[error("input where none belongs, or none where one does")]
    Input,
    /// The input is not as wide as the weights.
    #[error("the input has {found} values per token, the weights {expected}")]
    Width {
        /// The weights'.
        expected: usize,
        /// The input's.
        found: usize,
    },
    /// The reference arithmetic takes activations as they are only.
    #[error("the reference arithmetic wants F32 activations, not {0}")]
    NotPlain(Encoding),
    /// The answer would be too large.
    #[error("the answer would be too large")]
    TooLarge,
    /// A kernel refused.
    #[error(transparent)]
    Kernel(#[from] kernels::Error),
}

impl Operation {
    fn name(&self) -> &'static str {
        match self {
            Self::Embed(_) => "embed",
            Self::Qkv => "qkv",
            Self::Latent => "latent",
            Self::LatentQueries => "latent queries",
            Self::AttentionOutput => "attention output",
            Self::FeedForward => "feed forward",
            Self::Logits => "logits",
        }
    }
}

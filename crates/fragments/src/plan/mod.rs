mod layers;
mod layout;
mod pack;
mod stream;
mod streams;

use std::ops::Range;

use architecture::Role;
use gguf::Header;

use crate::part::{Class, PartKind};
pub(crate) use layout::{Gaps, MAX_PADDING, gaps};

/// The fragment size where none is chosen: 10 MiB.
pub const DEFAULT_FRAGMENT_SIZE: u32 = 10 << 20;

/// The largest fragment size, so that a fragment always fits into memory and a message's limits.
pub const MAX_FRAGMENT_SIZE: u32 = 256 << 20;

/// The most fragments of a plan. A model of 400 GB has 40,000 of the default size.
pub const MAX_FRAGMENTS: usize = 1 << 20;

/// The most slices of a plan. Bounds the memory that a false manifest can ask for.
pub const MAX_SLICES: usize = 1 << 20;

/// Feed-forward layers are cut at multiples of this many hidden columns: the longest quantisation block, so
/// that every cut falls between blocks, whatever the tensor's type.
pub const TILE: u32 = 256;

/// What goes into which fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The fragments in the manifest's order: small tensors, embedding, output head, then layer by layer
    /// attention, feed-forward and experts, and what the plan does not understand last. Room that a layer
    /// leaves in its fragments may be filled by the next ones.
    pub fragments: Vec<FragmentPlan>,
}

/// What goes into one fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentPlan {
    /// When it is needed.
    pub class: Class,
    /// Its parts in order.
    pub parts: Vec<Part>,
    /// Bytes of tensors in it.
    pub payload_len: u32,
    /// Bytes of its file.
    pub file_len: u32,
}

/// One part of a fragment. The parts of one layer's attention, or of one (layer, expert), are in the order
/// of their heads or columns the leaves of the tree along which their results are added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is for.
    pub kind: PartKind,
    /// The tensors' slices it consists of. Attention has q, k, v and the output projection in this order,
    /// latent attention queries, keys' latent, values and the output projection, feed-forward gate, up, down
    /// and what is added to the first two.
    pub slices: Vec<Slice>,
}

/// A rectangle of a tensor, stored row by row without gaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The tensor's index in the header.
    pub tensor: u32,
    /// What it is in the model.
    pub role: Role,
    /// The rows. Those of all experts of a tensor are counted through.
    pub rows: Range<u64>,
    /// The columns: weights of a row, at block boundaries.
    pub columns: Range<u64>,
    /// Where the slice is in the payload.
    pub offset: u32,
    /// Its bytes.
    pub len: u32,
}

/// A file cannot be cut with this fragment size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// What must not be cut further does not fit into a fragment.
    #[error(
        "fragments of {size} bytes are too small for this model: {tensor} needs {smallest} bytes at least"
    )]
    FragmentTooSmall {
        /// The fragment size that was asked for.
        size: u32,
        /// A tensor that does not fit.
        tensor: String,
        /// The smallest fragment size that works for the whole model.
        smallest: u64,
    },
    /// The fragment size exceeds [`MAX_FRAGMENT_SIZE`].
    #[error("fragments of {0} bytes are larger than the {MAX_FRAGMENT_SIZE} bytes allowed")]
    FragmentTooLarge(u32),
    /// A tensor's name is too long to be kept in a fragment.
    #[error("tensor {tensor} of the file has a name of {len} bytes, too long for a fragment")]
    NameTooLong {
        /// The tensor's index.
        tensor: u32,
        /// The name's length.
        len: usize,
    },
    /// The plan would have more fragments or slices than allowed.
    #[error("the model would need more than {limit} {what}: choose larger fragments")]
    TooMany {
        /// Fragments or slices.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl Plan {
    /// Plans the cut of a file with this header and length into fragments of at most `fragment_size` bytes.
    /// Pure and deterministic: the same arguments give the same plan on every machine.
    pub fn new(header: &Header, file_len: u64, fragment_size: u32) -> Result<Self, PlanError> {
        Self::with_limit(header, file_len, fragment_size, MAX_FRAGMENTS)
    }

    /// The same, but gives up as soon as more than `limit` fragments would be needed.
    pub(crate) fn with_limit(
        header: &Header,
        file_len: u64,
        fragment_size: u32,
        limit: usize,
    ) -> Result<Self, PlanError> {
        pack::pack(header, file_len, fragment_size, limit.min(MAX_FRAGMENTS))
            .map(|fragments| Self { fragments })
    }

    /// The smallest fragment size the model can be cut with.
    pub fn smallest_fragment_size(header: &Header, file_len: u64) -> u64 {
        pack::smallest(header, file_len).0
    }

    /// All parts in the plan's order, each with the index of its fragment and its own in the fragment.
    pub fn parts(&self) -> impl Iterator<Item = (u32, u16, &Part)> {
        self.fragments
            .iter()
            .enumerate()
            .flat_map(|(fragment, plan)| {
                let parts = plan.parts.iter().enumerate();
                // Both fit: fragments by MAX_FRAGMENTS, parts by the bound on a fragment's description.
                parts.map(move |(index, part)| (fragment as u32, index as u16, part))
            })
    }
}

use std::ops::Range;

use serde::Serialize;

/// When a fragment is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// For every token.
    AlwaysActive,
    /// For some tokens only (experts), or not for computing at all.
    Conditional,
}

/// What a part of a fragment is for: the unit that one compute request addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum PartKind {
    /// Rows of the token embedding; where the model has no output head of its own, they serve as it too.
    Embedding {
        /// The rows: token ids.
        rows: Range<u32>,
    },
    /// Rows of the output head.
    OutputHead {
        /// The rows: token ids.
        rows: Range<u32>,
    },
    /// What a layer has besides its large matrices: norms, router, biases. Parts of several layers share a
    /// fragment, and a layer whose small tensors do not fit into what is left of one has several parts.
    Small {
        /// The layer; `None` for what belongs to none, such as the output norm.
        layer: Option<u32>,
    },
    /// The q, k and v rows of some key–value heads with the query heads that share them, and the matching
    /// columns of the output projection.
    Attention {
        /// The layer.
        layer: u32,
        /// The key–value heads.
        kv_heads: Range<u32>,
    },
    /// Rows of a projection from the hidden state to a latent that all heads share. Its slice's role says
    /// which: the queries' or that of keys and values.
    Latent {
        /// The layer.
        layer: u32,
        /// The rows.
        rows: Range<u32>,
    },
    /// Latent attention: what leads some heads' queries into the latent of keys and values and out of it,
    /// and the matching columns of the output projection.
    LatentAttention {
        /// The layer.
        layer: u32,
        /// The heads.
        heads: Range<u32>,
    },
    /// Rows of gate and up, with their biases where there are some, and the matching columns of down: a slice
    /// of the sum over the hidden width.
    FeedForward {
        /// The layer.
        layer: u32,
        /// The expert; `None` for a dense layer and for the expert that all tokens share.
        expert: Option<u32>,
        /// The hidden columns.
        columns: Range<u32>,
    },
    /// Tensors the plan does not understand, kept so that the file can be joined again.
    Opaque,
    /// Bytes of the file that belong to no tensor.
    Gap {
        /// Where they are in the file.
        position: u64,
        /// Where they are in the payload.
        offset: u32,
        /// How many.
        len: u32,
    },
}

impl PartKind {
    /// The layer the part belongs to.
    pub fn layer(&self) -> Option<u32> {
        match *self {
            Self::Small { layer } => layer,
            Self::Attention { layer, .. }
            | Self::Latent { layer, .. }
            | Self::LatentAttention { layer, .. }
            | Self::FeedForward { layer, .. } => Some(layer),
            _ => None,
        }
    }
}

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
    /// Rows of gate and up and the matching columns of down: a slice of the sum over the hidden width.
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
            Self::Attention { layer, .. } | Self::FeedForward { layer, .. } => Some(layer),
            _ => None,
        }
    }
}

macro_rules! roles {
    ($($(#[$doc:meta])* $variant:ident = $id:literal;)*) => {
        /// What a tensor is in the model.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        #[non_exhaustive]
        pub enum Role { $($(#[$doc])* $variant,)* }

        impl Role {
            pub(crate) fn id(self) -> u32 {
                match self { $(Self::$variant => $id),* }
            }

            pub(crate) fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

roles! {
    /// Anything that has no role of its own; its name says what it is.
    Other = 0;
    /// The token embedding.
    Embedding = 1;
    /// The output head.
    Output = 2;
    /// The query projection.
    Q = 3;
    /// The key projection.
    K = 4;
    /// The value projection.
    V = 5;
    /// The output projection of attention.
    AttentionOutput = 6;
    /// The gate of a feed-forward layer or expert.
    Gate = 7;
    /// Its up projection.
    Up = 8;
    /// Its down projection.
    Down = 9;
    /// What chooses the experts.
    Router = 10;
    /// The norm before attention.
    AttentionNorm = 11;
    /// The norm before the feed-forward layer.
    FeedForwardNorm = 12;
    /// The norm before the output head.
    OutputNorm = 13;
    /// Factors on the frequencies of the rotary embedding.
    RopeFactors = 14;
}

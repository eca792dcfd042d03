//! A model's dimensions, as its file states them.

mod experts;
mod keys;
mod rope;

use architecture::{ARCHITECTURES, Architecture, Attention, Dim, Presence, Tensor};
use gguf::{Header, MetadataError};

use crate::executor::CacheKind;

pub use experts::{Experts, Gating, Groups};
use keys::{Keys, MAX_LAYERS, invalid};
pub use rope::{RopeParameters, Temperature, Yarn};

/// Why a model cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file lacks something or has it as another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// An architecture this crate does not know.
    #[error("architecture {0:?} is not supported ({known} are)", known = supported())]
    UnsupportedArchitecture(String),
    /// A way of stretching positions this crate does not know.
    #[error("rope scaling {0:?} is not supported (none, linear and yarn are)")]
    UnsupportedRopeScaling(String),
    /// A dimension that makes no sense, or not with the others.
    #[error("{key} is {value}, but must be {must}")]
    Invalid {
        /// The metadata key without the architecture.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: String,
    },
    /// A tensor the model cannot do without is not in the file.
    #[error("the file lacks the tensor {0:?}")]
    MissingTensor(String),
}

fn supported() -> String {
    let names: Vec<&str> = ARCHITECTURES.iter().map(|it| it.name).collect();
    names.join(", ")
}

/// The dimensions of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    /// What the layers consist of.
    pub architecture: &'static Architecture,
    /// The longest text the model was trained for, in tokens.
    pub context_length: usize,
    /// Number of layers.
    pub layers: u32,
    /// Width of the state between layers.
    pub n_embd: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads, shared by groups of query heads. In latent attention all heads have their own.
    pub n_head_kv: usize,
    /// Width of a query or key head. Not `n_embd / n_head` in every model.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// The latents, in a model of latent attention.
    pub latent: Option<Latent>,
    /// Hidden width of a feed-forward layer without experts; none where all layers have them.
    pub n_ff: Option<usize>,
    /// Tokens in the vocabulary.
    pub n_vocab: usize,
    /// Layers at the start that have no experts though the others have.
    pub leading_dense: u32,
    /// The experts, in a model that has them.
    pub experts: Option<Experts>,
    /// How positions turn queries and keys.
    pub rope: RopeParameters,
    /// How positions scale queries, in a model that does so.
    pub temperature: Option<Temperature>,
    /// How far back a token looks, itself included; `None` for all the way. As the file states it for all layers:
    /// llama.cpp, whose converter writes it for none of these architectures, would not look for it.
    pub sliding_window: Option<usize>,
    /// What the products of queries and keys are multiplied by.
    pub attention_scale: f32,
    /// Added to the mean square in norms.
    pub eps: f32,
}

/// The latents of latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latent {
    /// Width of the queries'; `None` where queries come from the hidden state.
    pub queries: Option<usize>,
    /// Width of the one that is kept instead of keys and values.
    pub keys_values: usize,
}

/// What YaRN's log multiplier does to scores. References disagree: llama.cpp lets scores of stretched models
/// grow, while the configuration of some of the very same models says that nothing is to be scaled
/// (`apply_scale: false`). A model answers as in llama.cpp unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum YarnLogMultiplier {
    /// What llama.cpp does with the file's.
    #[default]
    AsLlamaCpp,
    /// Nothing grows with the factor.
    Ignored,
}

impl std::str::FromStr for YarnLogMultiplier {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "llama-cpp" => Ok(Self::AsLlamaCpp),
            "ignored" => Ok(Self::Ignored),
            _ => Err("it is llama-cpp or ignored"),
        }
    }
}

/// What is kept of each token for one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Rows of keys and of values.
    pub heads: usize,
    /// Width of a row of keys.
    pub key: usize,
    /// Width of a row of values.
    pub value: usize,
    /// Whether a value is the start of its key, and need not be kept besides.
    pub values_in_keys: bool,
}

impl Hyperparameters {
    /// Reads and checks a file's dimensions.
    ///
    /// A value that is absent is an error, unless the format itself says what its absence means.
    pub fn new(header: &Header) -> Result<Self, Error> {
        Self::with(header, YarnLogMultiplier::default())
    }

    /// The same, for a model that is to answer otherwise than in llama.cpp.
    pub fn with(header: &Header, log_multiplier: YarnLogMultiplier) -> Result<Self, Error> {
        let metadata = &header.metadata;
        let name = metadata.str("general.architecture")?;
        let architecture = Architecture::named(name)
            .ok_or_else(|| Error::UnsupportedArchitecture(name.to_owned()))?;
        let keys = Keys {
            metadata,
            prefix: architecture.name,
        };
        let n_embd = keys.width("embedding_length")?;
        let n_head = keys.width("attention.head_count")?;
        let context = keys.bounded("context_length", u32::MAX)?;
        let layers = keys.bounded("block_count", MAX_LAYERS)?;
        let Heads {
            n_head_kv,
            head_dim_k,
            head_dim_v,
            latent,
        } = heads(architecture, &keys, n_embd, n_head)?;
        // A head of latent attention says how much of it is turned; all of it is in others.
        let turned = latent.is_none().then_some(head_dim_k);
        let (rope, attention_scale) = rope::rope(
            architecture,
            &keys,
            head_dim_k,
            turned,
            context,
            log_multiplier,
        )?;
        let n_ff = keys.optional_width("feed_forward_length")?;
        let experts = experts::experts(architecture, &keys, n_ff)?;
        let leading_dense = match (architecture.dense_first, experts) {
            (true, Some(_)) => keys.count("leading_dense_block_count", layers)? as u32,
            _ => 0,
        };
        if n_ff.is_none() && (experts.is_none() || leading_dense > 0) {
            return Err(keys.missing("feed_forward_length"));
        }
        let key = "attention.layer_norm_rms_epsilon";
        let eps = keys.finite(key)?.ok_or_else(|| keys.missing(key))?;
        if eps < 0.0 {
            return Err(invalid(key, eps, "0 or more"));
        }
        Ok(Self {
            architecture,
            context_length: context as usize,
            layers,
            n_embd,
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
            latent,
            n_ff,
            n_vocab: vocabulary(header)?,
            leading_dense,
            experts,
            rope,
            temperature: rope::temperature(architecture, &keys, context)?,
            sliding_window: match keys.optional::<u32>("attention.sliding_window")? {
                None | Some(0) => None,
                Some(window) => Some(window as usize),
            },
            attention_scale,
            eps,
        })
    }

    /// Query heads that share a key and value head.
    pub fn group(&self) -> usize {
        self.n_head / self.n_head_kv
    }

    /// The experts of a layer, if it has some.
    pub fn experts_of(&self, layer: u32) -> Option<&Experts> {
        self.experts
            .as_ref()
            .filter(|_| layer >= self.leading_dense)
    }

    /// What is kept of each token for one layer: in latent attention, the latent and the turned part of the
    /// key that all heads share.
    pub fn kept(&self) -> Kept {
        match self.latent {
            None => Kept {
                heads: self.n_head_kv,
                key: self.head_dim_k,
                value: self.head_dim_v,
                values_in_keys: false,
            },
            Some(Latent { keys_values, .. }) => Kept {
                heads: 1,
                key: keys_values + self.rope.dimensions,
                value: keys_values,
                values_in_keys: true,
            },
        }
    }

    /// Bytes of keys and values that a session keeps for each token: what bounds its context where memory
    /// is short and no window bounds it.
    pub fn cache_bytes_per_token(&self, cache: CacheKind) -> usize {
        let kept = self.kept();
        let values = if kept.values_in_keys { 0 } else { kept.value };
        let row = cache.row_bytes(kept.key) + cache.row_bytes(values);
        self.layers as usize * kept.heads * row
    }

    /// The tensors of a layer that the file must have or may have.
    pub(crate) fn tensors(&self, layer: u32) -> impl Iterator<Item = &'static Tensor> {
        let feed_forward = match self.experts_of(layer) {
            Some(_) => self.architecture.experts,
            None => self.architecture.dense,
        };
        let all = self.architecture.layer.iter().chain(feed_forward);
        let all = all.copied().flatten();
        all.filter(|tensor| match tensor.presence {
            Presence::Always | Presence::Optional => true,
            Presence::WithQueryRank => self.dim(Dim::QueryRank).is_some(),
            Presence::WithoutQueryRank => self.dim(Dim::QueryRank).is_none(),
            Presence::WithShared => self.dim(Dim::Shared).is_some(),
        })
    }

    /// A dimension; `None` if the model has nothing of the kind.
    pub(crate) fn dim(&self, dim: Dim) -> Option<u64> {
        // In 64 bits, which products of two widths fit on every target.
        let wide = |width: usize| width as u64;
        let latent = self.latent.map(|latent| wide(latent.keys_values));
        let rope = wide(self.rope.dimensions);
        let (heads, kv_heads) = (wide(self.n_head), wide(self.n_head_kv));
        let (key, value) = (wide(self.head_dim_k), wide(self.head_dim_v));
        Some(match dim {
            Dim::Embedding => wide(self.n_embd),
            Dim::Vocabulary => wide(self.n_vocab),
            Dim::RopePairs => rope / 2,
            Dim::Queries => heads * key,
            Dim::Keys => kv_heads * key,
            Dim::Values => kv_heads * value,
            Dim::Seen => heads * value,
            Dim::Key => key,
            Dim::Value => value,
            Dim::Heads => heads,
            Dim::QueryRank => wide(self.latent?.queries?),
            Dim::KeyValueRank => latent?,
            Dim::KeyValueRankAndRope => latent? + rope,
            Dim::Unrotated => key - rope,
            Dim::Dense => wide(self.n_ff?),
            Dim::Expert => wide(self.experts?.width),
            Dim::Shared => Some(wide(self.experts?.shared)).filter(|&width| width > 0)?,
            Dim::Experts => wide(self.experts?.count),
        })
    }
}

struct Heads {
    n_head_kv: usize,
    head_dim_k: usize,
    head_dim_v: usize,
    latent: Option<Latent>,
}

fn heads(
    architecture: &Architecture,
    keys: &Keys,
    n_embd: usize,
    n_head: usize,
) -> Result<Heads, Error> {
    if architecture.attention == Attention::Latent {
        let head_dim_k = keys.width("attention.key_length_mla")?;
        let key = "rope.dimension_count";
        let turned = keys.width(key)?;
        if turned >= head_dim_k {
            return Err(invalid(key, turned, "less than the width of a key"));
        }
        let queries = keys.count("attention.q_lora_rank", keys::MAX_WIDTH)?;
        return Ok(Heads {
            n_head_kv: n_head,
            head_dim_k,
            head_dim_v: keys.width("attention.value_length_mla")?,
            latent: Some(Latent {
                queries: Some(queries).filter(|&width| width > 0),
                keys_values: keys.width("attention.kv_lora_rank")?,
            }),
        });
    }
    let key = "attention.head_count_kv";
    let n_head_kv = keys.optional_width(key)?.unwrap_or(n_head);
    if !n_head.is_multiple_of(n_head_kv) {
        return Err(invalid(key, n_head_kv, "a divisor of the number of heads"));
    }
    let head_dim = |key| match keys.optional_width(key)? {
        Some(width) => Ok(width),
        None if n_embd.is_multiple_of(n_head) => Ok(n_embd / n_head),
        None => Err(keys.missing(key)),
    };
    Ok(Heads {
        n_head_kv,
        head_dim_k: head_dim("attention.key_length")?,
        head_dim_v: head_dim("attention.value_length")?,
        latent: None,
    })
}

/// Tokens in the vocabulary: as many as the embedding has rows.
fn vocabulary(header: &Header) -> Result<usize, Error> {
    let embedding = "token_embd.weight";
    let embedding = header
        .tensor(embedding)
        .ok_or_else(|| Error::MissingTensor(embedding.to_owned()))?;
    let rows = u32::try_from(embedding.rows())
        .ok()
        .filter(|&rows| rows > 0);
    let rows = rows.ok_or_else(|| invalid("vocab_size", embedding.rows(), "a number of tokens"))?;
    Ok(rows as usize)
}

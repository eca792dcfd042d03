//! A model's dimensions, as its file states them.

use gguf::{Header, Metadata, MetadataError};

/// Dimensions beyond these are taken for damage or malice: the largest models stay far below, and what is
/// allocated from them stays bounded.
const MAX_LAYERS: u32 = 1024;
const MAX_WIDTH: u32 = 1 << 20;

/// Architectures this crate computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Llama and Mistral, dense or with experts in Mixtral's way.
    Llama,
}

/// Why a model cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file lacks something or has it as another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// An architecture this crate does not know.
    #[error("architecture {0:?} is not supported (llama is)")]
    UnsupportedArchitecture(String),
    /// A way of stretching positions this crate does not know.
    #[error("rope scaling {0:?} is not supported (none and linear are)")]
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

/// The dimensions of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Hyperparameters {
    /// What the layers compute.
    pub architecture: Architecture,
    /// The longest text the model was trained for, in tokens.
    pub context_length: usize,
    /// Number of layers.
    pub layers: u32,
    /// Width of the state between layers.
    pub n_embd: usize,
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads, shared by groups of query heads.
    pub n_head_kv: usize,
    /// Width of a query or key head. Not `n_embd / n_head` in every model.
    pub head_dim_k: usize,
    /// Width of a value head.
    pub head_dim_v: usize,
    /// Hidden width of a feed-forward layer or of one expert.
    pub n_ff: usize,
    /// Tokens in the vocabulary.
    pub n_vocab: usize,
    /// The experts, in a model that has them.
    pub experts: Option<Experts>,
    /// How positions turn queries and keys.
    pub rope: RopeParameters,
    /// Added to the mean square in norms.
    pub eps: f32,
}

/// How many experts a layer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// All of them.
    pub count: usize,
    /// Those that one token uses.
    pub used: usize,
}

/// Rotary position embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeParameters {
    /// Values of a head that are turned.
    pub dimensions: usize,
    /// The base of the frequencies.
    pub base: f32,
    /// Positions are divided by this; 1 for positions as they are.
    pub linear_factor: f32,
}

impl Hyperparameters {
    /// Reads and checks a file's dimensions.
    ///
    /// A value that is absent is an error, unless the format itself says what its absence means.
    pub fn new(header: &Header) -> Result<Self, Error> {
        let metadata = &header.metadata;
        let architecture = match metadata.str("general.architecture")? {
            "llama" => Architecture::Llama,
            other => return Err(Error::UnsupportedArchitecture(other.to_owned())),
        };
        let keys = Keys {
            metadata,
            prefix: "llama",
        };
        let n_embd = keys.width("embedding_length")?;
        let n_head = keys.width("attention.head_count")?;
        let n_head_kv = keys
            .optional_width("attention.head_count_kv")?
            .unwrap_or(n_head);
        if !n_head.is_multiple_of(n_head_kv) {
            let must = "a divisor of the number of heads";
            return Err(invalid("attention.head_count_kv", n_head_kv, must));
        }
        let head_dim = |key| match keys.optional_width(key)? {
            Some(width) => Ok(width),
            None if n_embd.is_multiple_of(n_head) => Ok(n_embd / n_head),
            None => Err(keys.missing(key)),
        };
        let head_dim_k = head_dim("attention.key_length")?;
        let head_dim_v = head_dim("attention.value_length")?;
        let embedding = header.tensor("token_embd.weight");
        let embedding =
            embedding.ok_or_else(|| Error::MissingTensor("token_embd.weight".to_owned()))?;
        let n_vocab = u32::try_from(embedding.rows())
            .ok()
            .filter(|&rows| rows > 0);
        let must = "a number of tokens";
        let n_vocab = n_vocab.ok_or_else(|| invalid("vocab_size", embedding.rows(), must))?;
        Ok(Self {
            architecture,
            context_length: keys.bounded("context_length", u32::MAX)? as usize,
            layers: keys.bounded("block_count", MAX_LAYERS)?,
            n_embd,
            n_head,
            n_head_kv,
            head_dim_k,
            head_dim_v,
            n_ff: keys.width("feed_forward_length")?,
            n_vocab: n_vocab as usize,
            experts: experts(&keys)?,
            rope: rope(&keys, head_dim_k)?,
            eps: keys.eps()?,
        })
    }

    /// Query heads that share a key and value head.
    pub fn group(&self) -> usize {
        self.n_head / self.n_head_kv
    }

    /// Bytes of keys and values that a session keeps for each token: what bounds its context where memory
    /// is short.
    pub fn cache_bytes_per_token(&self) -> usize {
        let values = self.n_head_kv * (self.head_dim_k + self.head_dim_v);
        self.layers as usize * values * size_of::<f32>()
    }
}

fn experts(keys: &Keys) -> Result<Option<Experts>, Error> {
    if matches!(keys.optional::<u32>("expert_count")?, None | Some(0)) {
        return Ok(None);
    }
    let count = keys.bounded("expert_count", MAX_WIDTH)?;
    let used = keys.bounded("expert_used_count", count)? as usize;
    Ok(Some(Experts {
        count: count as usize,
        used,
    }))
}

fn rope(keys: &Keys, head_dim_k: usize) -> Result<RopeParameters, Error> {
    let key = "rope.dimension_count";
    let dimensions = keys.optional_width(key)?.unwrap_or(head_dim_k);
    if dimensions > head_dim_k || !dimensions.is_multiple_of(2) {
        return Err(invalid(
            key,
            dimensions,
            "even and at most the width of a head",
        ));
    }
    let key = "rope.freq_base";
    let base = keys.optional::<f32>(key)?.unwrap_or(10_000.0);
    if !(base.is_finite() && base > 0.0) {
        return Err(invalid(key, base, "above 0"));
    }
    // A factor without a type is linear: that is what files said before there were types.
    let key = "rope.scaling.factor";
    let factor = keys.optional::<f32>(key)?;
    let factor = match factor {
        Some(_) => factor,
        None => keys.optional::<f32>("rope.scale_linear")?,
    };
    let linear_factor = match keys.optional::<&str>("rope.scaling.type")? {
        Some("none") => 1.0,
        // Files write 0 for no factor.
        Some("linear") | None => factor.filter(|&factor| factor != 0.0).unwrap_or(1.0),
        Some(other) => return Err(Error::UnsupportedRopeScaling(other.to_owned())),
    };
    if !(linear_factor.is_finite() && linear_factor > 0.0) {
        return Err(invalid(key, linear_factor, "above 0"));
    }
    Ok(RopeParameters {
        dimensions,
        base,
        linear_factor,
    })
}

fn invalid(key: &'static str, value: impl ToString, must: &str) -> Error {
    Error::Invalid {
        key,
        value: value.to_string(),
        must: must.to_owned(),
    }
}

/// The metadata of one architecture.
struct Keys<'a> {
    metadata: &'a Metadata,
    prefix: &'static str,
}

impl<'a> Keys<'a> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    fn missing(&self, key: &str) -> Error {
        MetadataError::Missing {
            key: self.name(key),
        }
        .into()
    }

    fn optional<T: gguf::FromValue<'a>>(&self, key: &str) -> Result<Option<T>, Error> {
        Ok(self.metadata.optional(&self.name(key))?)
    }

    fn bounded(&self, key: &'static str, limit: u32) -> Result<u32, Error> {
        let value = self
            .optional::<u32>(key)?
            .ok_or_else(|| self.missing(key))?;
        if value == 0 || value > limit {
            return Err(invalid(key, value, &format!("from 1 to {limit}")));
        }
        Ok(value)
    }

    fn width(&self, key: &'static str) -> Result<usize, Error> {
        Ok(self.bounded(key, MAX_WIDTH)? as usize)
    }

    fn optional_width(&self, key: &'static str) -> Result<Option<usize>, Error> {
        match self.metadata.get(&self.name(key)) {
            Some(_) => self.width(key).map(Some),
            None => Ok(None),
        }
    }

    fn eps(&self) -> Result<f32, Error> {
        let key = "attention.layer_norm_rms_epsilon";
        let eps = self
            .optional::<f32>(key)?
            .ok_or_else(|| self.missing(key))?;
        if eps.is_finite() && eps >= 0.0 {
            Ok(eps)
        } else {
            Err(invalid(key, eps, "0 or more"))
        }
    }
}

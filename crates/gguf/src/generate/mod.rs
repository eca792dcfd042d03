//! Models of random weights, of any size, for tests: shaped, named and quantised like real ones, always the same
//! for the same seed, and streamed, so that gigabytes need no memory.
//!
//! Weights are finite and small, and there is a vocabulary, so that such a model computes and speaks nonsense.
//!
//! ```
//! use gguf::{Header, generate::Shape};
//!
//! let shape = Shape::small(Some(4));
//! let mut file = Vec::new();
//! shape.write(1, &mut file)?;
//! assert_eq!(file.len() as u64, shape.file_len());
//! assert!(Header::parse(&file, Some(shape.file_len())).is_ok());
//! # Ok::<(), gguf::WriteError>(())
//! ```

mod presets;
mod random;

use std::io::Write;

use crate::{Array, Strings, TensorInfo, TensorType, Value, WriteError, Writer};
pub use presets::Preset;
use random::Random;

/// Random bytes are written in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// The dimensions of a model of the `llama` architecture. All widths must be multiples of 256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of layers.
    pub layers: u32,
    /// Width of the hidden state.
    pub embedding: u32,
    /// Attention heads.
    pub heads: u32,
    /// Key–value heads.
    pub kv_heads: u32,
    /// Width of a head.
    pub head_dim: u32,
    /// Width of the feed-forward layer, or of an expert.
    pub feed_forward: u32,
    /// Experts of a layer, two of which are used; `None` for dense layers.
    pub experts: Option<u32>,
    /// Tokens of the vocabulary; at least 259.
    pub vocabulary: u32,
    /// Whether the token embedding serves as output head too.
    pub tied: bool,
}

impl Shape {
    /// A model of one to a few MB.
    pub fn small(experts: Option<u32>) -> Self {
        Self {
            layers: 2,
            embedding: 256,
            heads: 4,
            kv_heads: 2,
            head_dim: 64,
            feed_forward: 512,
            experts,
            vocabulary: 512,
            tied: false,
        }
    }

    /// A dense model of about this many bytes, in steps of a layer of 38 MB.
    pub fn dense(bytes: u64) -> Self {
        Self::large(8192, None).with_bytes(bytes)
    }

    /// A model with eight experts a layer of about this many bytes, in steps of a layer of 66 MB.
    pub fn mixture(bytes: u64) -> Self {
        Self::large(2048, Some(8)).with_bytes(bytes)
    }

    fn large(feed_forward: u32, experts: Option<u32>) -> Self {
        Self {
            layers: 1,
            embedding: 2048,
            heads: 16,
            kv_heads: 4,
            head_dim: 128,
            feed_forward,
            experts,
            vocabulary: 4096,
            tied: false,
        }
    }

    /// The same with as many layers as fit into this many bytes, and at least one.
    pub fn with_bytes(mut self, bytes: u64) -> Self {
        self.layers = 1;
        let one = self.file_len();
        self.layers = 2;
        let layer = self.file_len() - one;
        self.layers = 1 + u32::try_from(bytes.saturating_sub(one) / layer).unwrap_or(u32::MAX - 1);
        self
    }

    /// Length of the file.
    ///
    /// # Panics
    /// If widths are not multiples of 256.
    pub fn file_len(&self) -> u64 {
        self.writer()
            .expect("widths are multiples of 256")
            .file_len()
    }

    /// Writes the model. The same shape and seed give the same bytes.
    pub fn write(&self, seed: u64, output: impl Write) -> Result<(), WriteError> {
        fill(self.writer()?, seed, output)
    }

    fn writer(&self) -> Result<Writer, WriteError> {
        let mut writer = Writer::new();
        self.add_metadata(&mut writer)?;
        self.add_tensors(&mut writer)?;
        Ok(writer)
    }

    fn add_metadata(&self, writer: &mut Writer) -> Result<(), WriteError> {
        let text = |text: &str| Value::String(text.to_owned());
        writer.metadata("general.architecture", text("llama"))?;
        writer.metadata("general.name", text("random weights"))?;
        for (key, value) in [
            ("context_length", 4096),
            ("embedding_length", self.embedding),
            ("block_count", self.layers),
            ("feed_forward_length", self.feed_forward),
            ("attention.head_count", self.heads),
            ("attention.head_count_kv", self.kv_heads),
            ("attention.key_length", self.head_dim),
            ("attention.value_length", self.head_dim),
            ("rope.dimension_count", self.head_dim),
            ("vocab_size", self.vocabulary),
        ] {
            writer.metadata(&format!("llama.{key}"), Value::U32(value))?;
        }
        writer.metadata("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5))?;
        writer.metadata("llama.rope.freq_base", Value::F32(10_000.0))?;
        if let Some(experts) = self.experts {
            writer.metadata("llama.expert_count", Value::U32(experts))?;
            writer.metadata("llama.expert_used_count", Value::U32(experts.min(2)))?;
        }
        let mut tokens: Strings = ["<unk>", "<s>", "</s>"].into_iter().collect();
        let mut types = vec![2, 3, 3];
        for byte in 0..=255u8 {
            tokens.push(&format!("<0x{byte:02X}>"));
            types.push(6);
        }
        for word in tokens.len()..self.vocabulary as usize {
            tokens.push(&format!("▁w{word}"));
            types.push(1);
        }
        let scores = (0..tokens.len()).map(|index| -(index as f32)).collect();
        writer.metadata("tokenizer.ggml.model", text("llama"))?;
        writer.metadata("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)))?;
        writer.metadata("tokenizer.ggml.scores", Value::Array(Array::F32(scores)))?;
        writer.metadata("tokenizer.ggml.token_type", Value::Array(Array::I32(types)))?;
        writer.metadata("tokenizer.ggml.unknown_token_id", Value::U32(0))?;
        writer.metadata("tokenizer.ggml.bos_token_id", Value::U32(1))?;
        writer.metadata("tokenizer.ggml.eos_token_id", Value::U32(2))?;
        Ok(())
    }

    fn add_tensors(&self, writer: &mut Writer) -> Result<(), WriteError> {
        use TensorType::{F32, Q4_K, Q6_K, Q8_0};
        let [embedding, width, vocabulary] =
            [self.embedding, self.feed_forward, self.vocabulary].map(u64::from);
        let [q, kv] =
            [self.heads, self.kv_heads].map(|heads| u64::from(heads) * u64::from(self.head_dim));
        // The types are those that the usual mix called Q4_K_M chooses.
        if !self.tied {
            writer.tensor("output.weight", &[embedding, vocabulary], Q6_K)?;
        }
        writer.tensor("output_norm.weight", &[embedding], F32)?;
        writer.tensor(
            "token_embd.weight",
            &[embedding, vocabulary],
            if self.tied { Q6_K } else { Q4_K },
        )?;
        for layer in 0..self.layers {
            let better = if layer % 2 == 0 { Q6_K } else { Q4_K };
            let mut add = |name: &str, shape: &[u64], ty| {
                writer
                    .tensor(&format!("blk.{layer}.{name}.weight"), shape, ty)
                    .map(drop)
            };
            let (k_type, v_type) = if self.experts.is_some() {
                (Q8_0, Q8_0)
            } else {
                (Q4_K, better)
            };
            add("attn_norm", &[embedding], F32)?;
            add("attn_q", &[embedding, q], Q4_K)?;
            add("attn_k", &[embedding, kv], k_type)?;
            add("attn_v", &[embedding, kv], v_type)?;
            add("attn_output", &[q, embedding], Q4_K)?;
            add("ffn_norm", &[embedding], F32)?;
            if let Some(experts) = self.experts.map(u64::from) {
                add("ffn_gate_inp", &[embedding, experts], F32)?;
                add("ffn_gate_exps", &[embedding, width, experts], Q4_K)?;
                add("ffn_up_exps", &[embedding, width, experts], Q4_K)?;
                add("ffn_down_exps", &[width, embedding, experts], better)?;
            } else {
                add("ffn_gate", &[embedding, width], Q4_K)?;
                add("ffn_up", &[embedding, width], Q4_K)?;
                add("ffn_down", &[width, embedding], better)?;
            }
        }
        Ok(())
    }
}

/// Writes a file with random weights in its tensors. The same tensors and seed give the same bytes.
pub fn fill(writer: Writer, seed: u64, output: impl Write) -> Result<(), WriteError> {
    let tensors = writer.tensors().to_vec();
    let mut data = writer.start(output)?;
    let mut piece = Vec::new();
    for (index, tensor) in (0u64..).zip(&tensors) {
        // Each tensor from a seed of its own, so that changing one leaves the others.
        let mut random = Random::new(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let block = tensor.ty.block_bytes();
        let scale = scale(tensor);
        let mut left = tensor.byte_len();
        while left > 0 {
            let len = left.min((PIECE_BYTES / block * block) as u64);
            piece.clear();
            while (piece.len() as u64) < len {
                random.block(tensor, scale, &mut piece);
            }
            data.write(&piece)?;
            left -= len;
        }
    }
    data.finish()?;
    Ok(())
}

/// How large weights are: such that a layer neither blows up nor silences what goes through it.
fn scale(tensor: &TensorInfo) -> f32 {
    1.0 / (tensor.row_len() as f32).sqrt()
}

//! Random models of every architecture: their tensors are those that the architecture's description says,
//! in dimensions and types drawn by chance.

use architecture::{Architecture, Attention, Dim, Presence, Tensor};
use gguf::{TensorType, Value, Writer};

use super::byte_level;

/// Chance that a test can repeat.
#[derive(Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        // A linear congruential generator is random enough to shuffle with.
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn likely(&mut self) -> bool {
        self.below(3) > 0
    }
}

/// The dimensions of a random model.
struct Drawn {
    embedding: u64,
    vocabulary: u64,
    heads: u64,
    kv_heads: u64,
    key: u64,
    value: u64,
    rope: u64,
    query_rank: Option<u64>,
    kv_rank: u64,
    dense: u64,
    experts: u64,
    expert: u64,
    shared: u64,
}

/// Types whose blocks are 32 weights or fewer, which fit every row here, and the others.
const TYPES: [TensorType; 8] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
];
const LONG_TYPES: [TensorType; 5] = [
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
];

impl Drawn {
    fn new(it: &Architecture, vocabulary: u64, chance: &mut Chance) -> Self {
        let latent = it.attention == Attention::Latent;
        let kv_heads = chance.of(&[1, 2, 3]);
        let heads = match latent {
            true => chance.of(&[1, 2, 3, 5]),
            false => kv_heads * chance.of(&[1, 2, 3]),
        };
        let key = chance.of(&[32, 64, 96]);
        let has_experts = it.dense.is_empty() || (!it.experts.is_empty() && chance.likely());
        let dense = 32 * chance.of(&[1, 5, 8, 11, 16, 20]);
        let expert = 32 * chance.of(&[1, 3, 8, 9]);
        let own_width = it.expert_width != architecture::ExpertWidth::FeedForward;
        Self {
            embedding: chance.of(&[64, 96, 256]),
            vocabulary,
            heads,
            kv_heads: if latent { heads } else { kv_heads },
            key,
            value: if latent { chance.of(&[32, 64]) } else { key },
            rope: if latent { chance.of(&[8, 16]) } else { key },
            query_rank: chance.likely().then(|| chance.of(&[32, 96, 256])),
            kv_rank: chance.of(&[32, 64, 256]),
            dense,
            experts: if has_experts {
                chance.of(&[2, 4, 6])
            } else {
                0
            },
            expert: if own_width { expert } else { dense },
            shared: if latent { chance.of(&[0, 1, 2]) } else { 0 },
        }
    }

    fn dim(&self, dim: Dim) -> u64 {
        match dim {
            Dim::Embedding => self.embedding,
            Dim::Vocabulary => self.vocabulary,
            Dim::RopePairs => self.rope / 2,
            Dim::Queries => self.heads * self.key,
            Dim::Keys => self.kv_heads * self.key,
            Dim::Values => self.kv_heads * self.value,
            Dim::Seen => self.heads * self.value,
            Dim::Key => self.key,
            Dim::Value => self.value,
            Dim::Heads => self.heads,
            Dim::QueryRank => self.query_rank.unwrap_or(0),
            Dim::KeyValueRank => self.kv_rank,
            Dim::KeyValueRankAndRope => self.kv_rank + self.rope,
            Dim::Unrotated => self.key - self.rope,
            Dim::Dense => self.dense,
            Dim::Expert => self.expert,
            Dim::Shared => self.expert * self.shared,
            Dim::Experts => self.experts,
        }
    }

    fn has(&self, tensor: &Tensor, chance: &mut Chance) -> bool {
        match tensor.presence {
            Presence::Always => true,
            Presence::Optional => chance.below(2) == 0,
            Presence::WithQueryRank => self.query_rank.is_some(),
            Presence::WithoutQueryRank => self.query_rank.is_none(),
            Presence::WithShared => self.shared > 0,
        }
    }
}

/// The file of a random model of this architecture.
pub(crate) fn model(it: &Architecture, chance: &mut Chance) -> Vec<u8> {
    let vocabulary = byte_level(&["a b", "c d"]).metadata();
    let pieces = vocabulary.strings("tokenizer.ggml.tokens").unwrap().len() as u64;
    let drawn = Drawn::new(it, pieces, chance);
    let layers = chance.of(&[1, 2, 3]);
    let dense_first = if it.dense_first && drawn.experts > 0 {
        chance.of(&[0, 1])
    } else {
        0
    };
    let mut writer = Writer::new();
    for (key, value) in vocabulary.iter() {
        writer.metadata(key, value.clone()).unwrap();
    }
    let name = Value::String(it.name.into());
    writer.metadata("general.architecture", name).unwrap();
    for (key, value) in metadata(it, &drawn, layers, dense_first, chance) {
        writer
            .metadata(&format!("{}.{key}", it.name), value)
            .unwrap();
    }
    let mut add = |layer: Option<u32>, tensor: &Tensor, chance: &mut Chance| {
        if !drawn.has(tensor, chance) {
            return;
        }
        let shape: Vec<u64> = tensor.shape.iter().map(|&dim| drawn.dim(dim)).collect();
        let ty = match shape.as_slice() {
            [_] => TensorType::F32,
            [row, ..] if row.is_multiple_of(256) && chance.likely() => chance.of(&LONG_TYPES),
            [row, ..] if row.is_multiple_of(32) => chance.of(&TYPES),
            _ => chance.of(&TYPES[..3]),
        };
        let block = layer.map_or(String::new(), |layer| format!("blk.{layer}."));
        writer
            .tensor(&format!("{block}{}", tensor.name), &shape, ty)
            .unwrap();
    };
    for tensor in it.model.iter().copied().flatten() {
        add(None, tensor, chance);
    }
    for layer in 0..layers {
        let feed_forward = match drawn.experts > 0 && layer >= dense_first {
            true => it.experts,
            false => it.dense,
        };
        for tensor in it.layer.iter().chain(feed_forward).copied().flatten() {
            add(Some(layer), tensor, chance);
        }
    }
    let tensors = writer.tensors().to_vec();
    let mut file = Vec::new();
    let mut data = writer.start(&mut file).unwrap();
    for tensor in tensors {
        data.write(&weights(&tensor, chance)).unwrap();
    }
    data.finish().unwrap();
    file
}

fn metadata(
    it: &Architecture,
    drawn: &Drawn,
    layers: u32,
    dense_first: u32,
    chance: &mut Chance,
) -> Vec<(&'static str, Value)> {
    let number = |n: u64| Value::U32(n as u32);
    let mut entries = vec![
        ("context_length", number(64)),
        ("block_count", Value::U32(layers)),
        ("embedding_length", number(drawn.embedding)),
        ("feed_forward_length", number(drawn.dense)),
        ("attention.head_count", number(drawn.heads)),
        ("attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("rope.dimension_count", number(drawn.rope)),
    ];
    if it.attention == Attention::Latent {
        entries.extend([
            ("attention.key_length_mla", number(drawn.key)),
            ("attention.value_length_mla", number(drawn.value)),
            ("attention.kv_lora_rank", number(drawn.kv_rank)),
            (
                "attention.q_lora_rank",
                number(drawn.query_rank.unwrap_or(0)),
            ),
        ]);
    } else {
        entries.extend([
            ("attention.head_count_kv", number(drawn.kv_heads)),
            ("attention.key_length", number(drawn.key)),
            ("attention.value_length", number(drawn.value)),
        ]);
    }
    if drawn.experts > 0 {
        entries.extend([
            ("expert_count", number(drawn.experts)),
            ("expert_used_count", number(chance.of(&[1, 2]))),
            ("expert_feed_forward_length", number(drawn.expert)),
            ("expert_shared_count", number(drawn.shared)),
            ("leading_dense_block_count", Value::U32(dense_first)),
            ("expert_gating_func", Value::U32(chance.of(&[1, 2, 3]))),
            ("expert_weights_norm", Value::Bool(chance.likely())),
            ("expert_weights_scale", Value::F32(chance.of(&[1.0, 2.5]))),
        ]);
    }
    if chance.likely() {
        entries.extend([
            ("rope.scaling.type", Value::String("yarn".into())),
            ("rope.scaling.factor", Value::F32(8.0)),
            ("rope.scaling.original_context_length", Value::U32(4)),
            ("rope.scaling.yarn_log_multiplier", Value::F32(0.1)),
            ("attention.temperature_scale", Value::F32(0.1)),
            ("attention.temperature_length", Value::U32(3)),
        ]);
    }
    entries
}

/// Weights that are small numbers in every type: bits by chance, and scales that are fixed.
fn weights(tensor: &gguf::TensorInfo, chance: &mut Chance) -> Vec<u8> {
    use TensorType::*;
    let mut bytes = Vec::with_capacity(tensor.byte_len() as usize);
    let norm = tensor.rows() == 1;
    // A half-precision 1/256: a sign and exponent of its own, so that any weight stays below one.
    const SMALL: [u8; 2] = [0x00, 0x1c];
    while bytes.len() < tensor.byte_len() as usize {
        let mut block: Vec<u8> = (0..tensor.ty.block_bytes())
            .map(|_| chance.below(256) as u8)
            .collect();
        let scales: &[usize] = match tensor.ty {
            F32 => {
                let value = chance.below(2001) as f32 / 1000.0 - 1.0;
                let value = if norm { 1.0 + 0.1 * value } else { 0.2 * value };
                block.copy_from_slice(&value.to_le_bytes());
                &[]
            }
            // Below two: the highest bit of the exponent is not set.
            F16 | BF16 => {
                block[1] = (block[1] & 0x80) | 0x2c;
                if tensor.ty == BF16 {
                    block[1] = (block[1] & 0x80) | 0x3d;
                }
                &[]
            }
            Q4_0 | Q5_0 | Q8_0 => &[0],
            Q4_1 | Q5_1 | Q4_K | Q5_K => &[0, 2],
            Q2_K => &[80, 82],
            Q3_K => &[108],
            Q6_K => &[208],
            other => unreachable!("{other} is not drawn"),
        };
        for &at in scales {
            block[at..at + 2].copy_from_slice(&SMALL);
        }
        // Scales within a block multiply: those of K-quants are smaller still.
        if tensor.ty.block_len() == 256 {
            for &at in scales {
                block[at..at + 2].copy_from_slice(&[0x00, 0x06]);
            }
        }
        bytes.extend(block);
    }
    bytes
}

use crate::{
    Dim::*,
    Presence::{Always, Optional, WithQueryRank, WithShared, WithoutQueryRank},
    Tensor,
    tensor::tensor,
};

/// What an architecture consists of and what is computed with it.
///
/// All of them have this in common: RMS norms before attention and before the feed-forward layer, both added
/// to the state; rotary positions; SiLU-gated feed-forward layers; the embedding as output head where there
/// is no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// `general.architecture` of its files, and what their keys begin with.
    pub name: &'static str,
    /// How keys and values are shared.
    pub attention: Attention,
    /// Which values positions turn together.
    pub pairs: Pairs,
    /// How queries grow with the position.
    pub temperature: Temperature,
    /// How files write YaRN's log multiplier.
    pub log_multiplier: LogMultiplier,
    /// Whether files state which frequencies YaRN divides (`rope.scaling.yarn_beta_fast` and `_slow`); it is the
    /// same ones in all others, whatever they state.
    pub states_betas: bool,
    /// How experts are chosen and weighted.
    pub choice: Choice,
    /// Where the width of an expert is stated.
    pub expert_width: ExpertWidth,
    /// Whether the first layers may have no experts though the others have, as `leading_dense_block_count` says.
    pub dense_first: bool,
    /// Tensors of no layer.
    pub model: &'static [&'static [Tensor]],
    /// Norms and attention of every layer.
    pub layer: &'static [&'static [Tensor]],
    /// The feed-forward layer without experts; nothing in an architecture that always has them.
    pub dense: &'static [&'static [Tensor]],
    /// The feed-forward layer with experts; nothing in an architecture that never has them.
    pub experts: &'static [&'static [Tensor]],
}

/// How keys and values are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// Groups of query heads share a key and value head; there may be a group for each head, or one.
    Grouped,
    /// All heads share one latent, which is kept instead of keys and values (multi-head latent attention,
    /// DeepSeek-V2, arXiv 2405.04434, in its absorbed form).
    Latent,
}

/// Which values of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Neighbours: 0 and 1, 2 and 3, …
    Neighbours,
    /// One of the first half and one of the second.
    Halves,
}

/// How queries are scaled with their position `p`: by `1 + scale · ln(1 + ⌊p / length⌋)`, if the file states
/// `attention.temperature_scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temperature {
    /// Not at all.
    Never,
    /// `length` is the key `attention.temperature_length`.
    StatedLength,
    /// `length` is the key `rope.scaling.original_context_length`.
    OriginalContext,
}

/// What `rope.scaling.yarn_log_multiplier` is in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogMultiplier {
    /// Nothing: it is not read.
    Unread,
    /// The multiplier; it divides the size of queries and keys.
    Plain,
    /// A tenth of it; scores are multiplied by what it gives, squared, and the size of queries and keys stays.
    TenthOnScores,
}

/// How experts are chosen and weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Softmax over all, the best, divided by their sum.
    Softmax,
    /// As `expert_gating_func`, `expert_weights_norm` and `expert_weights_scale` say.
    Stated,
}

/// Where the width of an expert is stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpertWidth {
    /// `feed_forward_length`.
    FeedForward,
    /// `expert_feed_forward_length`; where it is missing, `feed_forward_length` divided by the experts used.
    OwnOrShare,
    /// `expert_feed_forward_length`.
    Own,
}

/// The architectures that can be computed.
pub const ARCHITECTURES: &[Architecture] = &[LLAMA, MISTRAL3, QWEN3, QWEN3MOE, DEEPSEEK2];

const MODEL: &[Tensor] = &[
    tensor(Always, "token_embd.weight", &[Embedding, Vocabulary]),
    tensor(Always, "output_norm.weight", &[Embedding]),
    tensor(Optional, "output.weight", &[Embedding, Vocabulary]),
];

const ROPE_FACTORS: &[Tensor] = &[tensor(Optional, "rope_freqs.weight", &[RopePairs])];

const GROUPED: &[Tensor] = &[
    tensor(Always, "attn_norm.weight", &[Embedding]),
    tensor(Always, "attn_q.weight", &[Embedding, Queries]),
    tensor(Always, "attn_k.weight", &[Embedding, Keys]),
    tensor(Always, "attn_v.weight", &[Embedding, Values]),
    tensor(Always, "attn_output.weight", &[Seen, Embedding]),
    tensor(Optional, "attn_q.bias", &[Queries]),
    tensor(Optional, "attn_k.bias", &[Keys]),
    tensor(Optional, "attn_v.bias", &[Values]),
    tensor(Always, "ffn_norm.weight", &[Embedding]),
];

const OUTPUT_BIAS: &[Tensor] = &[tensor(Optional, "attn_output.bias", &[Embedding])];

const HEAD_NORMS: &[Tensor] = &[
    tensor(Always, "attn_q_norm.weight", &[Key]),
    tensor(Always, "attn_k_norm.weight", &[Key]),
];

const LATENT: &[Tensor] = &[
    tensor(Always, "attn_norm.weight", &[Embedding]),
    tensor(WithQueryRank, "attn_q_a.weight", &[Embedding, QueryRank]),
    tensor(WithQueryRank, "attn_q_a_norm.weight", &[QueryRank]),
    tensor(WithQueryRank, "attn_q_b.weight", &[QueryRank, Queries]),
    tensor(WithoutQueryRank, "attn_q.weight", &[Embedding, Queries]),
    tensor(
        Always,
        "attn_kv_a_mqa.weight",
        &[Embedding, KeyValueRankAndRope],
    ),
    tensor(Always, "attn_kv_a_norm.weight", &[KeyValueRank]),
    tensor(Always, "attn_k_b.weight", &[Unrotated, KeyValueRank, Heads]),
    tensor(Always, "attn_v_b.weight", &[KeyValueRank, Value, Heads]),
    tensor(Always, "attn_output.weight", &[Seen, Embedding]),
    tensor(Always, "ffn_norm.weight", &[Embedding]),
];

const DENSE: &[Tensor] = &[
    tensor(Always, "ffn_gate.weight", &[Embedding, Dense]),
    tensor(Always, "ffn_up.weight", &[Embedding, Dense]),
    tensor(Always, "ffn_down.weight", &[Dense, Embedding]),
];

const DENSE_BIASES: &[Tensor] = &[
    tensor(Optional, "ffn_gate.bias", &[Dense]),
    tensor(Optional, "ffn_up.bias", &[Dense]),
    tensor(Optional, "ffn_down.bias", &[Embedding]),
];

const EXPERTS: &[Tensor] = &[
    tensor(Always, "ffn_gate_inp.weight", &[Embedding, Experts]),
    tensor(
        Always,
        "ffn_gate_exps.weight",
        &[Embedding, Expert, Experts],
    ),
    tensor(Always, "ffn_up_exps.weight", &[Embedding, Expert, Experts]),
    tensor(
        Always,
        "ffn_down_exps.weight",
        &[Expert, Embedding, Experts],
    ),
];

const ROUTER_BIAS: &[Tensor] = &[tensor(Optional, "exp_probs_b.bias", &[Experts])];

const SHARED_EXPERT: &[Tensor] = &[
    tensor(WithShared, "ffn_gate_shexp.weight", &[Embedding, Shared]),
    tensor(WithShared, "ffn_up_shexp.weight", &[Embedding, Shared]),
    tensor(WithShared, "ffn_down_shexp.weight", &[Shared, Embedding]),
];

/// Llama and Mistral, dense or with experts in Mixtral's way.
const LLAMA: Architecture = Architecture {
    name: "llama",
    attention: Attention::Grouped,
    pairs: Pairs::Neighbours,
    temperature: Temperature::Never,
    log_multiplier: LogMultiplier::Unread,
    states_betas: false,
    choice: Choice::Softmax,
    expert_width: ExpertWidth::FeedForward,
    dense_first: false,
    model: &[MODEL, ROPE_FACTORS],
    layer: &[GROUPED, OUTPUT_BIAS],
    dense: &[DENSE, DENSE_BIASES],
    experts: &[EXPERTS],
};

/// Ministral 3, Devstral Small 2: Llama for long texts.
const MISTRAL3: Architecture = Architecture {
    name: "mistral3",
    temperature: Temperature::OriginalContext,
    log_multiplier: LogMultiplier::Plain,
    states_betas: true,
    ..LLAMA
};

/// Qwen 3, dense.
const QWEN3: Architecture = Architecture {
    name: "qwen3",
    pairs: Pairs::Halves,
    model: &[MODEL],
    layer: &[GROUPED, HEAD_NORMS],
    dense: &[DENSE],
    experts: &[],
    ..LLAMA
};

/// Qwen 3 with experts in all layers.
const QWEN3MOE: Architecture = Architecture {
    name: "qwen3moe",
    expert_width: ExpertWidth::OwnOrShare,
    dense: &[],
    experts: &[EXPERTS],
    ..QWEN3
};

/// DeepSeek V2 and V3, Mistral Large 3: latent attention; dense layers first, then experts of which all
/// tokens share one.
const DEEPSEEK2: Architecture = Architecture {
    name: "deepseek2",
    attention: Attention::Latent,
    pairs: Pairs::Neighbours,
    temperature: Temperature::StatedLength,
    log_multiplier: LogMultiplier::TenthOnScores,
    states_betas: false,
    choice: Choice::Stated,
    expert_width: ExpertWidth::Own,
    dense_first: true,
    model: &[MODEL],
    layer: &[LATENT],
    dense: &[DENSE],
    experts: &[EXPERTS, ROUTER_BIAS, SHARED_EXPERT],
};

impl Architecture {
    /// The architecture of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ARCHITECTURES.iter().find(|it| it.name == name)
    }

    /// Whether it has a tensor of this name, in some of its files at least.
    pub fn has(&self, name: &str) -> bool {
        let all = [self.model, self.layer, self.dense, self.experts];
        let mut all = all.into_iter().flatten().copied().flatten();
        all.any(|tensor| tensor.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dim, catalogue};

    #[test]
    fn every_tensor_of_an_architecture_is_in_the_catalogue() {
        for it in ARCHITECTURES {
            for tensor in it.model.concat() {
                assert!(
                    catalogue::MODEL
                        .iter()
                        .any(|known| known.name == tensor.name)
                );
            }
            for tensor in [it.layer, it.dense, it.experts].concat().concat() {
                let known = catalogue::LAYER
                    .iter()
                    .any(|known| known.name == tensor.name);
                assert!(known, "{} of {}", tensor.name, it.name);
            }
        }
    }

    #[test]
    fn rows_and_columns_that_meet_are_as_long() {
        // What attention and feed-forward layers take and give is the state between layers.
        for it in ARCHITECTURES {
            let layer = it.layer.concat();
            let tensor = |name: &str| layer.iter().find(|tensor| tensor.name == name);
            let output = tensor("attn_output.weight").map(|tensor| tensor.shape);
            assert_eq!(
                output,
                Some(&[Dim::Seen, Dim::Embedding][..]),
                "{}",
                it.name
            );
        }
    }
}

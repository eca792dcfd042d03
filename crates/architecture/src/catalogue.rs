use crate::Role;

/// Which gate, up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Those of a layer without experts.
    Dense,
    /// Those of the expert that all tokens share.
    Shared,
    /// Those of all experts, one after the other.
    Experts,
}

/// With which others a tensor is used, and so kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Home {
    /// The token embedding, by rows.
    Embedding,
    /// The output head, by rows.
    Output,
    /// Whoever runs the layer needs it at hand: norms, routers, what is added.
    Small,
    /// Latent attention's projections that all heads share, by rows.
    Latent,
    /// The projections of heads, by heads.
    Attention,
    /// Gate, up and down, by hidden columns.
    FeedForward(Group),
}

/// A tensor whose name means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its name, without the layer.
    pub name: &'static str,
    /// What it is.
    pub role: Role,
    /// Where it belongs.
    pub home: Home,
}

const fn known(name: &'static str, role: Role, home: Home) -> Known {
    Known { name, role, home }
}

/// Tensors of no layer.
pub(crate) const MODEL: &[Known] = &[
    known("token_embd.weight", Role::Embedding, Home::Embedding),
    known("output.weight", Role::Output, Home::Output),
    known("output_norm.weight", Role::OutputNorm, Home::Small),
    known("rope_freqs.weight", Role::RopeFactors, Home::Small),
];

/// Tensors of a layer.
pub(crate) const LAYER: &[Known] = &[
    known("attn_norm.weight", Role::AttentionNorm, Home::Small),
    known("attn_q.weight", Role::Q, Home::Attention),
    known("attn_k.weight", Role::K, Home::Attention),
    known("attn_v.weight", Role::V, Home::Attention),
    known("attn_output.weight", Role::AttentionOutput, Home::Attention),
    known("attn_q.bias", Role::QueryBias, Home::Small),
    known("attn_k.bias", Role::KeyBias, Home::Small),
    known("attn_v.bias", Role::ValueBias, Home::Small),
    known("attn_output.bias", Role::AttentionOutputBias, Home::Small),
    known("attn_q_norm.weight", Role::QueryNorm, Home::Small),
    known("attn_k_norm.weight", Role::KeyNorm, Home::Small),
    known("attn_q_a.weight", Role::QueryDown, Home::Latent),
    known("attn_kv_a_mqa.weight", Role::KeyValueDown, Home::Latent),
    known("attn_q_a_norm.weight", Role::QueryLatentNorm, Home::Small),
    known(
        "attn_kv_a_norm.weight",
        Role::KeyValueLatentNorm,
        Home::Small,
    ),
    known("attn_q_b.weight", Role::QueryUp, Home::Attention),
    known("attn_k_b.weight", Role::KeyUp, Home::Attention),
    known("attn_v_b.weight", Role::ValueUp, Home::Attention),
    known("ffn_norm.weight", Role::FeedForwardNorm, Home::Small),
    known(
        "ffn_gate.weight",
        Role::Gate,
        Home::FeedForward(Group::Dense),
    ),
    known("ffn_up.weight", Role::Up, Home::FeedForward(Group::Dense)),
    known(
        "ffn_down.weight",
        Role::Down,
        Home::FeedForward(Group::Dense),
    ),
    known(
        "ffn_gate.bias",
        Role::GateBias,
        Home::FeedForward(Group::Dense),
    ),
    known("ffn_up.bias", Role::UpBias, Home::FeedForward(Group::Dense)),
    known("ffn_down.bias", Role::DownBias, Home::Small),
    known("ffn_gate_inp.weight", Role::Router, Home::Small),
    known("exp_probs_b.bias", Role::RouterBias, Home::Small),
    known(
        "ffn_gate_exps.weight",
        Role::Gate,
        Home::FeedForward(Group::Experts),
    ),
    known(
        "ffn_up_exps.weight",
        Role::Up,
        Home::FeedForward(Group::Experts),
    ),
    known(
        "ffn_down_exps.weight",
        Role::Down,
        Home::FeedForward(Group::Experts),
    ),
    known(
        "ffn_gate_shexp.weight",
        Role::Gate,
        Home::FeedForward(Group::Shared),
    ),
    known(
        "ffn_up_shexp.weight",
        Role::Up,
        Home::FeedForward(Group::Shared),
    ),
    known(
        "ffn_down_shexp.weight",
        Role::Down,
        Home::FeedForward(Group::Shared),
    ),
];

/// What a tensor of this name is, and its layer if it has one.
///
/// `blk.7.attn_q.weight` is `attn_q.weight` of layer 7; `blk.07.attn_q.weight` is not.
pub fn locate(name: &str) -> Option<(Option<u32>, &'static Known)> {
    let find = |list: &'static [Known], name: &str| list.iter().find(|known| known.name == name);
    match name.strip_prefix("blk.") {
        None => find(MODEL, name).map(|known| (None, known)),
        Some(rest) => {
            let (number, name) = rest.split_once('.')?;
            let layer: u32 = number.parse().ok()?;
            let plain = layer.to_string() == number;
            let known = find(LAYER, name).filter(|_| plain)?;
            Some((Some(layer), known))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_written_in_one_way_only() {
        for name in [
            "blk.07.attn_q.weight",
            "blk.+7.attn_q.weight",
            "blk.7.attn_q",
            "blk.7",
            "attn_q.weight",
        ] {
            assert_eq!(locate(name), None, "{name}");
        }
        let (layer, known) = locate("blk.12.ffn_up_exps.weight").unwrap_or((None, &MODEL[0]));
        assert_eq!(
            (layer, known.home),
            (Some(12), Home::FeedForward(Group::Experts))
        );
    }

    #[test]
    fn no_two_tensors_of_a_home_have_the_same_role() {
        for (index, a) in LAYER.iter().enumerate() {
            for b in &LAYER[index + 1..] {
                assert!(
                    a.name != b.name && (a.role, a.home) != (b.role, b.home),
                    "{}",
                    a.name
                );
            }
        }
    }
}

use crate::{TensorType, Value, WriteError, Writer};

/// The shape of a real model, quantised as llama.cpp quantises it: what its file would look like, without its weights
/// and without its vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Preset {
    /// Magistral-Small-2509 (24B) in Q4_K_M.
    MagistralSmall2509,
    /// Mistral Large 3 (675B) in Q4_K_M.
    MistralLarge3,
    /// Mistral Large 3 (675B) in Q2_K.
    MistralLarge3Q2,
}

/// How tensors are quantised.
#[derive(Clone, Copy, PartialEq)]
enum Mix {
    Q4KM,
    Q2K,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [
        Self::MagistralSmall2509,
        Self::MistralLarge3,
        Self::MistralLarge3Q2,
    ];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::MagistralSmall2509 => "magistral-small-2509",
            Self::MistralLarge3 => "mistral-large-3",
            Self::MistralLarge3Q2 => "mistral-large-3-q2_k",
        }
    }

    /// The preset with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// The file, ready to be written, with all of its layers or the first few.
    pub fn writer(self, layers: Option<u32>) -> Result<Writer, WriteError> {
        let mut writer = Writer::new();
        match self {
            Self::MagistralSmall2509 => magistral(&mut writer, layers.unwrap_or(40).min(40))?,
            Self::MistralLarge3 | Self::MistralLarge3Q2 => {
                let mix = match self {
                    Self::MistralLarge3Q2 => Mix::Q2K,
                    _ => Mix::Q4KM,
                };
                large(&mut writer, mix, layers.unwrap_or(61).min(61))?;
            }
        }
        Ok(writer)
    }
}

impl Mix {
    /// The type of most tensors.
    fn most(self) -> TensorType {
        match self {
            Self::Q4KM => TensorType::Q4_K,
            Self::Q2K => TensorType::Q2_K,
        }
    }

    /// The type of a feed-forward layer's way down, or of the values' projection.
    fn careful(self, layer: u32, layers: u32) -> TensorType {
        // The first and last eighth of the layers, and every third between.
        let eighth = layers / 8;
        let more = layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
        match self {
            Self::Q4KM if more => TensorType::Q6_K,
            Self::Q4KM => TensorType::Q4_K,
            Self::Q2K => TensorType::Q3_K,
        }
    }

    /// The type of the attention's output projection.
    fn attention_output(self) -> TensorType {
        match self {
            Self::Q4KM => TensorType::Q4_K,
            Self::Q2K => TensorType::Q3_K,
        }
    }

    /// The type of tensors whose rows are no multiple of 256. For the lower mix llama.cpp takes a type that this
    /// project does not compute, of nearly the same size as this one.
    fn odd(self) -> TensorType {
        match self {
            Self::Q4KM => TensorType::Q5_0,
            Self::Q2K => TensorType::Q4_0,
        }
    }
}

fn describe(
    writer: &mut Writer,
    architecture: &str,
    name: &str,
    numbers: &[(&str, u32)],
    floats: &[(&str, f32)],
) -> Result<(), WriteError> {
    writer.metadata("general.architecture", Value::String(architecture.into()))?;
    writer.metadata("general.name", Value::String(name.into()))?;
    for (key, value) in numbers {
        writer.metadata(&format!("{architecture}.{key}"), Value::U32(*value))?;
    }
    for (key, value) in floats {
        writer.metadata(&format!("{architecture}.{key}"), Value::F32(*value))?;
    }
    Ok(())
}

fn magistral(writer: &mut Writer, layers: u32) -> Result<(), WriteError> {
    use TensorType::{F32, Q6_K};
    const WIDTH: u64 = 5120;
    const HIDDEN: u64 = 32768;
    const QUERIES: u64 = 32 * 128;
    const KEYS: u64 = 8 * 128;
    const VOCABULARY: u64 = 131_072;
    let numbers = [
        ("block_count", layers),
        ("context_length", 131_072),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", HIDDEN as u32),
        ("attention.head_count", 32),
        ("attention.head_count_kv", 8),
        ("attention.key_length", 128),
        ("attention.value_length", 128),
        ("rope.dimension_count", 128),
        ("vocab_size", VOCABULARY as u32),
    ];
    let floats = [
        ("attention.layer_norm_rms_epsilon", 1e-5),
        ("rope.freq_base", 1e9),
    ];
    describe(
        writer,
        "llama",
        "Magistral-Small-2509 (shape only)",
        &numbers,
        &floats,
    )?;
    let mix = Mix::Q4KM;
    writer.tensor("token_embd.weight", &[WIDTH, VOCABULARY], mix.most())?;
    for layer in 0..layers {
        let careful = mix.careful(layer, layers);
        for (name, shape, ty) in [
            ("attn_norm", &[WIDTH][..], F32),
            ("attn_q", &[WIDTH, QUERIES], mix.most()),
            ("attn_k", &[WIDTH, KEYS], mix.most()),
            ("attn_v", &[WIDTH, KEYS], careful),
            ("attn_output", &[QUERIES, WIDTH], mix.attention_output()),
            ("ffn_norm", &[WIDTH], F32),
            ("ffn_gate", &[WIDTH, HIDDEN], mix.most()),
            ("ffn_up", &[WIDTH, HIDDEN], mix.most()),
            ("ffn_down", &[HIDDEN, WIDTH], careful),
        ] {
            writer.tensor(&format!("blk.{layer}.{name}.weight"), shape, ty)?;
        }
    }
    writer.tensor("output_norm.weight", &[WIDTH], F32)?;
    writer.tensor("output.weight", &[WIDTH, VOCABULARY], Q6_K)?;
    Ok(())
}

fn large(writer: &mut Writer, mix: Mix, layers: u32) -> Result<(), WriteError> {
    use TensorType::{F32, Q6_K};
    const WIDTH: u64 = 7168;
    const HEADS: u64 = 128;
    const QUERY_LATENT: u64 = 1536;
    const KEY_LATENT: u64 = 512;
    const PLAIN: u64 = 128;
    const ROTATED: u64 = 64;
    const VALUE: u64 = 128;
    const DENSE: u64 = 16384;
    const DENSE_LAYERS: u32 = 3;
    const EXPERT: u64 = 4096;
    const EXPERTS: u64 = 128;
    const VOCABULARY: u64 = 131_072;
    let numbers = [
        ("block_count", layers),
        ("context_length", 294_912),
        ("embedding_length", WIDTH as u32),
        ("feed_forward_length", DENSE as u32),
        ("attention.head_count", HEADS as u32),
        ("attention.head_count_kv", 1),
        ("attention.q_lora_rank", QUERY_LATENT as u32),
        ("attention.kv_lora_rank", KEY_LATENT as u32),
        ("attention.key_length", (KEY_LATENT + ROTATED) as u32),
        ("attention.value_length", KEY_LATENT as u32),
        ("attention.key_length_mla", (PLAIN + ROTATED) as u32),
        ("attention.value_length_mla", VALUE as u32),
        ("attention.temperature_length", 8192),
        ("rope.dimension_count", ROTATED as u32),
        ("rope.scaling.original_context_length", 8192),
        ("leading_dense_block_count", DENSE_LAYERS),
        ("expert_feed_forward_length", EXPERT as u32),
        ("expert_count", EXPERTS as u32),
        ("expert_used_count", 4),
        ("expert_shared_count", 1),
        ("expert_gating_func", 1),
        ("vocab_size", VOCABULARY as u32),
    ];
    let floats = [
        ("attention.layer_norm_rms_epsilon", 1e-6),
        ("attention.temperature_scale", 0.1),
        ("expert_weights_scale", 1.0),
        ("rope.freq_base", 1e4),
        ("rope.scaling.factor", 36.0),
        ("rope.scaling.yarn_beta_fast", 32.0),
        ("rope.scaling.yarn_beta_slow", 1.0),
        ("rope.scaling.yarn_log_multiplier", 0.1),
    ];
    describe(
        writer,
        "deepseek2",
        "Mistral Large 3 (shape only)",
        &numbers,
        &floats,
    )?;
    writer.metadata("deepseek2.rope.scaling.type", Value::String("yarn".into()))?;
    writer.metadata("deepseek2.expert_weights_norm", Value::Bool(true))?;
    let most = mix.most();
    writer.tensor("token_embd.weight", &[WIDTH, VOCABULARY], most)?;
    for layer in 0..layers {
        let careful = mix.careful(layer, layers);
        let mut add = |name: &str, shape: &[u64], ty| {
            let name = format!("blk.{layer}.{name}.weight");
            writer.tensor(&name, shape, ty).map(drop)
        };
        for (name, shape, ty) in [
            ("attn_norm", &[WIDTH][..], F32),
            ("attn_q_a", &[WIDTH, QUERY_LATENT], most),
            ("attn_q_a_norm", &[QUERY_LATENT], F32),
            ("attn_q_b", &[QUERY_LATENT, HEADS * (PLAIN + ROTATED)], most),
            ("attn_kv_a_mqa", &[WIDTH, KEY_LATENT + ROTATED], most),
            ("attn_kv_a_norm", &[KEY_LATENT], F32),
            ("attn_k_b", &[PLAIN, KEY_LATENT, HEADS], mix.odd()),
            ("attn_v_b", &[KEY_LATENT, VALUE, HEADS], most),
            (
                "attn_output",
                &[HEADS * VALUE, WIDTH],
                mix.attention_output(),
            ),
            ("ffn_norm", &[WIDTH], F32),
        ] {
            add(name, shape, ty)?;
        }
        if layer < DENSE_LAYERS {
            add("ffn_gate", &[WIDTH, DENSE], most)?;
            add("ffn_up", &[WIDTH, DENSE], most)?;
            add("ffn_down", &[DENSE, WIDTH], careful)?;
            continue;
        }
        for (name, shape, ty) in [
            ("ffn_gate_inp", &[WIDTH, EXPERTS][..], F32),
            ("ffn_gate_exps", &[WIDTH, EXPERT, EXPERTS], most),
            ("ffn_up_exps", &[WIDTH, EXPERT, EXPERTS], most),
            ("ffn_down_exps", &[EXPERT, WIDTH, EXPERTS], careful),
            ("ffn_gate_shexp", &[WIDTH, EXPERT], most),
            ("ffn_up_shexp", &[WIDTH, EXPERT], most),
            ("ffn_down_shexp", &[EXPERT, WIDTH], careful),
        ] {
            add(name, shape, ty)?;
        }
    }
    writer.tensor("output_norm.weight", &[WIDTH], F32)?;
    writer.tensor("output.weight", &[WIDTH, VOCABULARY], Q6_K)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_as_large_as_the_models_they_stand_for() {
        let gigabytes = |preset: Preset| preset.writer(None).unwrap().file_len() as f64 / 1e9;
        assert!((14.2..14.5).contains(&gigabytes(Preset::MagistralSmall2509)));
        assert!((400.0..412.0).contains(&gigabytes(Preset::MistralLarge3)));
        assert!((210.0..260.0).contains(&gigabytes(Preset::MistralLarge3Q2)));
        for preset in Preset::ALL {
            assert_eq!(Preset::named(preset.name()), Some(preset));
        }
    }
}

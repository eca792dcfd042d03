//! What is read from a model's file, and what is refused.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use common::{models::Loaded, tiny::Tiny};
use fragments::cut_in_memory;
use gguf::{Array, Strings, Value};
use inference::{Hyperparameters, Model, hyperparameters::YarnLogMultiplier, session::Config};

const TOKENS: [u32; 6] = [1, 262, 263, 264, 30, 265];

fn model(tiny: &Tiny) -> Result<Model, inference::model::Error> {
    Model::new(cut_in_memory(&tiny.file(), 64 << 10).unwrap().0)
}

fn refusal(tiny: &Tiny) -> String {
    model(tiny).unwrap_err().to_string()
}

fn logits(tiny: &Tiny) -> Vec<Vec<f32>> {
    Loaded::cut(&tiny.file(), 64 << 10).logits(&TOKENS, Config::default())
}

#[test]
fn what_the_format_lets_files_leave_out_means_what_the_format_says() {
    let leaving_out = Tiny::new();
    let model = model(&leaving_out).unwrap();
    let h = model.hyperparameters();
    assert_eq!((h.head_dim_k, h.head_dim_v, h.rope.dimensions), (8, 8, 8));
    assert_eq!((h.rope.base, h.rope.factor), (10_000.0, 1.0));
    let stating = Tiny::new()
        .set("llama.attention.key_length", Value::U32(8))
        .set("llama.attention.value_length", Value::U32(8))
        .set("llama.rope.dimension_count", Value::U32(8))
        .set("llama.rope.freq_base", Value::F32(10_000.0))
        .set("llama.rope.scaling.type", Value::String("none".into()));
    assert_eq!(logits(&leaving_out), logits(&stating));
    let alone = Tiny::new().unset("llama.attention.head_count_kv");
    let alone = (0..2).fold(alone, |tiny, layer| {
        let tiny = tiny.tensor(&format!("blk.{layer}.attn_k.weight"), &[32, 32]);
        tiny.tensor(&format!("blk.{layer}.attn_v.weight"), &[32, 32])
    });
    assert_eq!(self::model(&alone).unwrap().hyperparameters().n_head_kv, 4);
}

#[test]
fn a_model_without_an_output_head_uses_its_embedding() {
    let tied = Tiny::new();
    let rows = model(&tied).unwrap().hyperparameters().n_vocab as u64;
    let embedding = tied.weights("token_embd.weight");
    let untied = tied.clone().filled("output.weight", &[32, rows], embedding);
    assert_eq!(logits(&tied), logits(&untied));
    assert_ne!(
        logits(&tied),
        logits(&tied.clone().tensor("output.weight", &[32, rows]))
    );
}

#[test]
fn positions_are_stretched_as_the_file_says() {
    let plain = logits(&Tiny::new());
    let factor = Tiny::new().set("llama.rope.scaling.factor", Value::F32(4.0));
    let typed = factor
        .clone()
        .set("llama.rope.scaling.type", Value::String("linear".into()));
    let frequencies = Tiny::new().filled("rope_freqs.weight", &[4], vec![4.0; 4]);
    assert_ne!(logits(&typed), plain);
    assert_eq!(logits(&typed), logits(&factor));
    assert_eq!(logits(&typed), logits(&frequencies));
}

#[test]
fn the_first_token_sees_only_itself() {
    let first = &logits(&Tiny::new())[0];
    let alone = Loaded::cut(&Tiny::new().file(), 64 << 10).logits(&TOKENS[..1], Config::default());
    assert_eq!(first, &alone[0]);
}

#[test]
fn architectures_are_refused_by_name() {
    let message = refusal(&Tiny::new().set("general.architecture", Value::String("mamba".into())));
    assert_eq!(
        message,
        "architecture \"mamba\" is not supported (llama, mistral3, qwen3, qwen3moe, deepseek2 are)"
    );
}

#[test]
fn missing_dimensions_are_refused_by_name() {
    for key in [
        "llama.block_count",
        "llama.embedding_length",
        "llama.attention.layer_norm_rms_epsilon",
    ] {
        assert_eq!(
            refusal(&Tiny::new().unset(key)),
            format!("the model's metadata lacks {key:?}")
        );
    }
}

#[test]
fn impossible_dimensions_are_refused_by_name() {
    let huge = refusal(&Tiny::new().set("llama.block_count", Value::U32(u32::MAX)));
    assert_eq!(
        huge,
        "block_count is 4294967295, but must be from 1 to 1024"
    );
    let heads = refusal(&Tiny::new().set("llama.attention.head_count_kv", Value::U32(3)));
    assert_eq!(
        heads,
        "attention.head_count_kv is 3, but must be a divisor of the number of heads"
    );
    let zero = refusal(&Tiny::new().set("llama.attention.head_count", Value::U32(0)));
    assert!(zero.starts_with("attention.head_count is 0"), "{zero}");
    let rope = refusal(&Tiny::new().set("llama.rope.dimension_count", Value::U32(10)));
    assert!(rope.starts_with("rope.dimension_count is 10"), "{rope}");
    let scaling = Value::String("longrope".into());
    let scaling = refusal(&Tiny::new().set("llama.rope.scaling.type", scaling));
    assert_eq!(
        scaling,
        "rope scaling \"longrope\" is not supported (none, linear and yarn are)"
    );
    let used = Tiny::new()
        .set("llama.expert_count", Value::U32(4))
        .set("llama.expert_used_count", Value::U32(5));
    assert!(refusal(&used).starts_with("expert_used_count is 5"));
}

#[test]
fn tensors_that_do_not_belong_are_refused_by_name() {
    let missing = refusal(&Tiny::new().without("blk.1.attn_k.weight"));
    assert_eq!(missing, "the file lacks the tensor \"blk.1.attn_k.weight\"");
    let unknown = refusal(&Tiny::new().tensor("blk.0.attn_q_norm.weight", &[8]));
    assert_eq!(
        unknown,
        "tensor \"blk.0.attn_q_norm.weight\" is not supported"
    );
    let shape = refusal(&Tiny::new().tensor("blk.0.ffn_norm.weight", &[31]));
    assert_eq!(
        shape,
        "tensor \"blk.0.ffn_norm.weight\" has the dimensions [31], the metadata ask for [32]"
    );
}

#[test]
fn a_vocabulary_larger_than_the_embedding_is_refused() {
    let pieces: Strings = (0..2000).map(|i| i.to_string()).collect();
    let tiny = Tiny::new()
        .set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)))
        .set(
            "tokenizer.ggml.token_type",
            Value::Array(Array::I32(vec![1; 2000])),
        )
        .set(
            "tokenizer.ggml.scores",
            Value::Array(Array::F32(vec![0.0; 2000])),
        );
    let message = refusal(&tiny);
    assert!(
        message.starts_with("the vocabulary has 2000 pieces"),
        "{message}"
    );
}

#[test]
fn what_yarn_s_log_multiplier_does_is_a_setting() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let file = std::fs::read(folder.join("deepseek2.gguf")).unwrap();
    let header = gguf::Header::parse(&file, Some(file.len() as u64)).unwrap();
    let with = |setting| Hyperparameters::with(&header, setting).unwrap();
    let (as_llama_cpp, ignored) = (
        with(YarnLogMultiplier::AsLlamaCpp),
        with(YarnLogMultiplier::Ignored),
    );
    // 1 + 0.1 · ln 16, squared.
    let growth = as_llama_cpp.attention_scale / ignored.attention_scale;
    assert!((growth - 1.277_259_f32.powi(2)).abs() < 1e-4, "{growth}");
    assert_eq!(
        (as_llama_cpp.rope, ignored.rope.magnitude),
        (ignored.rope, 1.0)
    );
    assert_eq!("ignored".parse(), Ok(YarnLogMultiplier::Ignored));
    assert_eq!("llama-cpp".parse(), Ok(YarnLogMultiplier::default()));
    assert!("else".parse::<YarnLogMultiplier>().is_err());
}

//! How the largest models are cut, from their headers alone.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use std::time::Instant;

use TensorType::{F32, Q4_K, Q5_0, Q6_K};
use common::heads;
use fragments::{Class, DEFAULT_FRAGMENT_SIZE, PartKind, Plan, Summary};
use gguf::{Header, TensorType, Writer};

/// In which layers the mix called Q4_K_M gives `ffn_down` and `attn_v` more bits.
fn more_bits(layer: u32, layers: u32) -> TensorType {
    let eighth = layers / 8;
    if layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2 {
        Q6_K
    } else {
        Q4_K
    }
}

fn summary(writer: &Writer) -> (Plan, Summary) {
    let header = Header::parse(&writer.header_bytes(), Some(writer.file_len())).unwrap();
    let plan = Plan::new(&header, writer.file_len(), DEFAULT_FRAGMENT_SIZE).unwrap();
    let summary = Summary::of_plan(&header, writer.file_len(), DEFAULT_FRAGMENT_SIZE, &plan);
    println!(
        "{} fragments, {:.1} % full",
        summary.fragments, summary.fullness
    );
    for kind in &summary.kinds {
        println!(
            "{:?} {:?}: {}, {:.1} %",
            kind.kind, kind.class, kind.fragments, kind.fullness
        );
    }
    let opaque = plan
        .parts()
        .find(|(.., part)| part.kind == PartKind::Opaque);
    assert_eq!(opaque, None);
    (plan, summary)
}

fn magistral() -> Writer {
    let (embedding, vocabulary, layers) = (5120, 131_072, 40);
    let mut writer = Writer::new();
    heads(&mut writer, "llama", 32, 8);
    writer
        .tensor("token_embd.weight", &[embedding, vocabulary], Q4_K)
        .unwrap();
    writer
        .tensor("output.weight", &[embedding, vocabulary], Q6_K)
        .unwrap();
    writer
        .tensor("output_norm.weight", &[embedding], F32)
        .unwrap();
    for layer in 0..layers {
        let better = more_bits(layer, layers);
        let mut add = |name: &str, shape: &[u64], ty| {
            writer
                .tensor(&format!("blk.{layer}.{name}.weight"), shape, ty)
                .unwrap();
        };
        add("attn_norm", &[embedding], F32);
        add("attn_q", &[embedding, 4096], Q4_K);
        add("attn_k", &[embedding, 1024], Q4_K);
        add("attn_v", &[embedding, 1024], better);
        add("attn_output", &[4096, embedding], Q4_K);
        add("ffn_norm", &[embedding], F32);
        add("ffn_gate", &[embedding, 32_768], Q4_K);
        add("ffn_up", &[embedding, 32_768], Q4_K);
        add("ffn_down", &[32_768, embedding], better);
    }
    writer
}

fn mistral_large() -> Writer {
    let (embedding, vocabulary, layers) = (7168, 131_072, 61);
    let mut writer = Writer::new();
    heads(&mut writer, "deepseek2", 128, 1);
    writer
        .tensor("token_embd.weight", &[embedding, vocabulary], Q4_K)
        .unwrap();
    writer
        .tensor("output.weight", &[embedding, vocabulary], Q6_K)
        .unwrap();
    writer
        .tensor("output_norm.weight", &[embedding], F32)
        .unwrap();
    for layer in 0..layers {
        let better = more_bits(layer, layers);
        let mut add = |name: &str, shape: &[u64], ty| {
            writer
                .tensor(&format!("blk.{layer}.{name}.weight"), shape, ty)
                .unwrap();
        };
        add("attn_norm", &[embedding], F32);
        add("attn_q_a", &[embedding, 1536], Q4_K);
        add("attn_q_a_norm", &[1536], F32);
        add("attn_q_b", &[1536, 128 * 192], Q4_K);
        add("attn_kv_a_mqa", &[embedding, 512 + 64], Q4_K);
        add("attn_kv_a_norm", &[512], F32);
        add("attn_k_b", &[128, 512, 128], Q5_0);
        add("attn_v_b", &[512, 128, 128], Q4_K);
        add("attn_output", &[128 * 128, embedding], Q4_K);
        add("ffn_norm", &[embedding], F32);
        if layer < 3 {
            add("ffn_gate", &[embedding, 16_384], Q4_K);
            add("ffn_up", &[embedding, 16_384], Q4_K);
            add("ffn_down", &[16_384, embedding], better);
            continue;
        }
        add("ffn_gate_inp", &[embedding, 128], F32);
        add("ffn_gate_exps", &[embedding, 4096, 128], Q4_K);
        add("ffn_up_exps", &[embedding, 4096, 128], Q4_K);
        add("ffn_down_exps", &[4096, embedding, 128], better);
        add("ffn_gate_shexp", &[embedding, 4096], Q4_K);
        add("ffn_up_shexp", &[embedding, 4096], Q4_K);
        add("ffn_down_shexp", &[4096, embedding], better);
    }
    writer
}

#[test]
fn a_model_of_14_gb_fills_its_fragments() {
    let writer = magistral();
    assert!(
        (14.2e9..14.4e9).contains(&(writer.file_len() as f64)),
        "{}",
        writer.file_len()
    );
    let (plan, summary) = summary(&writer);
    assert!((1400..1600).contains(&plan.fragments.len()));
    assert!(summary.fullness >= 85.0);
    // Four tiles to a fragment; single ones only where attention left room.
    let tiles = |wanted: u32| {
        let parts = plan.parts().filter(|(.., part)| match &part.kind {
            PartKind::FeedForward { columns, .. } => columns.end - columns.start == wanted * 256,
            _ => false,
        });
        parts.count()
    };
    assert_eq!(tiles(4) * 4 + tiles(1), 40 * 128);
    assert!(tiles(1) <= 40 * 4);
}

#[test]
fn a_model_of_400_gb_fills_its_fragments_and_is_planned_at_once() {
    let writer = mistral_large();
    assert!(
        (395e9..415e9).contains(&(writer.file_len() as f64)),
        "{}",
        writer.file_len()
    );
    let start = Instant::now();
    let (plan, summary) = summary(&writer);
    assert!(start.elapsed().as_secs() < 10);
    assert!((40_000..47_000).contains(&plan.fragments.len()));
    assert!(summary.fullness >= 85.0);
}

#[test]
fn fragments_hold_parts_of_neighbouring_layers_only() {
    for writer in [magistral(), mistral_large()] {
        let (plan, _) = summary(&writer);
        for fragment in &plan.fragments {
            let small = fragment
                .parts
                .iter()
                .any(|part| matches!(part.kind, PartKind::Small { .. }));
            let layers = fragment.parts.iter().filter_map(|part| part.kind.layer());
            let (first, last) = layers.fold((u32::MAX, 0), |(first, last), layer| {
                (first.min(layer), last.max(layer))
            });
            assert!(
                small || first == u32::MAX || last - first <= 2,
                "{first} to {last}"
            );
            let experts = fragment.parts.iter().all(|part| {
                matches!(
                    part.kind,
                    PartKind::FeedForward {
                        expert: Some(_),
                        ..
                    }
                )
            });
            assert_eq!(experts, fragment.class == Class::Conditional);
        }
    }
}

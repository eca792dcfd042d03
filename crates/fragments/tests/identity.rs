//! Whatever the file is like, joining gives it back.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use std::{fs, path::Path};

use common::{dense_layer, fill, header, heads, model, round_trip, strange};
use fragments::{DEFAULT_FRAGMENT_SIZE, Part, PartKind, Plan, PlanError};
use gguf::{Header, TensorType, Value, Writer};
use proptest::prelude::*;

fn smallest(file: &[u8]) -> u32 {
    Plan::smallest_fragment_size(&header(file), file.len() as u64) as u32
}

#[test]
fn usual_models_come_back() {
    for file in [model(None), model(Some(8))] {
        for size in [smallest(&file), 262_144, 1 << 20, DEFAULT_FRAGMENT_SIZE] {
            round_trip(&file, size);
        }
    }
}

#[test]
fn the_models_of_this_repository_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for path in [
        "crates/demo-model/demo.gguf",
        "tests/vectors/dense.gguf",
        "tests/vectors/moe.gguf",
    ] {
        let file = fs::read(root.join(path)).unwrap();
        for size in [
            smallest(&file),
            262_144.max(smallest(&file)),
            DEFAULT_FRAGMENT_SIZE,
        ] {
            let manifest = round_trip(&file, size);
            let understood = |(.., part): (_, _, &Part)| {
                !matches!(part.kind, PartKind::Opaque | PartKind::Gap { .. })
            };
            assert!(manifest.plan().parts().all(understood), "{path}");
        }
    }
}

#[test]
fn models_nobody_understands_come_back() {
    let file = strange();
    for size in [smallest(&file), 1000, 5000, DEFAULT_FRAGMENT_SIZE] {
        round_trip(&file, size);
    }
}

#[test]
fn padding_that_is_not_zero_and_bytes_at_the_end_come_back() {
    let mut file = model(Some(2));
    let read = header(&file);
    let mut covered = vec![false; file.len()];
    covered[..read.data_offset as usize].fill(true);
    for tensor in &read.tensors {
        let start = (read.data_offset + tensor.offset) as usize;
        covered[start..][..tensor.byte_len() as usize].fill(true);
    }
    for (byte, _) in file.iter_mut().zip(covered).filter(|(_, covered)| !covered) {
        *byte = 0xee;
    }
    round_trip(&file, 1 << 20);
    for trailing in [1, 256, 257, 5000, 3 << 20] {
        let mut longer = file.clone();
        longer.extend((0..trailing).map(|n| n as u8));
        round_trip(&longer, 1 << 20);
    }
}

#[test]
fn padding_inside_the_header_comes_back() {
    let mut file = fill({
        let mut writer = Writer::new();
        writer
            .metadata("general.alignment", Value::U32(4096))
            .unwrap();
        writer.tensor("a", &[3], TensorType::F32).unwrap();
        writer.tensor("b", &[3], TensorType::F32).unwrap();
        writer
    });
    file[4000] = 1;
    // The gap between the two is a part of a fragment.
    file[4096 + 100] = 2;
    file[4096 + 4000] = 3;
    round_trip(&file, 1000);
    round_trip(&file, 100_000);
}

#[test]
fn tensors_may_lie_in_another_order_than_they_are_listed() {
    let mut writer = Writer::new();
    for name in ["output.weight", "token_embd.weight"] {
        writer.tensor(name, &[32, 8], TensorType::F32).unwrap();
    }
    let mut file = fill(writer);
    // Exchanges the offsets of the two.
    let end = |name: &[u8]| {
        let start = file
            .windows(name.len())
            .position(|window| window == name)
            .unwrap();
        start + name.len() + 4 + 16 + 4
    };
    let (a, b) = (end(b"output.weight"), end(b"token_embd.weight"));
    for i in 0..8 {
        file.swap(a + i, b + i);
    }
    assert!(header(&file).tensors[0].offset > header(&file).tensors[1].offset);
    round_trip(&file, 600);
}

#[test]
fn odd_widths_in_f32_come_back() {
    // As a well-known model of stories has them.
    let mut writer = Writer::new();
    heads(&mut writer, "llama", 8, 4);
    writer
        .tensor("token_embd.weight", &[64, 512], TensorType::F32)
        .unwrap();
    dense_layer(&mut writer, 0, [64, 64, 32, 172], TensorType::F32);
    let file = fill(writer);
    for size in [smallest(&file), 200_000, DEFAULT_FRAGMENT_SIZE] {
        round_trip(&file, size);
    }
}

#[test]
fn files_without_tensors_come_back() {
    let mut writer = Writer::new();
    writer
        .metadata("tokenizer.ggml.model", Value::String("llama".into()))
        .unwrap();
    let file = writer.header_bytes();
    let manifest = round_trip(&file, DEFAULT_FRAGMENT_SIZE);
    assert!(manifest.fragment_ids().is_empty());
}

/// Names the plan understands, almost understands, and does not.
const NAMES: &[&str] = &[
    "token_embd.weight",
    "output.weight",
    "output_norm.weight",
    "blk.0.attn_q.weight",
    "blk.0.attn_k.weight",
    "blk.0.attn_v.weight",
    "blk.0.attn_output.weight",
    "blk.0.ffn_gate.weight",
    "blk.0.ffn_up.weight",
    "blk.0.ffn_down.weight",
    "blk.0.ffn_gate_inp.weight",
    "blk.0.ffn_gate_exps.weight",
    "blk.0.ffn_up_exps.weight",
    "blk.0.ffn_down_exps.weight",
    "blk.00.attn_q.weight",
    "blk.4294967295.attn_norm.weight",
    "blk.0.attn_q.bias",
    "x",
];

fn any_model() -> impl Strategy<Value = Vec<u8>> {
    // Few lengths, so that shapes often match.
    let dimension = || prop::sample::select(vec![1u64, 2, 3, 4]);
    let ty = prop::sample::select(vec![
        TensorType::F32,
        TensorType::F16,
        TensorType::Q8_0,
        TensorType::Q4_K,
        TensorType::Q6_K,
    ]);
    let tensor = (dimension(), dimension(), dimension(), 1..4usize, ty);
    let tensors = prop::collection::vec(tensor, NAMES.len());
    let chosen = prop::sample::subsequence(NAMES, 0..NAMES.len());
    let alignment = prop::sample::select(vec![8u32, 32, 1024]);
    let noise = prop::collection::vec(any::<u8>(), 0..600);
    (
        tensors,
        chosen.prop_shuffle(),
        0..4u32,
        0..4u32,
        alignment,
        noise,
        any::<bool>(),
    )
        .prop_map(
            |(tensors, chosen, q_heads, kv_heads, alignment, noise, dirty)| {
                let mut writer = Writer::new();
                writer
                    .metadata("general.alignment", Value::U32(alignment))
                    .unwrap();
                heads(&mut writer, "llama", q_heads, kv_heads);
                for (name, (a, b, c, dimensions, ty)) in chosen.into_iter().zip(tensors) {
                    let row = a * ty.block_len() as u64;
                    writer
                        .tensor(name, &[row, b * 256, c][..dimensions], ty)
                        .unwrap();
                }
                let mut file = fill(writer);
                if dirty {
                    let read = Header::parse(&file, None).unwrap();
                    let mut free = vec![true; file.len()];
                    free[..read.data_offset as usize].fill(false);
                    for tensor in &read.tensors {
                        let start = (read.data_offset + tensor.offset) as usize;
                        free[start..][..tensor.byte_len() as usize].fill(false);
                    }
                    file.iter_mut()
                        .zip(free)
                        .filter(|(_, free)| *free)
                        .for_each(|(byte, _)| *byte = 0x5a);
                }
                file.extend(noise);
                file
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_model_comes_back_at_every_size(file in any_model(), more in prop::sample::select(vec![0u32, 1, 999, 70_000, 8 << 20])) {
        let smallest = smallest(&file);
        let size = smallest + more;
        let manifest = round_trip(&file, size);
        // The same file and size give the same model, on any machine and at any time.
        prop_assert_eq!(manifest.id(), fragments::cut_in_memory(&file, size).unwrap().0.id());
        if smallest > 0 {
            let too_small = fragments::Plan::new(&header(&file), file.len() as u64, smallest - 1).unwrap_err();
            let PlanError::FragmentTooSmall { smallest: named, .. } = too_small else { panic!("{too_small}") };
            prop_assert_eq!(named, u64::from(smallest));
        }
    }
}

//! What goes where.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

mod common;

use std::collections::BTreeMap;

use common::{dense_layer, fill, header, heads, model, round_trip};
use fragments::{
    Class, DEFAULT_FRAGMENT_SIZE, Fragment, Kind, PartKind, Plan, PlanError, Role, Summary, TILE,
    cut_in_memory,
};
use gguf::{Header, TensorType, Value, Writer, generate::Shape};

fn plan(writer: &Writer, size: u32) -> (Header, Plan) {
    let bytes = writer.header_bytes();
    let header = Header::parse(&bytes, Some(writer.file_len())).unwrap();
    let plan = Plan::new(&header, writer.file_len(), size).unwrap();
    (header, plan)
}

#[test]
fn every_weight_is_in_exactly_one_slice() {
    for experts in [None, Some(8)] {
        let file = model(experts);
        let header = header(&file);
        let plan = Plan::new(&header, file.len() as u64, 262_144).unwrap();
        let mut seen: Vec<Vec<u8>> = header
            .tensors
            .iter()
            .map(|tensor| vec![0; (tensor.rows() * tensor.row_len()) as usize])
            .collect();
        for slice in plan.parts().flat_map(|(_, _, part)| &part.slices) {
            let width = header.tensors[slice.tensor as usize].row_len();
            for row in slice.rows.clone() {
                for column in slice.columns.clone() {
                    seen[slice.tensor as usize][(row * width + column) as usize] += 1;
                }
            }
        }
        assert!(seen.iter().flatten().all(|&count| count == 1));
    }
}

#[test]
fn slices_of_a_layer_follow_each_other_at_tile_boundaries() {
    let file = model(Some(4));
    let header = header(&file);
    let plan = Plan::new(&header, file.len() as u64, 262_144).unwrap();
    let mut next: BTreeMap<(u32, Option<u32>), u32> = BTreeMap::new();
    let mut parts: Vec<_> = plan.parts().map(|(.., part)| part).collect();
    parts.sort_by_key(|part| match &part.kind {
        PartKind::FeedForward { columns, .. } => columns.start,
        _ => 0,
    });
    for part in parts {
        if let PartKind::FeedForward {
            layer,
            expert,
            columns,
        } = &part.kind
        {
            let expected = next.entry((*layer, *expert)).or_default();
            assert_eq!(columns.start, *expected);
            assert!(columns.start.is_multiple_of(TILE) && columns.end.is_multiple_of(TILE));
            *expected = columns.end;
            let roles: Vec<_> = part.slices.iter().map(|slice| slice.role).collect();
            assert_eq!(roles, [Role::Gate, Role::Up, Role::Down]);
            let [gate, up, down] = &part.slices[..] else {
                panic!()
            };
            let first = u64::from(expert.unwrap_or(0)) * 512;
            assert_eq!(
                gate.rows,
                first + u64::from(columns.start)..first + u64::from(columns.end)
            );
            assert_eq!(gate.rows, up.rows);
            assert_eq!(
                down.columns,
                u64::from(columns.start)..u64::from(columns.end)
            );
            assert_eq!(down.rows.end - down.rows.start, 256);
        }
    }
    assert_eq!(next.len(), 2 * 4);
    assert!(next.values().all(|&end| end == 512));
}

#[test]
fn attention_is_cut_between_heads_where_columns_are_whole_blocks() {
    // Two heads of 64 share a key–value head: two key–value heads make a block of 256 columns.
    let mut writer = Writer::new();
    heads(&mut writer, "llama", 8, 4);
    dense_layer(&mut writer, 0, [256, 512, 256, 256], TensorType::Q4_K);
    let smallest = {
        let (header, _) = plan(&writer, DEFAULT_FRAGMENT_SIZE);
        Plan::smallest_fragment_size(&header, writer.file_len()) as u32
    };
    let (_, plan) = plan(&writer, smallest);
    let parts: Vec<_> = plan
        .parts()
        .map(|(.., part)| part)
        .filter(|part| matches!(part.kind, PartKind::Attention { .. }))
        .collect();
    let kinds: Vec<_> = parts.iter().map(|part| part.kind.clone()).collect();
    let attention = |kv_heads| PartKind::Attention { layer: 0, kv_heads };
    assert_eq!(kinds, [attention(0..2), attention(2..4)]);
    let [q, k, v, output] = &parts[1].slices[..] else {
        panic!()
    };
    assert_eq!(
        (q.rows.clone(), k.rows.clone(), v.rows.clone()),
        (256..512, 128..256, 128..256)
    );
    assert_eq!(
        (output.rows.clone(), output.columns.clone()),
        (0..256, 256..512)
    );
}

#[test]
fn bytes_in_fragments_are_those_of_the_tensors() {
    let file = model(Some(4));
    let header = header(&file);
    let (_, fragments) = cut_in_memory(&file, 262_144).unwrap();
    for (id, bytes) in fragments {
        let fragment = Fragment::open_verified(bytes, &id).unwrap();
        for slice in fragment.parts().iter().flat_map(|part| &part.slices) {
            let tensor = header.tensor(&slice.tensor).unwrap();
            let mut stored = fragment
                .slice_bytes(slice)
                .chunks(slice.len as usize / slice.row_count());
            for row in slice.rows.clone() {
                let at = |column| {
                    let start = header.data_offset + tensor.offset + row * tensor.row_bytes();
                    (start + tensor.ty.row_bytes(column).unwrap()) as usize
                };
                assert_eq!(
                    stored.next().unwrap(),
                    &file[at(slice.columns.start)..at(slice.columns.end)]
                );
            }
        }
    }
}

#[test]
fn several_layers_share_a_fragment_of_small_tensors() {
    let file = model(Some(4));
    let plan = Plan::new(&header(&file), file.len() as u64, 262_144).unwrap();
    let kinds: Vec<_> = plan.fragments[0]
        .parts
        .iter()
        .map(|part| part.kind.clone())
        .collect();
    let small = |layer| PartKind::Small { layer };
    assert_eq!(kinds, [small(None), small(Some(0)), small(Some(1))]);
    let roles: Vec<_> = plan.fragments[0].parts[1]
        .slices
        .iter()
        .map(|slice| slice.role)
        .collect();
    assert_eq!(
        roles,
        [Role::AttentionNorm, Role::FeedForwardNorm, Role::Router]
    );
}

#[test]
fn a_fragment_is_filled_with_several_experts() {
    // Three tiles an expert, four to a fragment.
    let mut shape = Shape::small(Some(8));
    shape.feed_forward = 768;
    let mut file = Vec::new();
    shape.write(1, &mut file).unwrap();
    let plan = Plan::new(&header(&file), file.len() as u64, 520_000).unwrap();
    let experts: Vec<_> = plan
        .fragments
        .iter()
        .filter(|fragment| fragment.class == Class::Conditional)
        .collect();
    assert_eq!(experts.len(), 2 * 8 * 3 / 4);
    let kind = |expert, columns| PartKind::FeedForward {
        layer: 0,
        expert: Some(expert),
        columns,
    };
    let kinds: Vec<_> = experts[0]
        .parts
        .iter()
        .map(|part| part.kind.clone())
        .collect();
    assert_eq!(kinds, [kind(0, 0..768), kind(1, 0..256)]);
}

#[test]
fn classes_and_kinds_are_summed_up() {
    let file = model(Some(4));
    let (manifest, _) = cut_in_memory(&file, 262_144).unwrap();
    let summary = Summary::of_manifest(&manifest);
    assert_eq!(summary.model, Some(manifest.id()));
    assert_eq!(summary.fragments, manifest.fragment_ids().len());
    let kinds: Vec<_> = summary
        .kinds
        .iter()
        .map(|kind| (kind.kind, kind.class))
        .collect();
    let always = Class::AlwaysActive;
    assert_eq!(
        kinds,
        [
            (Kind::Small, always),
            (Kind::Embedding, always),
            (Kind::OutputHead, always),
            (Kind::Attention, always),
            (Kind::Expert, Class::Conditional)
        ]
    );
    let json = serde_json::to_value(&summary).unwrap();
    assert_eq!(json["kinds"][4]["kind"], "expert");
    assert_eq!(json["model"], manifest.id().to_string());
    let layer = &summary.layers[1];
    let header = manifest.header();
    let bytes = |name: &str| {
        header
            .tensor(&format!("blk.1.{name}.weight"))
            .unwrap()
            .byte_len()
    };
    assert_eq!(
        layer.experts,
        bytes("ffn_gate_exps") + bytes("ffn_up_exps") + bytes("ffn_down_exps")
    );
    let first = serde_json::to_value(fragments::fragment_summaries(&manifest).next()).unwrap();
    assert_eq!(first["parts"][0]["kind"], "small");
}

#[test]
fn tied_embeddings_have_no_output_head() {
    let mut shape = Shape::small(None);
    shape.tied = true;
    let mut file = Vec::new();
    shape.write(1, &mut file).unwrap();
    let manifest = round_trip(&file, 262_144);
    assert!(
        manifest
            .plan()
            .parts()
            .all(|(.., part)| !matches!(part.kind, PartKind::OutputHead { .. }))
    );
    let rows: u32 = manifest
        .plan()
        .parts()
        .filter_map(|(.., part)| match &part.kind {
            PartKind::Embedding { rows } => Some(rows.end - rows.start),
            _ => None,
        })
        .sum();
    assert_eq!(rows, shape.vocabulary);
}

#[test]
fn the_shared_expert_is_always_active() {
    let mut writer = Writer::new();
    let ty = TensorType::Q4_K;
    for suffix in ["shexp", "exps"] {
        let shape = |a: u64, b: u64| {
            if suffix == "exps" {
                vec![a, b, 4]
            } else {
                vec![a, b]
            }
        };
        writer
            .tensor(
                &format!("blk.1.ffn_gate_{suffix}.weight"),
                &shape(512, 256),
                ty,
            )
            .unwrap();
        writer
            .tensor(
                &format!("blk.1.ffn_up_{suffix}.weight"),
                &shape(512, 256),
                ty,
            )
            .unwrap();
        writer
            .tensor(
                &format!("blk.1.ffn_down_{suffix}.weight"),
                &shape(256, 512),
                ty,
            )
            .unwrap();
    }
    let manifest = round_trip(&fill(writer), 262_144);
    let first = &manifest.plan().fragments[0];
    assert_eq!(first.class, Class::AlwaysActive);
    assert_eq!(
        first.parts[0].kind,
        PartKind::FeedForward {
            layer: 1,
            expert: None,
            columns: 0..256
        }
    );
    assert!(
        manifest.plan().fragments[1..]
            .iter()
            .all(|fragment| fragment.class == Class::Conditional)
    );
}

#[test]
fn absurd_plans_are_refused() {
    let mut writer = Writer::new();
    writer
        .tensor("token_embd.weight", &[256, 1 << 31], TensorType::Q4_K)
        .unwrap();
    let header = Header::parse(&writer.header_bytes(), Some(writer.file_len())).unwrap();
    let plan = |size| Plan::new(&header, writer.file_len(), size).unwrap_err();
    assert!(matches!(plan(600), PlanError::TooMany { .. }));
    assert!(matches!(plan(u32::MAX), PlanError::FragmentTooLarge(_)));

    let mut writer = Writer::new();
    for name in ["gate", "up", "down"] {
        writer
            .tensor(
                &format!("blk.0.ffn_{name}_exps.weight"),
                &[1, 1, 1 << 31],
                TensorType::F32,
            )
            .unwrap();
    }
    let header = Header::parse(&writer.header_bytes(), Some(writer.file_len())).unwrap();
    let error = Plan::new(&header, writer.file_len(), DEFAULT_FRAGMENT_SIZE).unwrap_err();
    assert!(
        matches!(error, PlanError::TooMany { what: "slices", .. }),
        "{error}"
    );

    let mut writer = Writer::new();
    writer
        .tensor(&"long".repeat(10_000), &[1], TensorType::F32)
        .unwrap();
    let header = Header::parse(&writer.header_bytes(), Some(writer.file_len())).unwrap();
    let error = Plan::new(&header, writer.file_len(), DEFAULT_FRAGMENT_SIZE).unwrap_err();
    assert!(
        matches!(
            error,
            PlanError::NameTooLong {
                tensor: 0,
                len: 40_000
            }
        ),
        "{error}"
    );
}

#[test]
fn fragments_that_are_too_small_are_refused_with_the_size_that_works() {
    let file = model(None);
    let error = cut_in_memory(&file, 100_000).unwrap_err().to_string();
    let smallest = Plan::smallest_fragment_size(&header(&file), file.len() as u64);
    assert!(error.contains(&smallest.to_string()), "{error}");
    assert!(cut_in_memory(&file, smallest as u32).is_ok());
}

#[test]
fn kv_heads_are_read_per_layer_where_they_are_given_so() {
    let mut writer = Writer::new();
    writer
        .metadata("general.architecture", Value::String("llama".into()))
        .unwrap();
    writer
        .metadata("llama.attention.head_count", Value::U32(4))
        .unwrap();
    let per_layer = gguf::Array::I32(vec![2, 4]);
    writer
        .metadata("llama.attention.head_count_kv", Value::Array(per_layer))
        .unwrap();
    for (layer, kv) in [(0, 128), (1, 256)] {
        dense_layer(&mut writer, layer, [256, 256, kv, 256], TensorType::F32);
    }
    let (_, plan) = plan(&writer, DEFAULT_FRAGMENT_SIZE);
    let heads: Vec<_> = plan
        .parts()
        .filter_map(|(.., part)| match &part.kind {
            PartKind::Attention { kv_heads, .. } => Some(kv_heads.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(heads, [0..2, 0..4]);
}

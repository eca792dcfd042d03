//! Models for the tests.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by several tests, each of which uses some of it; tests may panic"
)]

use fragments::{Manifest, MemoryStore, Store, cut_in_memory, join};
use gguf::{Array, Header, TensorType, Value, Writer, generate::Shape};

/// A small model with dense layers, or with experts.
pub fn model(experts: Option<u32>) -> Vec<u8> {
    let mut file = Vec::new();
    Shape::small(experts).write(7, &mut file).unwrap();
    file
}

pub fn header(file: &[u8]) -> Header {
    Header::parse(file, Some(file.len() as u64)).unwrap()
}

/// Metadata that attention is planned by.
pub fn heads(writer: &mut Writer, architecture: &str, heads: u32, kv_heads: u32) {
    writer
        .metadata("general.architecture", Value::String(architecture.into()))
        .unwrap();
    for (key, value) in [("head_count", heads), ("head_count_kv", kv_heads)] {
        let key = format!("{architecture}.attention.{key}");
        writer.metadata(&key, Value::U32(value)).unwrap();
    }
}

/// The tensors of a dense layer of the usual kind.
pub fn dense_layer(
    writer: &mut Writer,
    layer: u32,
    [embedding, q, kv, width]: [u64; 4],
    ty: TensorType,
) {
    let mut add = |name: &str, shape: &[u64], ty| {
        writer
            .tensor(&format!("blk.{layer}.{name}.weight"), shape, ty)
            .unwrap();
    };
    add("attn_norm", &[embedding], TensorType::F32);
    add("attn_q", &[embedding, q], ty);
    add("attn_k", &[embedding, kv], ty);
    add("attn_v", &[embedding, kv], ty);
    add("attn_output", &[q, embedding], ty);
    add("ffn_norm", &[embedding], TensorType::F32);
    add("ffn_gate", &[embedding, width], ty);
    add("ffn_up", &[embedding, width], ty);
    add("ffn_down", &[width, embedding], ty);
}

/// The file, with bytes in its tensors that differ everywhere.
pub fn fill(writer: Writer) -> Vec<u8> {
    let mut file = writer.header_bytes();
    let start = file.len();
    file.resize(writer.file_len() as usize, 0);
    let mut state = 1u32;
    for tensor in writer.tensors() {
        let from = start + tensor.offset as usize;
        for byte in &mut file[from..][..tensor.byte_len() as usize] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8;
        }
    }
    file
}

/// A model with a tensor nobody has heard of and an architecture of its own.
pub fn strange() -> Vec<u8> {
    let mut writer = Writer::new();
    writer
        .metadata("general.architecture", Value::String("strange".into()))
        .unwrap();
    writer
        .metadata("x.y", Value::Array(Array::U8(vec![1, 2, 3])))
        .unwrap();
    writer
        .tensor("enc.blk.0.mix.weight", &[7, 11, 3], TensorType::F32)
        .unwrap();
    writer
        .tensor("blk.0.fused_qkv.weight", &[512, 30], TensorType::IQ4_XS)
        .unwrap();
    writer
        .tensor("one.row", &[20_000], TensorType::F16)
        .unwrap();
    writer.tensor("nothing", &[0, 4], TensorType::F32).unwrap();
    fill(writer)
}

/// Cuts, checks what must hold for every cut, joins, and compares.
pub fn round_trip(file: &[u8], size: u32) -> Manifest {
    let (manifest, fragments) = cut_in_memory(file, size).unwrap();
    let store = MemoryStore::new();
    assert_eq!(fragments.len(), manifest.fragment_ids().len());
    for ((index, plan), (id, bytes)) in (0..).zip(&manifest.plan().fragments).zip(fragments) {
        assert!(bytes.len() <= size as usize);
        assert_eq!(bytes.len(), plan.file_len as usize);
        assert_eq!(manifest.fragment_index(&id), Some(index));
        let fragment = manifest.open_fragment(index, bytes.clone()).unwrap();
        assert_eq!(fragment.payload().len(), plan.payload_len as usize);
        for (part, stored) in plan.parts.iter().zip(fragment.parts()) {
            assert_eq!(part.kind, stored.kind);
            assert!(
                part.slices
                    .iter()
                    .zip(&stored.slices)
                    .all(|(a, b)| (a.offset, a.len) == (b.offset, b.len))
            );
        }
        store.put(&id, &bytes).unwrap();
    }
    let decoded = Manifest::decode_verified(&manifest.encode(), &manifest.id()).unwrap();
    assert_eq!(decoded.plan(), manifest.plan());
    let mut joined = std::io::Cursor::new(Vec::new());
    join(&decoded, &store, vec![&mut joined], &mut ()).unwrap();
    assert!(joined.into_inner() == file, "the joined file differs");
    decoded
}

/// Splits a model as the usual tool does: all metadata into the first file, so many tensors into each.
pub fn split(file: &[u8], tensors: &[usize]) -> Vec<Vec<u8>> {
    let header = header(file);
    let mut rest = header.tensors.as_slice();
    let count = tensors.len();
    assert_eq!(tensors.iter().sum::<usize>(), rest.len());
    let mut files = Vec::new();
    for (number, &tensors) in tensors.iter().enumerate() {
        let mut writer = Writer::new();
        let mut put = |key: &str, value: Value| {
            writer.metadata(key, value).unwrap();
        };
        if number == 0 {
            for (key, value) in header.metadata.iter() {
                put(key, value.clone());
            }
        }
        put("split.no", Value::U16(number as u16));
        put("split.count", Value::U16(count as u16));
        put(
            "split.tensors.count",
            Value::I32(header.tensors.len() as i32),
        );
        let (these, others) = rest.split_at(tensors);
        rest = others;
        for tensor in these {
            writer
                .tensor(&tensor.name, &tensor.shape, tensor.ty)
                .unwrap();
        }
        let mut piece = Vec::new();
        let mut data = writer.start(&mut piece).unwrap();
        for tensor in these {
            let start = (header.data_offset + tensor.offset) as usize;
            data.write(&file[start..][..tensor.byte_len() as usize])
                .unwrap();
        }
        data.finish().unwrap();
        files.push(piece);
    }
    files
}

//! Files for the tests.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by several tests, each of which uses some of it; tests may panic"
)]

use gguf::{Array, Metadata, TensorType, Value, Writer};
use proptest::prelude::*;

/// A small file with every type of value.
pub fn every_value() -> Vec<u8> {
    let mut writer = Writer::new();
    let strings = || ["a", "", "ünï"].iter().collect();
    let nested = vec![
        Array::Array(vec![Array::U8(vec![1, 2]), Array::String(strings())]),
        Array::I64(vec![]),
    ];
    let arrays = [
        Array::U8(vec![1, 2, 3]),
        Array::I8(vec![-1]),
        Array::U16(vec![1, 65535]),
        Array::I16(vec![-2]),
        Array::U32(vec![7; 5]),
        Array::I32(vec![-3, 4]),
        Array::F32(vec![0.5, -0.0]),
        Array::Bool(vec![true, false]),
        Array::String(strings()),
        Array::Array(nested),
        Array::U64(vec![u64::MAX]),
        Array::I64(vec![i64::MIN]),
        Array::F64(vec![0.1]),
    ];
    for (index, array) in arrays.into_iter().enumerate() {
        writer
            .metadata(&format!("array.{index}"), Value::Array(array))
            .unwrap();
    }
    let scalars = [
        Value::U8(1),
        Value::I8(-1),
        Value::U16(2),
        Value::I16(-2),
        Value::U32(3),
        Value::I32(-3),
        Value::F32(0.25),
        Value::Bool(true),
        Value::String("text".into()),
        Value::U64(4),
        Value::I64(-4),
        Value::F64(0.125),
    ];
    for (index, value) in scalars.into_iter().enumerate() {
        writer.metadata(&format!("scalar.{index}"), value).unwrap();
    }
    writer
        .tensor("a.weight", &[64, 3], TensorType::Q8_0)
        .unwrap();
    writer.tensor("b.weight", &[5], TensorType::F32).unwrap();
    writer
        .tensor("c.weight", &[256, 2, 2], TensorType::Q4_K)
        .unwrap();
    finish(writer)
}

/// The file with every byte of its tensors 0xab.
pub fn finish(writer: Writer) -> Vec<u8> {
    let len: u64 = writer
        .tensors()
        .iter()
        .map(|tensor| tensor.byte_len())
        .sum();
    let mut data = writer.start(Vec::new()).unwrap();
    data.write(&vec![0xab; len as usize]).unwrap();
    data.finish().unwrap()
}

/// A file put together by hand, to say what the writer refuses to.
#[derive(Clone)]
pub struct Raw {
    pub version: u32,
    pub metadata: Vec<(String, Value)>,
    pub tensors: Vec<(String, Vec<u64>, u32, u64)>,
    /// Bytes after the header.
    pub data: usize,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            version: 3,
            metadata: Vec::new(),
            tensors: Vec::new(),
            data: 4096,
        }
    }
}

impl Raw {
    pub fn tensor(name: &str, shape: &[u64], ty: TensorType, offset: u64) -> Self {
        let tensors = vec![(name.to_owned(), shape.to_vec(), ty.id(), offset)];
        Self {
            tensors,
            ..Self::default()
        }
    }

    pub fn and(mut self, name: &str, shape: &[u64], ty: TensorType, offset: u64) -> Self {
        self.tensors
            .push((name.to_owned(), shape.to_vec(), ty.id(), offset));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            // The writer knows how to write one value: take it from a file with nothing else.
            let mut writer = Writer::new();
            writer.metadata("k", value.clone()).unwrap();
            let start = 24 + 8 + 1;
            let padded = writer.header_bytes();
            let len = value_len(&padded[24..]);
            string(key, &mut out);
            out.extend(&padded[start..start + len]);
        }
        for (name, shape, ty, offset) in &self.tensors {
            string(name, &mut out);
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().for_each(|n| out.extend(n.to_le_bytes()));
            out.extend(ty.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32) + self.data, 0);
        out
    }
}

/// Bytes of the scalar value after the key at the start of `entry`, with its type.
fn value_len(entry: &[u8]) -> usize {
    let value = &entry[8 + 1..];
    4 + match value[0] {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 => 8 + value[4] as usize,
        _ => 8,
    }
}

pub fn string(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Any array, nested at most once.
fn array() -> impl Strategy<Value = Array> {
    let flat = prop_oneof![
        any::<Vec<u8>>().prop_map(Array::U8),
        any::<Vec<i16>>().prop_map(Array::I16),
        any::<Vec<u32>>().prop_map(Array::U32),
        any::<Vec<i64>>().prop_map(Array::I64),
        prop::collection::vec(-1e9f32..1e9, 0..20).prop_map(Array::F32),
        any::<Vec<bool>>().prop_map(Array::Bool),
        prop::collection::vec(".{0,8}", 0..20)
            .prop_map(|list| Array::String(list.iter().collect())),
    ];
    flat.prop_recursive(1, 8, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(Array::Array)
    })
}

/// Any value.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u64>().prop_map(Value::U64),
        (-1e30f64..1e30).prop_map(Value::F64),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(Value::String),
        array().prop_map(Value::Array),
    ]
}

/// Any small file: what was declared, and its bytes.
pub fn any_file() -> impl Strategy<Value = (Vec<(String, Value)>, Writer)> {
    let metadata = prop::collection::btree_map("[a-z]{1,6}(\\.[a-z]{1,6})?", value(), 0..6);
    let ty = prop::sample::select(TensorType::ALL);
    let tensors = prop::collection::vec((1..4u64, 1..4u64, 1..3u64, ty), 0..5);
    let alignment = prop::sample::select(vec![None, Some(8u32), Some(24), Some(64), Some(4096)]);
    (metadata, tensors, alignment).prop_map(|(metadata, tensors, alignment)| {
        let mut entries: Vec<_> = metadata.into_iter().collect();
        entries.extend(
            alignment.map(|alignment| ("general.alignment".to_owned(), Value::U32(alignment))),
        );
        let mut writer = Writer::new();
        for (key, value) in &entries {
            writer.metadata(key, value.clone()).unwrap();
        }
        for (index, (blocks, rows, depth, ty)) in tensors.into_iter().enumerate() {
            let shape = [blocks * ty.block_len() as u64, rows, depth];
            writer.tensor(&format!("t{index}"), &shape, ty).unwrap();
        }
        (entries, writer)
    })
}

pub fn entries(metadata: &Metadata) -> Vec<(String, Value)> {
    metadata
        .iter()
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}

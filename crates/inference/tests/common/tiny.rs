//! Models of a few thousand random weights, to be bent in every way.

use gguf::{TensorType, Value, Writer};

use super::sentence_piece;

/// A model in the making: `llama`, two layers, single precision.
#[derive(Clone)]
pub(crate) struct Tiny {
    metadata: Vec<(String, Value)>,
    tensors: Vec<(String, Vec<u64>, Vec<f32>)>,
}

const EMBD: u64 = 32;
const FF: u64 = 48;

impl Tiny {
    pub(crate) fn new() -> Self {
        let vocabulary = sentence_piece(&[("ab", -1.0)]).metadata();
        let entries = vocabulary
            .iter()
            .map(|(key, value)| (key.to_owned(), value.clone()));
        let mut tiny = Self {
            metadata: entries.collect(),
            tensors: Vec::new(),
        };
        tiny = tiny.set("general.architecture", Value::String("llama".into()));
        let numbers = [
            ("context_length", 64),
            ("block_count", 2),
            ("embedding_length", 32),
            ("feed_forward_length", 48),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
        ];
        for (key, number) in numbers {
            tiny = tiny.set(&format!("llama.{key}"), Value::U32(number));
        }
        tiny = tiny.set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
        let pieces = vocabulary.strings("tokenizer.ggml.tokens").unwrap().len() as u64;
        tiny = tiny.tensor("token_embd.weight", &[EMBD, pieces]);
        tiny = tiny.tensor("output_norm.weight", &[EMBD]);
        for layer in 0..2 {
            let shapes: [(&str, &[u64]); 9] = [
                ("attn_norm", &[EMBD]),
                ("attn_q", &[EMBD, 32]),
                ("attn_k", &[EMBD, 16]),
                ("attn_v", &[EMBD, 16]),
                ("attn_output", &[32, EMBD]),
                ("ffn_norm", &[EMBD]),
                ("ffn_gate", &[EMBD, FF]),
                ("ffn_up", &[EMBD, FF]),
                ("ffn_down", &[FF, EMBD]),
            ];
            for (name, shape) in shapes {
                tiny = tiny.tensor(&format!("blk.{layer}.{name}.weight"), shape);
            }
        }
        tiny
    }

    /// Replaces or adds a metadata entry.
    pub(crate) fn set(mut self, key: &str, value: Value) -> Self {
        self = self.unset(key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    /// A metadata entry.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        let mut entries = self.metadata.iter();
        entries
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.clone())
    }

    pub(crate) fn unset(mut self, key: &str) -> Self {
        self.metadata.retain(|(other, _)| other != key);
        self
    }

    /// Replaces or adds a tensor of random weights.
    pub(crate) fn tensor(self, name: &str, shape: &[u64]) -> Self {
        let len = shape.iter().product::<u64>();
        let seed = name
            .bytes()
            .fold(7u64, |seed, byte| seed * 31 % 1_000_003 + u64::from(byte));
        let value = |i: u64| ((i * 7919 + seed * 104_729) % 2003) as f32 / 4006.0 - 0.25;
        self.filled(name, shape, (0..len).map(value).collect())
    }

    pub(crate) fn filled(mut self, name: &str, shape: &[u64], values: Vec<f32>) -> Self {
        self = self.without(name);
        self.tensors.push((name.to_owned(), shape.to_vec(), values));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.tensors.retain(|(other, ..)| other != name);
        self
    }

    pub(crate) fn weights(&self, name: &str) -> Vec<f32> {
        let tensor = self.tensors.iter().find(|(other, ..)| other == name);
        tensor.unwrap().2.clone()
    }

    /// The model's file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        for (key, value) in &self.metadata {
            writer.metadata(key, value.clone()).unwrap();
        }
        for (name, shape, _) in &self.tensors {
            writer.tensor(name, shape, TensorType::F32).unwrap();
        }
        let mut file = Vec::new();
        let mut data = writer.start(&mut file).unwrap();
        for (.., values) in &self.tensors {
            let bytes: Vec<u8> = values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            data.write(&bytes).unwrap();
        }
        data.finish().unwrap();
        file
    }
}

//! Vocabularies and models small enough to be written down.
#![allow(dead_code, reason = "each test uses what it needs")]

pub(crate) mod models;
pub(crate) mod random;
pub(crate) mod tiny;

use gguf::{Array, Header, Metadata, Strings, Value, Writer};
use inference::tokenizer::{Error, Tokenizer};

/// A vocabulary in the making.
#[derive(Clone, Default)]
pub(crate) struct Vocabulary {
    entries: Vec<(String, Value)>,
    pieces: Strings,
    kinds: Vec<i32>,
    scores: Vec<f32>,
}

impl Vocabulary {
    fn new(model: &str) -> Self {
        let mut vocabulary = Self::default().text("tokenizer.ggml.model", model);
        for (piece, kind) in [
            ("<unk>", 2),
            ("<s>", 3),
            ("</s>", 3),
            ("[INST]", 3),
            ("[/INST]", 3),
        ] {
            vocabulary = vocabulary.piece(piece, kind);
        }
        vocabulary
            .number("tokenizer.ggml.bos_token_id", 1)
            .number("tokenizer.ggml.eos_token_id", 2)
    }

    pub(crate) fn piece(self, piece: &str, kind: i32) -> Self {
        self.scored(piece, kind, 0.0)
    }

    fn scored(mut self, piece: &str, kind: i32, score: f32) -> Self {
        self.pieces.push(piece);
        self.kinds.push(kind);
        self.scores.push(score);
        self
    }

    fn with(mut self, key: &str, value: Value) -> Self {
        self.entries.retain(|(other, _)| other != key);
        self.entries.push((key.to_owned(), value));
        self
    }

    pub(crate) fn text(self, key: &str, text: &str) -> Self {
        self.with(key, Value::String(text.to_owned()))
    }

    pub(crate) fn number(self, key: &str, number: u32) -> Self {
        self.with(key, Value::U32(number))
    }

    pub(crate) fn flag(self, key: &str, flag: bool) -> Self {
        self.with(key, Value::Bool(flag))
    }

    pub(crate) fn metadata(self) -> Metadata {
        let Self {
            entries,
            pieces,
            kinds,
            scores,
        } = self;
        let mut writer = Writer::new();
        for (key, value) in entries {
            writer.metadata(&key, value).unwrap();
        }
        let arrays = [
            ("tokens", Array::String(pieces)),
            ("token_type", Array::I32(kinds)),
            ("scores", Array::F32(scores)),
        ];
        for (name, array) in arrays {
            let key = format!("tokenizer.ggml.{name}");
            writer.metadata(&key, Value::Array(array)).unwrap();
        }
        let mut file = Vec::new();
        writer.start(&mut file).unwrap().finish().unwrap();
        Header::parse(&file, None).unwrap().metadata
    }

    pub(crate) fn tokenizer(self) -> Result<Tokenizer, Error> {
        Tokenizer::new(&self.metadata())
    }
}

/// All bytes, then the results of `merges`.
pub(crate) fn byte_level(merges: &[&str]) -> Vocabulary {
    let mut vocabulary = Vocabulary::new("gpt2").text("tokenizer.ggml.pre", "tekken");
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let shown = (0..=u8::MAX).filter(printable).map(char::from);
    let hidden = (0..=u8::MAX).filter(|byte| !printable(byte)).count() as u32;
    let hidden = (0x100..0x100 + hidden).filter_map(char::from_u32);
    for c in shown.chain(hidden) {
        vocabulary = vocabulary.piece(&c.to_string(), 1);
    }
    for merge in merges {
        vocabulary = vocabulary.piece(&merge.replacen(' ', "", 1), 1);
    }
    let merges = merges.iter().collect();
    vocabulary.with("tokenizer.ggml.merges", Value::Array(Array::String(merges)))
}

/// All bytes, some letters, and these pieces with their scores.
pub(crate) fn sentence_piece(pieces: &[(&str, f32)]) -> Vocabulary {
    let mut vocabulary = Vocabulary::new("llama");
    for byte in 0..=u8::MAX {
        vocabulary = vocabulary.piece(&format!("<0x{byte:02X}>"), 6);
    }
    for letter in ["▁", "a", "b", "c"] {
        vocabulary = vocabulary.scored(letter, 1, -100.0);
    }
    for &(piece, score) in pieces {
        vocabulary = vocabulary.scored(piece, 1, score);
    }
    vocabulary
}

/// All bytes, and no tokens for instructions.
pub(crate) fn plain_byte_level() -> Vocabulary {
    let mut vocabulary = byte_level(&[]);
    // Unused, in the place of `[INST]` and `[/INST]`.
    vocabulary.kinds[3..5].fill(5);
    vocabulary
}

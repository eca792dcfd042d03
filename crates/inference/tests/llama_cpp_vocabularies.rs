//! Tokenizers against llama.cpp's expectations on real vocabularies.
//!
//! The files are too large for the repository: set `IAP2P_GOLDEN` to the folder that has them in `vocab`.
//! Without it the tests say so and pass.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::{collections::HashMap, fs, path::PathBuf};

use gguf::{Array, Header, Metadata, Strings, Value, Writer};
use inference::tokenizer::{Encode, Tokenizer};

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("IAP2P_GOLDEN");
    if folder.is_none() {
        println!("skipped: IAP2P_GOLDEN is not set");
    }
    folder.map(|folder| PathBuf::from(folder).join("vocab"))
}

fn check(tokenizer: &Tokenizer, name: &str) {
    let Some(folder) = folder() else { return };
    let read = |end: &str| fs::read_to_string(folder.join(format!("{name}.{end}"))).unwrap();
    let (texts, expected) = (read("inp"), read("out"));
    let separator = "\n__ggml_vocab_test__\n";
    let texts: Vec<&str> = texts.split_terminator(separator).collect();
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(texts.len(), expected.len());
    for (text, expected) in texts.iter().zip(expected) {
        let expected: Vec<u32> = expected
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect();
        let tokens = tokenizer.encode(text, Encode::default()).unwrap();
        assert_eq!(tokens, expected, "{name}: {text:?}");
        assert_eq!(tokenizer.decode(&tokens), *text, "{name}");
    }
    println!("{name}: {} texts", texts.len());
}

fn check_file(name: &str) {
    let Some(folder) = folder() else { return };
    let bytes = fs::read(folder.join(name)).unwrap();
    let header = Header::parse(&bytes, Some(bytes.len() as u64)).unwrap();
    let start = std::time::Instant::now();
    let tokenizer = Tokenizer::new(&header.metadata).unwrap();
    println!("{name}: loaded in {:?}", start.elapsed());
    check(&tokenizer, name);
}

#[test]
fn llama_3_texts_become_llama_cpp_s_tokens() {
    check_file("ggml-vocab-llama-bpe.gguf");
}

#[test]
fn llama_2_texts_become_llama_cpp_s_tokens() {
    check_file("ggml-vocab-llama-spm.gguf");
}

#[test]
fn qwen_2_texts_become_llama_cpp_s_tokens() {
    check_file("ggml-vocab-qwen2.gguf");
}

#[test]
fn magistral_texts_become_llama_cpp_s_tokens() {
    let Some(folder) = folder() else { return };
    let bytes = fs::read(folder.join("magistral_tokenizer.model")).unwrap();
    let tokenizer = Tokenizer::new(&tekken(&pieces(&bytes))).unwrap();
    check(&tokenizer, "ggml-vocab-tekken");
}

/// The pieces of a SentencePiece model: messages in field 1, each with its text in field 1.
fn pieces(mut bytes: &[u8]) -> Vec<(String, u8)> {
    fn length(bytes: &mut &[u8]) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let mut pieces = Vec::new();
    while let [0x0a, rest @ ..] = bytes {
        bytes = rest;
        let len = length(&mut bytes);
        let (mut message, rest) = bytes.split_at(len);
        bytes = rest;
        message = &message[1..];
        let len = length(&mut message);
        let text = String::from_utf8(message[..len].to_vec()).unwrap();
        pieces.push((text, message[message.len() - 1]));
    }
    pieces
}

/// What a conversion to GGUF writes for a vocabulary ranked by id: each piece's merge is the pair it falls
/// into when only lower ranks are merged.
fn tekken(pieces: &[(String, u8)]) -> Metadata {
    let ranks: HashMap<&str, usize> = pieces
        .iter()
        .map(|(piece, _)| piece.as_str())
        .zip(0..)
        .collect();
    let mut merges = Strings::new();
    for (rank, (piece, kind)) in pieces.iter().enumerate() {
        let mut parts: Vec<String> = piece.chars().map(String::from).collect();
        while *kind == 1 && parts.len() > 2 {
            let pairs = parts
                .windows(2)
                .map(|pair| ranks.get(pair.concat().as_str()).copied());
            let best = pairs
                .zip(0..)
                .filter_map(|(rank, at)| Some((rank?, at)))
                .min()
                .unwrap();
            assert!(best.0 < rank, "{piece} cannot be merged");
            let right = parts.remove(best.1 + 1);
            parts[best.1].push_str(&right);
        }
        if let (1, [left, right]) = (kind, parts.as_slice()) {
            merges.push(&format!("{left} {right}"));
        }
    }
    let mut writer = Writer::new();
    let mut put = |key: &str, value| {
        writer.metadata(key, value).unwrap();
    };
    put("tokenizer.ggml.model", Value::String("gpt2".into()));
    put("tokenizer.ggml.pre", Value::String("tekken".into()));
    let texts = pieces.iter().map(|(piece, _)| piece).collect();
    put("tokenizer.ggml.tokens", Value::Array(Array::String(texts)));
    let kinds = pieces.iter().map(|(_, kind)| i32::from(*kind)).collect();
    put("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    put("tokenizer.ggml.merges", Value::Array(Array::String(merges)));
    put("tokenizer.ggml.bos_token_id", Value::U32(1));
    put("tokenizer.ggml.eos_token_id", Value::U32(2));
    let mut file = Vec::new();
    writer.start(&mut file).unwrap().finish().unwrap();
    Header::parse(&file, None).unwrap().metadata
}

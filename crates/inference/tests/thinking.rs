//! What a model thinks is told apart from what it answers.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use common::{Vocabulary, byte_level, models::Loaded, tiny::Tiny};
use gguf::{Array, Strings, Value};
use inference::{
    session::{Config, Event, FinishReason, Generation},
    thinking::{Part, Splitter},
    tokenizer::{Detokenizer, Encode},
};

const SPECIAL: Encode = Encode {
    add_special: false,
    parse_special: true,
};

/// What is said when these texts are a model's prompt and answer: thoughts, and answer.
fn split(vocabulary: &Vocabulary, prompt: &str, answer: &str) -> (String, String) {
    let tokenizer = vocabulary.clone().tokenizer().unwrap();
    let tokens = |text| tokenizer.encode(text, SPECIAL).unwrap();
    let prompt = tokens(prompt);
    let mut splitter = Splitter::new(&tokenizer, &prompt);
    let mut detokenizer = Detokenizer::new(&tokenizer, prompt.last().copied());
    let mut said = Vec::new();
    for token in tokens(answer) {
        said.extend(splitter.push(token, &detokenizer.push(&tokenizer, token)));
    }
    said.extend(splitter.finish());
    let all = |wanted: Part| -> String {
        let of = |(part, text): &(Part, String)| (*part == wanted).then(|| text.clone());
        said.iter().filter_map(of).collect()
    };
    (all(Part::Thinking), all(Part::Answer))
}

fn mistral() -> Vocabulary {
    byte_level(&[]).piece("[THINK]", 3).piece("[/THINK]", 3)
}

/// As Qwen 3 has them: tokens, but not hidden ones.
fn qwen() -> Vocabulary {
    byte_level(&[]).piece("<think>", 4).piece("</think>", 4)
}

fn spelled_out() -> Vocabulary {
    byte_level(&[])
}

#[test]
fn thoughts_go_to_one_side_and_the_answer_to_the_other() {
    for (vocabulary, open, close) in [
        (mistral(), "[THINK]", "[/THINK]"),
        (qwen(), "<think>", "</think>"),
        (spelled_out(), "<think>", "</think>"),
    ] {
        let split = |text: &str| {
            let text = text.replace("[T]", open).replace("[/T]", close);
            split(&vocabulary, "[INST]?[/INST]", &text)
        };
        let parts = |thoughts: &str, answer: &str| (thoughts.to_owned(), answer.to_owned());
        assert_eq!(
            split("[T]\nHm.\nYes!\n[/T]\n\nBlå  🦙.\n"),
            parts("Hm.\nYes!", "Blå  🦙.\n")
        );
        assert_eq!(split("[T][/T]Yes."), parts("", "Yes."));
        assert_eq!(split("[T]never ends"), parts("never ends", ""));
        assert_eq!(
            split("[T]1 </thin 2 < 3[/T]Yes"),
            parts("1 </thin 2 < 3", "Yes")
        );
        assert_eq!(split(" No thoughts. "), parts("", " No thoughts. "));
        assert_eq!(split("<thousand> times"), parts("", "<thousand> times"));
        assert_eq!(split(""), parts("", ""));
        assert_eq!(split("  \n"), parts("", "  \n"));
        assert_eq!(split("<th"), parts("", "<th"));
    }
}

#[test]
fn a_prompt_may_begin_the_thoughts() {
    for (vocabulary, prompt) in [
        (mistral(), "[INST]?[/INST][THINK]"),
        (qwen(), "[INST]?[/INST]<think>\n"),
        (spelled_out(), "[INST]?[/INST]<think>\n"),
    ] {
        let close = if prompt.contains("[THINK]") {
            "[/THINK]"
        } else {
            "</think>"
        };
        let (thoughts, answer) = split(&vocabulary, prompt, &format!("Hm{close}\nYes"));
        assert_eq!((thoughts.as_str(), answer.as_str()), ("Hm", "Yes"));
    }
    let (thoughts, answer) = split(&qwen(), "[INST]?[/INST]<think>\n\n</think>\n\n", "Yes");
    assert_eq!((thoughts.as_str(), answer.as_str()), ("", "Yes"));
}

#[test]
fn an_answer_about_marks_is_an_answer() {
    let text = "Models write <think> and </think> around their thoughts.";
    assert_eq!(split(&spelled_out(), "", text).1, text);
}

#[test]
fn a_piece_at_a_time_is_as_good_as_all_at_once() {
    let whole = "<think>a</thinkb</think>c";
    for size in 1..whole.len() {
        let mut splitter = Splitter::default();
        let pieces = whole
            .as_bytes()
            .chunks(size)
            .map(|piece| str::from_utf8(piece).unwrap());
        let mut said: Vec<_> = pieces.flat_map(|piece| splitter.push_text(piece)).collect();
        said.extend(splitter.finish());
        let thoughts = said.iter().filter(|(part, _)| *part == Part::Thinking);
        let thoughts: String = thoughts.map(|(_, text)| text.as_str()).collect();
        assert_eq!(thoughts, "a</thinkb", "{size}");
        assert_eq!(said.last().unwrap().1, "c", "{size}");
    }
}

/// A model that says these tokens one after the other, whatever went before: the embedding of each is a direction of
/// its own, and the output head knows which follows.
fn reciting(chain: &[u32]) -> Loaded {
    let mut tiny = Tiny::new();
    let Some(Value::Array(Array::String(pieces))) = tiny.get("tokenizer.ggml.tokens") else {
        panic!("a vocabulary")
    };
    let renamed = pieces.iter().map(|piece| match piece {
        "[INST]" => "[THINK]",
        "[/INST]" => "[/THINK]",
        other => other,
    });
    let renamed: Strings = renamed.collect();
    let (count, width) = (renamed.len(), 32);
    let mut embedding = vec![0.0; count * width];
    let mut head = vec![0.0; count * width];
    for (direction, pair) in chain.windows(2).enumerate() {
        embedding[pair[0] as usize * width + direction] = 1.0;
        head[pair[1] as usize * width + direction] = 1.0;
    }
    let shape = [width as u64, count as u64];
    let zeros = |len: usize| vec![0.0; len];
    tiny = tiny
        .set(
            "tokenizer.ggml.tokens",
            Value::Array(Array::String(renamed)),
        )
        .filled("token_embd.weight", &shape, embedding)
        .filled("output.weight", &shape, head)
        .filled("output_norm.weight", &[width as u64], vec![1.0; width]);
    for layer in 0..2 {
        tiny = tiny
            .filled(
                &format!("blk.{layer}.attn_output.weight"),
                &[32, 32],
                zeros(32 * 32),
            )
            .filled(
                &format!("blk.{layer}.ffn_down.weight"),
                &[48, 32],
                zeros(48 * 32),
            );
    }
    Loaded::cut(&tiny.file(), 64 << 10)
}

#[test]
fn a_sessions_events_tell_thoughts_from_the_answer() {
    let tokenizer = |loaded: &Loaded| loaded.model.tokenizer().clone();
    let names = tokenizer(&reciting(&[1, 2]));
    let id = |piece: &str| {
        let all = 0..names.vocabulary().len() as u32;
        let mut found = all.filter(|&token| names.vocabulary().piece(token) == Some(piece));
        found.next().unwrap()
    };
    let chain = ["<s>", "[THINK]", "a", "ab", "[/THINK]", "b", "c", "</s>"].map(id);
    let loaded = reciting(&chain);
    let mut session = loaded.session(Config::default());
    session.begin(&chain[..1], Generation::default()).unwrap();
    let (mut thoughts, mut answer, mut tokens) = (String::new(), String::new(), Vec::new());
    inference::run_local(&mut session, &loaded.answerer, |event| match event {
        Event::Thinking { token, text } => {
            tokens.push(token);
            thoughts += &text;
        }
        Event::Token { token, text } => {
            tokens.push(token);
            answer += &text;
        }
        Event::Done(reason) => assert_eq!(reason, FinishReason::End),
        Event::Prompt { .. } | Event::Logits { .. } => {}
    })
    .unwrap();
    assert_eq!((thoughts.as_str(), answer.as_str()), ("aab", "bc"));
    assert_eq!(tokens, chain[1..], "each token is told of once");

    // Taken up elsewhere in the middle of a thought, it is still one.
    let mut session = loaded.session(Config::default());
    session
        .resume(&chain[..3], 1, Generation::default())
        .unwrap();
    let mut events = Vec::new();
    inference::run_local(&mut session, &loaded.answerer, |event| events.push(event)).unwrap();
    let text = "ab".to_owned();
    assert!(
        events.contains(&Event::Thinking {
            token: chain[3],
            text
        }),
        "{events:?}"
    );
}

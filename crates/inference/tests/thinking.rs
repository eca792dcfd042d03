//! What a model thinks is told apart from what it answers.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use common::{Vocabulary, byte_level};
use inference::{
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

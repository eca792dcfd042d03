//! Small vocabularies of this project's own, with what llama.cpp's rules make of texts in them.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use common::{Vocabulary, byte_level, sentence_piece};
use inference::tokenizer::{Detokenizer, Encode, Error, Tokenizer};

const SPECIAL: Encode = Encode {
    add_special: true,
    parse_special: true,
};

fn pieces(tokenizer: &Tokenizer, text: &str, options: Encode) -> Vec<String> {
    let tokens = tokenizer.encode(text, options).unwrap();
    let piece = |&token: &u32| tokenizer.vocabulary().piece(token).unwrap().to_owned();
    tokens.iter().map(piece).collect()
}

#[test]
fn bytes_are_merged_in_the_order_of_the_merges() {
    let tokenizer = byte_level(&["a b", "ab c", "b c", "Ġ abc"])
        .tokenizer()
        .unwrap();
    assert_eq!(pieces(&tokenizer, "abc", Encode::default()), ["abc"]);
    assert_eq!(pieces(&tokenizer, "bca", Encode::default()), ["bc", "a"]);
    assert_eq!(
        pieces(&tokenizer, "x abc", Encode::default()),
        ["x", "Ġabc"]
    );
    assert_eq!(pieces(&tokenizer, "é", Encode::default()), ["Ã", "©"]);
    assert!(tokenizer.encode("", Encode::default()).unwrap().is_empty());
}

#[test]
fn a_word_that_is_a_piece_is_taken_whole_where_merges_are_ignored() {
    let vocabulary = byte_level(&["a b"]).piece("hello", 1);
    let tekken = vocabulary.clone().tokenizer().unwrap();
    assert_eq!(pieces(&tekken, "hello", Encode::default()), ["hello"]);
    let gpt_2 = vocabulary
        .text("tokenizer.ggml.pre", "gpt-2")
        .tokenizer()
        .unwrap();
    assert_eq!(
        pieces(&gpt_2, "hello", Encode::default()),
        ["h", "e", "l", "l", "o"]
    );
}

#[test]
fn special_tokens_in_a_text_are_tokens_on_request_only() {
    let tokenizer = byte_level(&[]).tokenizer().unwrap();
    assert_eq!(
        pieces(&tokenizer, "[INST]a[/INST]", SPECIAL),
        ["<s>", "[INST]", "a", "[/INST]"]
    );
    let plain = pieces(&tokenizer, "[INST]", Encode::default());
    assert_eq!(plain, ["[", "I", "N", "S", "T", "]"]);
}

#[test]
fn what_the_user_of_the_vocabulary_defined_is_always_one_token() {
    let tokenizer = byte_level(&[]).piece("<think>", 4).tokenizer().unwrap();
    assert_eq!(
        pieces(&tokenizer, "a<think>b", Encode::default()),
        ["a", "<think>", "b"]
    );
    let token = tokenizer.vocabulary().special("<think>").unwrap();
    assert_eq!(tokenizer.decode(&[token]), "<think>");
}

#[test]
fn the_best_score_is_merged_first_and_the_leftmost_of_equals() {
    let merged = [("▁a", -1.0), ("ab", -3.0), ("bc", -2.0), ("aa", -5.0)];
    let tokenizer = sentence_piece(&merged).tokenizer().unwrap();
    assert_eq!(pieces(&tokenizer, "abc", Encode::default()), ["▁a", "bc"]);
    assert_eq!(
        pieces(&tokenizer, "caaa", Encode::default()),
        ["▁", "c", "aa", "a"]
    );
}

#[test]
fn what_is_no_piece_is_written_in_bytes() {
    let tokenizer = sentence_piece(&[]).tokenizer().unwrap();
    assert_eq!(
        pieces(&tokenizer, "é", Encode::default()),
        ["▁", "<0xC3>", "<0xA9>"]
    );
    let tokens = tokenizer.encode("é\n", SPECIAL).unwrap();
    assert_eq!(tokenizer.decode(&tokens), "é\n");
}

#[test]
fn the_space_before_a_text_is_the_tokenizers_own() {
    let tokenizer = sentence_piece(&[]).tokenizer().unwrap();
    assert_eq!(
        pieces(&tokenizer, "</s>a", SPECIAL),
        ["<s>", "</s>", "▁", "a"]
    );
    for text in ["a", " a", "a b", "  "] {
        let tokens = tokenizer.encode(text, SPECIAL).unwrap();
        assert_eq!(tokenizer.decode(&tokens), text);
    }
    let without = sentence_piece(&[]).flag("tokenizer.ggml.add_space_prefix", false);
    let tokenizer = without.tokenizer().unwrap();
    assert_eq!(pieces(&tokenizer, "a", Encode::default()), ["a"]);
}

#[test]
fn half_a_character_is_never_shown() {
    let tokenizer = byte_level(&[]).tokenizer().unwrap();
    let text = "né 🦙!";
    let mut detokenizer = Detokenizer::new(&tokenizer, None);
    let mut shown = String::new();
    for token in tokenizer.encode(text, Encode::default()).unwrap() {
        let more = detokenizer.push(&tokenizer, token);
        assert!(!more.contains(char::REPLACEMENT_CHARACTER));
        shown += &more;
    }
    assert_eq!((shown.as_str(), detokenizer.finish().as_str()), (text, ""));
}

#[test]
fn broken_characters_are_replaced_and_what_follows_is_kept() {
    let tokenizer = byte_level(&[]).tokenizer().unwrap();
    let tokens = tokenizer.encode("🦙a", Encode::default()).unwrap();
    assert_eq!(tokenizer.decode(&tokens[1..]), "\u{fffd}\u{fffd}\u{fffd}a");
    assert_eq!(tokenizer.decode(&tokens[..2]), "\u{fffd}");
}

#[test]
fn answers_end_at_eos_and_at_what_ends_a_turn() {
    let vocabulary = byte_level(&[])
        .piece("<|im_end|>", 3)
        .piece("<|eot_id|>", 1);
    let tokenizer = vocabulary.tokenizer().unwrap();
    let vocabulary = tokenizer.vocabulary();
    let ends: Vec<&str> = (0..vocabulary.len() as u32)
        .filter(|&token| vocabulary.is_end(token))
        .map(|token| vocabulary.piece(token).unwrap())
        .collect();
    // The last is text in this vocabulary, whatever it looks like.
    assert_eq!(ends, ["</s>", "<|im_end|>"]);
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let refusal = |vocabulary: Vocabulary| vocabulary.tokenizer().unwrap_err().to_string();
    let model = refusal(byte_level(&[]).text("tokenizer.ggml.model", "t5"));
    assert_eq!(
        model,
        "tokenizer model \"t5\" is not supported (gpt2 and llama are)"
    );
    let pre = refusal(byte_level(&[]).text("tokenizer.ggml.pre", "klingon"));
    assert_eq!(pre, "pre-tokenizer \"klingon\" is not supported");
    let merge = refusal(byte_level(&["ab"]));
    assert_eq!(merge, "merge 0 of the vocabulary is not two pieces: \"ab\"");
    let number = byte_level(&[])
        .number("tokenizer.ggml.eos_token_id", 100_000)
        .tokenizer();
    assert!(matches!(number, Err(Error::NoSuchToken { .. })));
}

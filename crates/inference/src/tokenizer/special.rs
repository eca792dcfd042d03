use super::{Token, Vocabulary};

/// A text between special tokens, or one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    Text(&'a str),
    Special(Token),
}

/// Splits a text at the special tokens written in it.
///
/// Longer ones are looked for first, everywhere, so that `[/INST]` wins over a token `[`: the rule that
/// llama.cpp follows, which differs from "longest match at the first place" only where two overlap.
pub(super) fn split<'a>(vocabulary: &Vocabulary, text: &'a str, control: bool) -> Vec<Segment<'a>> {
    let mut segments = Vec::new();
    if !text.is_empty() {
        segments.push(Segment::Text(text));
    }
    for token in vocabulary.special_tokens(control) {
        let Some(piece) = vocabulary.piece(token) else {
            continue;
        };
        let contains = |segment: &Segment| matches!(segment, Segment::Text(t) if t.contains(piece));
        // A vocabulary has a thousand of them, a text a handful.
        if !segments.iter().any(contains) {
            continue;
        }
        let mut next = Vec::with_capacity(segments.len() + 2);
        for segment in segments {
            let Segment::Text(mut rest) = segment else {
                next.push(segment);
                continue;
            };
            while let Some((before, after)) = rest.split_once(piece) {
                next.extend((!before.is_empty()).then_some(Segment::Text(before)));
                next.push(Segment::Special(token));
                rest = after;
            }
            next.extend((!rest.is_empty()).then_some(Segment::Text(rest)));
        }
        segments = next;
    }
    segments
}

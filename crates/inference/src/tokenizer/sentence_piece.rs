use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
};

use gguf::Metadata;

use super::{Error, Token, Vocabulary, vocabulary::Kind};

/// A space inside a piece.
pub(super) const SPACE: char = '▁';

/// SentencePiece's byte-pair model as GGUF files carry it: pieces with scores, no merges.
///
/// The `tokenizers` crate has no such model. Its byte-pair model wants merges, and merges derived from
/// scores are not the same: where several splits give the same piece, the score decides and then the
/// place in the text, which a list of merges cannot say.
#[derive(Clone, Debug)]
pub(super) struct SentencePiece {
    tokens: HashMap<Box<str>, Token>,
    scores: Vec<f32>,
    bytes: Box<[Option<Token>; 256]>,
    unknown: Option<Token>,
}

impl SentencePiece {
    pub(super) fn read(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Self, Error> {
        let scores = metadata.f32s("tokenizer.ggml.scores")?.to_vec();
        if scores.len() != vocabulary.len() {
            return Err(Error::Lengths {
                key: "tokenizer.ggml.scores",
                found: scores.len(),
                expected: vocabulary.len(),
            });
        }
        let mut tokens = HashMap::with_capacity(vocabulary.len());
        for (token, piece) in (0..).zip(vocabulary.pieces()) {
            tokens.entry(piece.into()).or_insert(token);
        }
        let mut bytes = Box::new([None; 256]);
        for (byte, slot) in (0..=u8::MAX).zip(bytes.iter_mut()) {
            let token: Option<Token> = tokens.get(format!("<0x{byte:02X}>").as_str()).copied();
            *slot = token.filter(|&token| vocabulary.kind(token) == Some(Kind::Byte));
        }
        Ok(Self {
            tokens,
            scores,
            bytes,
            unknown: vocabulary.unknown,
        })
    }

    /// Appends the tokens of a text in which spaces are already [`SPACE`]s.
    ///
    /// Starts from single characters and keeps joining the two neighbours that make the piece with the
    /// best score, the leftmost where scores are equal.
    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<Token>) -> Result<(), Error> {
        let mut symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, c))| Symbol {
                start,
                end: start + c.len_utf8(),
                previous: index.wrapping_sub(1),
                next: index + 1,
            })
            .collect();
        let mut pairs = BinaryHeap::new();
        for right in 1..symbols.len() {
            self.propose(text, &symbols, right - 1, right, &mut pairs);
        }
        while let Some(pair) = pairs.pop() {
            let (left, right) = (&symbols[pair.left], &symbols[pair.right]);
            // Symbols only grow, and one that was swallowed is empty: the length shows either.
            if left.is_empty() || right.is_empty() || right.end - left.start != pair.len {
                continue;
            }
            let next = right.next;
            symbols[pair.left].end = symbols[pair.right].end;
            symbols[pair.left].next = next;
            symbols[pair.right].start = symbols[pair.right].end;
            if let Some(symbol) = symbols.get_mut(next) {
                symbol.previous = pair.left;
            }
            let previous = symbols[pair.left].previous;
            self.propose(text, &symbols, previous, pair.left, &mut pairs);
            self.propose(text, &symbols, pair.left, next, &mut pairs);
        }
        for symbol in symbols.iter().filter(|symbol| !symbol.is_empty()) {
            self.push(&text[symbol.start..symbol.end], tokens)?;
        }
        Ok(())
    }

    /// Remembers two neighbours if they make a piece.
    fn propose(
        &self,
        text: &str,
        symbols: &[Symbol],
        left: usize,
        right: usize,
        pairs: &mut BinaryHeap<Pair>,
    ) {
        let (Some(first), Some(second)) = (symbols.get(left), symbols.get(right)) else {
            return;
        };
        if let Some(&token) = self.tokens.get(&text[first.start..second.end]) {
            pairs.push(Pair {
                score: self.scores[token as usize],
                left,
                right,
                len: second.end - first.start,
            });
        }
    }

    /// Appends a symbol's token, or those of its bytes if it is no piece.
    fn push(&self, piece: &str, tokens: &mut Vec<Token>) -> Result<(), Error> {
        if let Some(&token) = self.tokens.get(piece) {
            tokens.push(token);
            return Ok(());
        }
        for byte in piece.bytes() {
            let token = self.bytes[usize::from(byte)].or(self.unknown);
            tokens.push(token.ok_or_else(|| Error::Inexpressible(piece.to_owned()))?);
        }
        Ok(())
    }
}

/// A run of characters, linked to its neighbours; an index out of range is no neighbour.
struct Symbol {
    start: usize,
    end: usize,
    previous: usize,
    next: usize,
}

impl Symbol {
    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// Two neighbours that make a piece, of this length at the time.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    len: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Self) -> Ordering {
        let score = self.score.total_cmp(&other.score);
        score.then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Pair {}

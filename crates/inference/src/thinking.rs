//! What a model thinks before it answers, told apart from the answer.
//!
//! Models that reason put their thoughts between marks: `[THINK]` and `[/THINK]` in Mistral's vocabularies, `<think>`
//! and `</think>` in most others, as tokens or spelled out. Whoever shows an answer folds the thoughts away.

use crate::tokenizer::{Token, Tokenizer};

/// The marks that vocabularies have as tokens.
const MARKS: [[&str; 2]; 2] = [["[THINK]", "[/THINK]"], ["<think>", "</think>"]];

/// The marks that are spelled out where the vocabulary has no tokens for them.
const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Tokens at the end of a prompt that may follow the mark with which it makes the model think.
const PROMPT_TAIL: usize = 4;

/// What a piece of a model's text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Thoughts on the way.
    Thinking,
    /// The answer.
    Answer,
}

/// Splits what a model says, piece by piece, into thoughts and answer.
///
/// The marks, and blanks next to them, belong to neither. Marks that are spelled out are heeded at the beginning
/// only, where no answer has been given yet.
///
/// ```
/// use inference::thinking::{Part, Splitter};
///
/// let mut splitter = Splitter::default();
/// let mut said = Vec::new();
/// for piece in ["<thi", "nk>\nHm", "m.</think>", "\n\nYes."] {
///     said.extend(splitter.push_text(piece));
/// }
/// said.extend(splitter.finish());
/// let thoughts = [(Part::Thinking, "Hm".into()), (Part::Thinking, "m.".into())];
/// assert_eq!(said[..2], thoughts);
/// assert_eq!(said[2], (Part::Answer, "Yes.".into()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Splitter {
    tokens: Option<[Token; 2]>,
    state: State,
    /// What may be the beginning of a mark, or a blank next to one.
    held: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing but blanks was said.
    #[default]
    Start,
    /// Among thoughts; the first is still to come if `fresh`.
    Thinking { fresh: bool },
    /// Behind thoughts, where blanks are still to be left out.
    Behind,
    /// In the answer.
    Answer,
}

impl Splitter {
    /// For what a model says behind a prompt, which may have ended with the mark that begins its thoughts.
    pub fn new(tokenizer: &Tokenizer, prompt: &[Token]) -> Self {
        let vocabulary = tokenizer.vocabulary();
        let tokens = MARKS.iter().find_map(|&[open, close]| {
            Some([vocabulary.special(open)?, vocabulary.special(close)?])
        });
        let tail = &prompt[prompt.len().saturating_sub(PROMPT_TAIL)..];
        let thinks = match tokens {
            Some([open, close]) => {
                let last = tail.iter().rfind(|token| [open, close].contains(token));
                last == Some(&open)
            }
            None => {
                let tail = &prompt[prompt.len().saturating_sub(4 * PROMPT_TAIL)..];
                tokenizer.decode(tail).trim_end().ends_with(OPEN)
            }
        };
        let state = if thinks {
            State::Thinking { fresh: true }
        } else {
            State::Start
        };
        Self {
            tokens,
            state,
            held: String::new(),
        }
    }

    /// Where the next piece belongs, as far as is known.
    pub fn part(&self) -> Part {
        match self.state {
            State::Thinking { .. } => Part::Thinking,
            State::Start | State::Behind | State::Answer => Part::Answer,
        }
    }

    /// Takes the next token and the text that is complete with it. Returns what is certain by now.
    pub fn push(&mut self, token: Token, text: &str) -> Vec<(Part, String)> {
        let Some([open, close]) = self.tokens else {
            return self.push_text(text);
        };
        if token != open && token != close {
            return self.push_plain(text);
        }
        // The mark's own text, where it is not hidden anyway, is at the end.
        let before = MARKS
            .iter()
            .flatten()
            .find_map(|mark| text.strip_suffix(mark));
        let mut said = self.push_plain(before.unwrap_or(text));
        // Blanks before a mark belong to nobody.
        self.held.clear();
        self.state = if token == open {
            State::Thinking { fresh: true }
        } else {
            State::Behind
        };
        said.retain(|(_, text)| !text.is_empty());
        said
    }

    /// Takes text that is no mark's.
    pub(crate) fn push_text_of(&mut self, token: Token, text: &str) -> Vec<(Part, String)> {
        match self.tokens {
            // The last token may have been a mark, which this text is not.
            Some(marks) if marks.contains(&token) => self.push_plain(text),
            _ => self.push(token, text),
        }
    }

    /// Takes the next piece of text of a model whose marks are spelled out. Returns what is certain by now.
    pub fn push_text(&mut self, text: &str) -> Vec<(Part, String)> {
        let mut said = Vec::new();
        let mut text = std::mem::take(&mut self.held) + text;
        if self.state == State::Start {
            let rest = text.trim_start();
            if let Some(thoughts) = rest.strip_prefix(OPEN) {
                self.state = State::Thinking { fresh: true };
                text = thoughts.to_owned();
            } else if !rest.is_empty() && OPEN.starts_with(rest) {
                self.held = text;
                return said;
            }
        }
        if let State::Thinking { .. } = self.state {
            if let Some((thoughts, answer)) = text.split_once(CLOSE) {
                said.extend(self.push_plain(thoughts.trim_end()));
                self.held.clear();
                self.state = State::Behind;
                text = answer.to_owned();
            } else {
                // What may be the beginning of the mark, with the blanks before it.
                let marked = (1..CLOSE.len())
                    .rev()
                    .find(|&len| text.ends_with(&CLOSE[..len]));
                let end = text.len() - marked.unwrap_or(0);
                let tail = text.split_off(end);
                said.extend(self.push_plain(&text));
                self.held += &tail;
                return said;
            }
        }
        said.extend(self.push_plain(&text));
        said
    }

    /// What was held back, when nothing follows.
    pub fn finish(&mut self) -> Option<(Part, String)> {
        let held = std::mem::take(&mut self.held);
        let part = self.part();
        let nothing = match part {
            Part::Thinking => held.trim().is_empty(),
            Part::Answer => held.is_empty(),
        };
        (!nothing).then_some((part, held))
    }

    /// Text without marks.
    fn push_plain(&mut self, text: &str) -> Vec<(Part, String)> {
        let mut text = std::mem::take(&mut self.held) + text;
        match self.state {
            State::Start => {
                if !text.trim_start().is_empty() {
                    self.state = State::Answer;
                }
            }
            State::Thinking { fresh } => {
                if fresh {
                    text = text.trim_start().to_owned();
                    self.state = State::Thinking {
                        fresh: text.is_empty(),
                    };
                }
                // Blanks may be the last ones before the mark.
                self.held = text.split_off(text.trim_end().len());
            }
            State::Behind => {
                text = text.trim_start().to_owned();
                if !text.is_empty() {
                    self.state = State::Answer;
                }
            }
            State::Answer => {}
        }
        if text.is_empty() {
            return Vec::new();
        }
        vec![(self.part(), text)]
    }
}

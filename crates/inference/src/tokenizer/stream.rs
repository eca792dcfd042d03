use super::{Kind, Token, Tokenizer};

/// Text from tokens one at a time, in whole characters.
///
/// A character may be spread over several tokens; it is kept back until it is complete, so that nobody
/// ever sees half of one.
#[derive(Clone, Debug, Default)]
pub struct Detokenizer {
    /// The start of a character, at most three bytes.
    pending: Vec<u8>,
    /// Whether the next space was put there by the tokenizer and not by anybody who wrote.
    drop_space: bool,
}

impl Detokenizer {
    /// For what follows the token `previous`, or for a whole text.
    pub fn new(tokenizer: &Tokenizer, previous: Option<Token>) -> Self {
        let kind = previous.and_then(|token| tokenizer.vocabulary().kind(token));
        let at_start = previous.is_none() || kind == Some(Kind::Control);
        Self {
            pending: Vec::new(),
            drop_space: tokenizer.add_space_prefix && at_start,
        }
    }

    /// The text that is complete with this token; often none.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: Token) -> String {
        let start = self.pending.len();
        tokenizer.bytes(token, &mut self.pending);
        if self.drop_space && self.pending.len() > start {
            self.drop_space = false;
            if self.pending[start] == b' ' {
                self.pending.remove(start);
            }
        }
        self.take_complete()
    }

    /// What is left when no token follows: a replacement character if a character was never completed.
    pub fn finish(&mut self) -> String {
        let rest = std::mem::take(&mut self.pending);
        String::from_utf8_lossy(&rest).into_owned()
    }

    fn take_complete(&mut self) -> String {
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            rest = after;
            let Some(invalid) = error.error_len() else {
                break;
            };
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[invalid..];
        }
        self.pending = rest.to_vec();
        text
    }
}

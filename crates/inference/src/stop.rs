//! Texts at which an answer ends.
//!
//! They may begin within one token and end within another, so what could be the beginning of one is held back until it is
//! certain that it is none.

/// Looks for texts in an answer while it grows.
///
/// ```
/// use inference::stop::{Found, StopSequences};
///
/// let mut stop = StopSequences::new(vec!["\nUser:".into()]);
/// assert_eq!(stop.push("Yes.\nUs"), Found::Not("Yes.".into()));
/// assert_eq!(stop.push("ually so.\n"), Found::Not("\nUsually so.".into()));
/// assert_eq!(stop.push("User: and"), Found::At("".into()));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopSequences {
    sequences: Vec<String>,
    /// What may be the beginning of one.
    held: String,
}

/// What became certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This much belongs to the answer, which goes on.
    Not(String),
    /// With this the answer ends; the text that ends it is left out.
    At(String),
}

impl StopSequences {
    /// Ends at any of these; empty ones are none.
    #[must_use]
    pub fn new(mut sequences: Vec<String>) -> Self {
        sequences.retain(|it| !it.is_empty());
        Self {
            sequences,
            held: String::new(),
        }
    }

    /// The answer goes on with `text`.
    pub fn push(&mut self, text: &str) -> Found {
        self.held.push_str(text);
        let places = self.sequences.iter().filter_map(|it| self.held.find(it));
        if let Some(first) = places.min() {
            let mut answer = std::mem::take(&mut self.held);
            answer.truncate(first);
            return Found::At(answer);
        }
        let certain = self.held.len() - self.possible();
        let possible = self.held.split_off(certain);
        Found::Not(std::mem::replace(&mut self.held, possible))
    }

    /// What was held back, if nothing follows.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// How many bytes at the end could be the beginning of a text looked for.
    fn possible(&self) -> usize {
        let longest = self.sequences.iter().map(String::len).max().unwrap_or(0);
        let starts = self.held.char_indices().map(|(at, _)| at);
        let near = starts.filter(|at| self.held.len() - at < longest);
        let mut ends = near.map(|at| &self.held[at..]);
        let begins = |end: &&str| self.sequences.iter().any(|it| it.starts_with(end));
        ends.find(begins).map_or(0, str::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is said in all, and whether it was ended.
    fn said(stop: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut sequences = StopSequences::new(stop.iter().map(|it| (*it).into()).collect());
        let mut text = String::new();
        for piece in pieces {
            match sequences.push(piece) {
                Found::Not(more) => text += &more,
                Found::At(rest) => return (text + &rest, true),
            }
        }
        (text + &sequences.finish(), false)
    }

    #[test]
    fn the_first_of_several_ends_it() {
        assert_eq!(said(&["c", "b"], &["abcd"]), ("a".into(), true));
        assert_eq!(said(&["abc", "bc"], &["xa", "b", "c"]), ("x".into(), true));
        assert_eq!(said(&["aab"], &["a", "a", "a", "b"]), ("a".into(), true));
        assert_eq!(said(&["été"], &["l'ét", "at"]), ("l'état".into(), false));
        assert_eq!(said(&[""], &["a"]), ("a".into(), false));
    }

    proptest! {
        #[test]
        fn how_the_text_is_cut_changes_nothing(
            pieces in prop::collection::vec("[abé]{0,4}", 0..8),
            stop in prop::collection::vec("[abé]{1,3}", 0..3),
        ) {
            let whole = pieces.concat();
            let stop: Vec<_> = stop.iter().map(String::as_str).collect();
            let pieces: Vec<_> = pieces.iter().map(String::as_str).collect();
            let (text, ended) = said(&stop, &pieces);
            // What is held back is all that tells them apart: the first that is complete ends it.
            prop_assert!(whole.starts_with(&text));
            prop_assert_eq!(ended, stop.iter().any(|it| whole.contains(it)));
            prop_assert!(stop.iter().all(|it| !text.contains(it)));
            if !ended {
                prop_assert_eq!(text, whole);
            }
        }
    }
}

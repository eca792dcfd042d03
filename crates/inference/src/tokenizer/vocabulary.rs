use std::collections::BTreeSet;

use gguf::{Metadata, Strings};

use super::{Error, Token};

/// What a piece of the vocabulary is, numbered as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Normal,
    /// Stands for what the vocabulary cannot express.
    Unknown,
    /// Structure that is never shown, such as the end of an answer.
    Control,
    /// Text that is always one token, whatever surrounds it.
    UserDefined,
    /// A place without a meaning.
    Unused,
    /// One byte, written `<0x0A>`.
    Byte,
}

impl Kind {
    fn from_id(id: i32) -> Self {
        match id {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            6 => Self::Byte,
            // 5, and what future writers may invent: never shown, never chosen by the tokenizer.
            _ => Self::Unused,
        }
    }
}

/// Control tokens that end an answer although the metadata of most files does not say so: their text is
/// the only sign. The list is that of the chat formats in use.
const END_OF_TURN: [&str; 10] = [
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<EOT>",
    "<eos>",
    "</s>",
];

/// The pieces of text a model knows and which of them have a meaning of their own.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    pieces: Strings,
    kinds: Vec<Kind>,
    /// Starts a text.
    pub bos: Option<Token>,
    /// Ends a text.
    pub eos: Option<Token>,
    /// Stands for what cannot be expressed.
    pub unknown: Option<Token>,
    ends: BTreeSet<Token>,
    /// Tokens with a text of their own, longest first: the order in which they are looked for.
    special: Vec<Token>,
}

/// The ids a kind of tokenizer has where the file names none.
#[derive(Clone, Copy, Default)]
pub(super) struct Defaults {
    pub(super) bos: Option<Token>,
    pub(super) eos: Option<Token>,
    pub(super) unknown: Option<Token>,
}

impl Vocabulary {
    pub(super) fn read(metadata: &Metadata, defaults: Defaults) -> Result<Self, Error> {
        let pieces = metadata.strings("tokenizer.ggml.tokens")?.clone();
        let len = pieces.len();
        let kinds = match metadata.optional::<&[i32]>("tokenizer.ggml.token_type")? {
            None => vec![Kind::Normal; len],
            Some(types) if types.len() == len => types.iter().map(|&t| Kind::from_id(t)).collect(),
            Some(types) => {
                return Err(Error::Lengths {
                    key: "tokenizer.ggml.token_type",
                    found: types.len(),
                    expected: len,
                });
            }
        };
        let mut vocabulary = Self {
            pieces,
            kinds,
            bos: None,
            eos: None,
            unknown: None,
            ends: BTreeSet::new(),
            special: Vec::new(),
        };
        vocabulary.bos = vocabulary.named(metadata, "bos", defaults.bos)?;
        vocabulary.eos = vocabulary.named(metadata, "eos", defaults.eos)?;
        vocabulary.unknown = vocabulary.named(metadata, "unknown", defaults.unknown)?;
        vocabulary.ends.extend(vocabulary.eos);
        for name in ["eot", "eom"] {
            let token = vocabulary.named(metadata, name, None)?;
            vocabulary.ends.extend(token);
        }
        for (token, piece) in (0..).zip(vocabulary.pieces.iter()) {
            let kind = vocabulary.kinds[token as usize];
            if kind == Kind::Control && END_OF_TURN.contains(&piece) {
                vocabulary.ends.insert(token);
            }
            let special = matches!(kind, Kind::Control | Kind::UserDefined | Kind::Unknown);
            if special && !piece.is_empty() {
                vocabulary.special.push(token);
            }
        }
        let (pieces, special) = (&vocabulary.pieces, &mut vocabulary.special);
        // Stable: of two with the same length the lower id comes first.
        special.sort_by_key(|&token| {
            std::cmp::Reverse(pieces.get(token as usize).map_or(0, str::len))
        });
        Ok(vocabulary)
    }

    fn named(
        &self,
        metadata: &Metadata,
        name: &str,
        default: Option<Token>,
    ) -> Result<Option<Token>, Error> {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match metadata.optional::<u32>(&key)? {
            Some(token) if (token as usize) < self.len() => Ok(Some(token)),
            Some(token) => Err(Error::NoSuchToken { key, token }),
            None => Ok(default.filter(|&token| (token as usize) < self.len())),
        }
    }

    /// Number of pieces.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are no pieces.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The piece as the file writes it.
    pub fn piece(&self, token: Token) -> Option<&str> {
        self.pieces.get(token as usize)
    }

    /// All pieces in the order of their ids.
    pub fn pieces(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        self.pieces.iter()
    }

    /// What a token is.
    pub fn kind(&self, token: Token) -> Option<Kind> {
        self.kinds.get(token as usize).copied()
    }

    /// The token that is written like this and has a meaning of its own, such as `[INST]`.
    pub fn special(&self, piece: &str) -> Option<Token> {
        let mut special = self.special.iter().copied();
        special.find(|&token| self.piece(token) == Some(piece))
    }

    /// Whether a model that says this has finished its answer.
    pub fn is_end(&self, token: Token) -> bool {
        self.ends.contains(&token)
    }

    /// The tokens looked for in a text before it is split into pieces; with `control` also those whose
    /// text must not be taken from strangers.
    pub(super) fn special_tokens(&self, control: bool) -> impl Iterator<Item = Token> {
        let special = self.special.iter().copied();
        special.filter(move |&token| control || self.kind(token) == Some(Kind::UserDefined))
    }
}

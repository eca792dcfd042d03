//! Text to tokens and back, from the vocabulary in the model's file.

use gguf::{Metadata, MetadataError};

mod byte_alphabet;
mod byte_pair;
mod pre_tokenizer;
mod sentence_piece;
mod special;
mod stream;
mod vocabulary;

use byte_pair::BytePair;
use pre_tokenizer::PreTokenizer;
use sentence_piece::{SPACE, SentencePiece};
use special::Segment;
pub use stream::Detokenizer;
use vocabulary::Defaults;
pub use vocabulary::{Kind, Vocabulary};

/// The number of a piece of the vocabulary.
pub type Token = u32;

/// Why a vocabulary cannot be used, or a text not be expressed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file lacks something or has it as another type.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A kind of vocabulary this crate does not know.
    #[error("tokenizer model {0:?} is not supported (gpt2 and llama are)")]
    UnsupportedModel(String),
    /// A way of splitting text this crate does not know; a wrong one would give wrong tokens.
    #[error("pre-tokenizer {0:?} is not supported")]
    UnsupportedPreTokenizer(String),
    /// Two lists about the same vocabulary have different lengths.
    #[error("{key} has {found} entries, the vocabulary {expected}")]
    Lengths {
        /// The list.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The vocabulary's.
        expected: usize,
    },
    /// The file names a token that is not in its vocabulary.
    #[error("{key} is {token}, which is not in the vocabulary")]
    NoSuchToken {
        /// Where it is named.
        key: String,
        /// The token.
        token: Token,
    },
    /// A merge is not two pieces with a blank between them.
    #[error("merge {index} of the vocabulary is not two pieces: {merge:?}")]
    InvalidMerge {
        /// Its place in the list.
        index: usize,
        /// Its text.
        merge: String,
    },
    /// Texts have to start with a token the file does not name.
    #[error("texts have to start with a BOS token, but the file names none")]
    NoBos,
    /// Neither pieces nor bytes nor an unknown token can stand for this.
    #[error("the vocabulary cannot express {0:?}")]
    Inexpressible(String),
    /// The library that does the merging refused.
    #[error("tokenizer: {0}")]
    Library(#[source] tokenizers::Error),
}

/// What to make of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encode {
    /// Whether to start with the BOS token (and end with EOS) if the model's texts do.
    pub add_special: bool,
    /// Whether `[INST]`, `</s>` and the like in the text are tokens. Never for what a user typed.
    pub parse_special: bool,
}

/// A model's vocabulary with the rules to split text into it.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    algorithm: Algorithm,
    add_bos: bool,
    add_eos: bool,
    add_space_prefix: bool,
}

#[derive(Clone, Debug)]
enum Algorithm {
    BytePair(Box<BytePair>),
    SentencePiece(SentencePiece),
}

impl Tokenizer {
    /// Reads a file's vocabulary.
    pub fn new(metadata: &Metadata) -> Result<Self, Error> {
        let model = metadata.str("tokenizer.ggml.model")?;
        let (vocabulary, algorithm, add_bos) = match model {
            "gpt2" => {
                let pre = PreTokenizer::read(metadata)?;
                let vocabulary = Vocabulary::read(metadata, Defaults::default())?;
                let byte_pair = BytePair::read(metadata, &vocabulary, pre)?;
                let algorithm = Algorithm::BytePair(Box::new(byte_pair));
                (vocabulary, algorithm, pre.add_bos)
            }
            "llama" => {
                // What files of this kind leave out, because the first models all had it so.
                let defaults = Defaults {
                    unknown: Some(0),
                    bos: Some(1),
                    eos: Some(2),
                };
                let vocabulary = Vocabulary::read(metadata, defaults)?;
                let sentence_piece = SentencePiece::read(metadata, &vocabulary)?;
                (vocabulary, Algorithm::SentencePiece(sentence_piece), true)
            }
            other => return Err(Error::UnsupportedModel(other.to_owned())),
        };
        let flag = |name: &str, default: bool| {
            let value = metadata.optional::<bool>(&format!("tokenizer.ggml.{name}"))?;
            Ok::<_, Error>(value.unwrap_or(default))
        };
        let add_bos = flag("add_bos_token", add_bos)?;
        if add_bos && vocabulary.bos.is_none() {
            return Err(Error::NoBos);
        }
        let sentence_piece = matches!(algorithm, Algorithm::SentencePiece(_));
        Ok(Self {
            vocabulary,
            algorithm,
            add_bos,
            add_eos: flag("add_eos_token", false)?,
            add_space_prefix: sentence_piece && flag("add_space_prefix", true)?,
        })
    }

    /// The pieces.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Whether texts start with the BOS token.
    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    /// The tokens of a text.
    pub fn encode(&self, text: &str, options: Encode) -> Result<Vec<Token>, Error> {
        let mut tokens = Vec::new();
        if options.add_special && self.add_bos {
            tokens.extend(self.vocabulary.bos);
        }
        let mut after_special = true;
        for segment in special::split(&self.vocabulary, text, options.parse_special) {
            match segment {
                Segment::Special(token) => tokens.push(token),
                Segment::Text(text) => self.encode_text(text, after_special, &mut tokens)?,
            }
            after_special = matches!(segment, Segment::Special(_));
        }
        if options.add_special && self.add_eos {
            tokens.extend(self.vocabulary.eos);
        }
        Ok(tokens)
    }

    fn encode_text(
        &self,
        text: &str,
        after_special: bool,
        tokens: &mut Vec<Token>,
    ) -> Result<(), Error> {
        match &self.algorithm {
            Algorithm::BytePair(byte_pair) => byte_pair.encode(text, tokens),
            Algorithm::SentencePiece(sentence_piece) => {
                let mut escaped = String::with_capacity(text.len() + SPACE.len_utf8());
                if self.add_space_prefix && after_special {
                    escaped.push(SPACE);
                }
                escaped.extend(text.chars().map(|c| if c == ' ' { SPACE } else { c }));
                sentence_piece.encode(&escaped, tokens)
            }
        }
    }

    /// The text of tokens; control tokens have none. What is not UTF-8 is replaced.
    pub fn decode(&self, tokens: &[Token]) -> String {
        let mut detokenizer = Detokenizer::new(self, None);
        let mut text = String::new();
        for &token in tokens {
            text.push_str(&detokenizer.push(self, token));
        }
        text + &detokenizer.finish()
    }

    /// Appends the bytes a token stands for: none for control tokens, and not necessarily whole
    /// characters for others.
    pub fn bytes(&self, token: Token, bytes: &mut Vec<u8>) {
        let Some((piece, kind)) = self
            .vocabulary
            .piece(token)
            .zip(self.vocabulary.kind(token))
        else {
            return;
        };
        match (kind, &self.algorithm) {
            (Kind::Control | Kind::Unknown | Kind::Unused, _) => {}
            (Kind::UserDefined, _) => bytes.extend_from_slice(piece.as_bytes()),
            (Kind::Byte, _) => {
                let hex = piece
                    .strip_prefix("<0x")
                    .and_then(|rest| rest.strip_suffix('>'));
                bytes.extend(hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()));
            }
            (Kind::Normal, Algorithm::SentencePiece(_)) => {
                bytes.extend_from_slice(piece.replace(SPACE, " ").as_bytes());
            }
            (Kind::Normal, Algorithm::BytePair(_)) => {
                for c in piece.chars() {
                    match byte_alphabet::byte_of(c) {
                        Some(byte) => bytes.push(byte),
                        None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
            }
        }
    }
}

use gguf::Metadata;
use tokenizers::{
    DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
    SplitDelimiterBehavior, TokenizerImpl,
    models::bpe::{BPE, Vocab},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence,
        split::{Split, SplitPattern},
    },
};

use super::{Error, Token, Vocabulary};

type Library = TokenizerImpl<
    BPE,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// A byte-level byte-pair vocabulary (`gpt2`), by the `tokenizers` crate.
///
/// The crate splits text into words and merges bytes as the vocabularies' makers meant it. Special tokens
/// and the way back to text stay here, because they are the same for both kinds of vocabulary and because
/// an answer has to be shown byte by byte. It costs 170 KB of compressed wasm beyond the regular
/// expressions, which any implementation needs.
#[derive(Clone, Debug)]
pub(super) struct BytePair {
    library: Library,
}

/// How a family of vocabularies splits text into words before merging.
pub(super) struct PreTokenizer {
    /// Names in `tokenizer.ggml.pre`.
    names: &'static [&'static str],
    /// Regular expressions, each splitting further what the one before left.
    patterns: &'static [&'static str],
    /// Whether a word that is a piece is taken whole, even if merges would not lead there.
    ignore_merges: bool,
    /// Whether texts start with the BOS token where the file does not say.
    pub(super) add_bos: bool,
}

const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)";

const PRE_TOKENIZERS: [PreTokenizer; 5] = [
    PreTokenizer {
        names: &["tekken"],
        patterns: &[concat!(
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
            r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
            r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ignore_merges: true,
        add_bos: true,
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3"],
        patterns: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ignore_merges: true,
        add_bos: true,
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen"],
        patterns: &[concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ignore_merges: false,
        add_bos: false,
    },
    PreTokenizer {
        names: &["gpt-2"],
        patterns: &[GPT_2],
        ignore_merges: false,
        add_bos: false,
    },
    PreTokenizer {
        names: &["default"],
        patterns: &[r"[\p{P}\$\+<=>\^~\|]+", GPT_2, r"\p{N}+", "[0-9][0-9][0-9]"],
        ignore_merges: false,
        add_bos: false,
    },
];

impl PreTokenizer {
    /// The one a file asks for; one that names none gets `default`, as llama.cpp does it.
    pub(super) fn read(metadata: &Metadata) -> Result<&'static Self, Error> {
        let name = metadata.optional::<&str>("tokenizer.ggml.pre")?;
        let name = name.unwrap_or("default");
        let mut known = PRE_TOKENIZERS.iter();
        known
            .find(|pre| pre.names.contains(&name))
            .ok_or_else(|| Error::UnsupportedPreTokenizer(name.to_owned()))
    }
}

impl BytePair {
    pub(super) fn read(
        metadata: &Metadata,
        vocabulary: &Vocabulary,
        pre: &PreTokenizer,
    ) -> Result<Self, Error> {
        // From the end, so that the lowest id wins where a piece occurs twice.
        let pieces: Vec<&str> = vocabulary.pieces().collect();
        let tokens: Vocab = (0..)
            .zip(&pieces)
            .map(|(token, &piece)| (piece.to_owned(), token))
            .collect::<Vec<(String, Token)>>()
            .into_iter()
            .rev()
            .collect();
        let mut merges = Vec::new();
        for (index, merge) in metadata
            .strings("tokenizer.ggml.merges")?
            .iter()
            .enumerate()
        {
            // The first character may itself be a blank in odd vocabularies.
            let blank = merge.char_indices().skip(1).find(|&(_, c)| c == ' ');
            let Some((blank, _)) = blank else {
                return Err(Error::InvalidMerge {
                    index,
                    merge: merge.to_owned(),
                });
            };
            let (left, right) = (&merge[..blank], &merge[blank + 1..]);
            // A merge to no piece leads nowhere; the crate would refuse the whole vocabulary.
            let is_piece = |piece: &str| tokens.contains_key(piece);
            if is_piece(left) && is_piece(right) && is_piece(&[left, right].concat()) {
                merges.push((left.to_owned(), right.to_owned()));
            }
        }
        let mut model = BPE::builder()
            .vocab_and_merges(tokens, merges)
            .ignore_merges(pre.ignore_merges);
        if let Some(unknown) = vocabulary.unknown.and_then(|token| vocabulary.piece(token)) {
            model = model.unk_token(unknown.to_owned());
        }
        let model = model.build().map_err(Error::Library)?;
        let mut steps = Vec::new();
        for pattern in pre.patterns {
            let pattern = SplitPattern::Regex((*pattern).to_owned());
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
            steps.push(PreTokenizerWrapper::from(split.map_err(Error::Library)?));
        }
        steps.push(ByteLevel::new(false, false, false).into());
        let mut library = Library::new(model);
        library.with_pre_tokenizer(Some(PreTokenizerWrapper::from(Sequence::new(steps))));
        Ok(Self { library })
    }

    pub(super) fn encode(&self, text: &str, tokens: &mut Vec<Token>) -> Result<(), Error> {
        let encoding = self
            .library
            .encode_fast(text, false)
            .map_err(Error::Library)?;
        tokens.extend_from_slice(encoding.get_ids());
        Ok(())
    }
}

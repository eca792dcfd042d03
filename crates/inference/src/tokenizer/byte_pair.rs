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

use super::{Error, Token, Vocabulary, pre_tokenizer::PreTokenizer};

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

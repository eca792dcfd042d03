use crate::{
    compute::{self, Arithmetic},
    executor::{self, CacheKind},
    requests::ResponseError,
    sampling::{InvalidSampling, Sampling},
    tokenizer::Token,
};

/// Tokens of a prompt that go through the layers together, where nothing else is chosen.
pub const DEFAULT_BATCH: usize = 64;

/// The least share of the experts' work that an answer should have where nothing else is chosen. It is a guess that errs
/// on the safe side: with one expert of ten away, most tokens of most layers have all of theirs.
pub const LEAST_EXPERTS: f32 = 0.9;

/// Bytes of states kept for stages elsewhere, where nothing else is chosen: 3,000 tokens of a model of 5,120 values in one
/// stage.
pub const KEPT_STATES: usize = 64 << 20;

/// What a session is given once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The most tokens of prompt and answer together; the model's own limit, if that is less. Memory for
    /// them is taken as they come:
    /// [`cache_bytes_per_token`](crate::Hyperparameters::cache_bytes_per_token).
    pub context: usize,
    /// Tokens of a prompt that go through the layers together. Changes no bit of the answer.
    pub batch: usize,
    /// How products are computed.
    pub arithmetic: Arithmetic,
    /// How keys and values are kept; where nothing is chosen, as the arithmetic
    /// [asks for](CacheKind::for_arithmetic).
    pub cache: Option<CacheKind>,
    /// The least share of the experts' work that has to be there, 0 to 1: below 1, what nobody can compute any more is
    /// left out by [`Session::do_without`](super::Session::do_without).
    pub least_experts: f32,
    /// Bytes of states kept, so that [stages](crate::stage) which others run can be made again elsewhere. What is beyond is
    /// computed again from the first token then.
    pub kept_states: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            context: usize::MAX,
            batch: DEFAULT_BATCH,
            arithmetic: Arithmetic::Quantised,
            cache: None,
            least_experts: 1.0,
            kept_states: KEPT_STATES,
        }
    }
}

/// What is wanted of one answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Generation {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The answer ends after this many tokens, if the model does not end it before.
    pub max_tokens: usize,
    /// Whether to go on after tokens that end an answer.
    pub ignore_end: bool,
    /// Which logits to tell.
    pub logits: Logits,
}

impl Default for Generation {
    fn default() -> Self {
        Self {
            sampling: Sampling::default(),
            max_tokens: usize::MAX,
            ignore_end: false,
            logits: Logits::None,
        }
    }
}

/// Which logits a session tells. Each is as long as the vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Logits {
    /// None.
    #[default]
    None,
    /// Those from which a token was chosen.
    Chosen,
    /// Those behind every token of the prompt, too.
    All,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// So many tokens of the prompt were read.
    Prompt {
        /// Tokens read so far, those kept from before included.
        read: usize,
        /// All of them.
        total: usize,
    },
    /// What may follow the token at `position`, as asked for by [`Generation::logits`].
    Logits {
        /// The position, counted from 0.
        position: usize,
        /// One value for each token of the vocabulary.
        values: Vec<f32>,
    },
    /// The next token of what the model thinks before it answers; no text for the marks around it. Whoever shows
    /// an answer folds this away. See [`thinking`](crate::thinking).
    Thinking {
        /// The token.
        token: Token,
        /// The text that is complete with it; often none.
        text: String,
    },
    /// The next token of the answer.
    Token {
        /// The token.
        token: Token,
        /// The text that is complete with it; often none.
        text: String,
    },
    /// The answer is finished; nothing follows.
    Done(FinishReason),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it.
    End,
    /// It has as many tokens as were asked for.
    Length,
    /// There is no room for more.
    ContextFull,
    /// [`Session::cancel`] was called.
    Cancelled,
}

/// A session cannot go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A prompt has one token at least.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// A token that the model does not have.
    #[error("token {0} is not in the vocabulary")]
    NoSuchToken(Token),
    /// The settings of the sampling.
    #[error(transparent)]
    Sampling(#[from] InvalidSampling),
    /// The executor cannot go on, or refused a response.
    #[error(transparent)]
    Executor(#[from] executor::Error),
    /// A batch of no tokens or of too many.
    #[error("batches of {0} tokens, 1 to {max} are possible", max = compute::MAX_TOKENS)]
    Batch(usize),
}

impl From<ResponseError> for Error {
    fn from(error: ResponseError) -> Self {
        Self::Executor(error.into())
    }
}

impl From<kernels::Error> for Error {
    fn from(error: kernels::Error) -> Self {
        Self::Executor(error.into())
    }
}

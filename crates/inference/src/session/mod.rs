//! From a prompt to an answer.

mod feed;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    compute::{self, Arithmetic, Response},
    executor::{self, Executor},
    model::{Model, SmallTensors},
    requests::{RequestId, RequestIds, Requests},
    sampling::{InvalidSampling, Sampling},
    tokenizer::{Detokenizer, Token},
};
use feed::{Feed, Task};

/// Tokens of a prompt that go through the layers together, where nothing else is chosen.
pub const DEFAULT_BATCH: usize = 64;

/// What a session is given once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// The most tokens of prompt and answer together; the model's own limit, if that is less.
    pub context: usize,
    /// Tokens of a prompt that go through the layers together. Changes no bit of the answer.
    pub batch: usize,
    /// How products are computed.
    pub arithmetic: Arithmetic,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            context: usize::MAX,
            batch: DEFAULT_BATCH,
            arithmetic: Arithmetic::Quantised,
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

impl From<crate::requests::ResponseError> for Error {
    fn from(error: crate::requests::ResponseError) -> Self {
        Self::Executor(error.into())
    }
}

impl From<kernels::Error> for Error {
    fn from(error: kernels::Error) -> Self {
        Self::Executor(error.into())
    }
}

/// A conversation's state: its tokens, their keys and values, and where the answer stands.
///
/// Like the [`Executor`] it contains, it neither waits nor computes with weights: it asks
/// ([`poll_request`](Self::poll_request)), takes answers in any order
/// ([`handle_response`](Self::handle_response)) and tells what happened
/// ([`poll_event`](Self::poll_event)). After each call of one, poll the other two until they are empty.
///
/// Whatever is lost with it can be had again from its [tokens](Self::tokens):
/// [`resume`](Self::resume) on another machine goes on with the same answer.
#[derive(Debug)]
pub struct Session {
    model: Arc<Model>,
    small: Arc<SmallTensors>,
    config: Config,
    executor: Executor,
    requests: Requests<Task>,
    /// Prompt and answer so far.
    tokens: Vec<Token>,
    /// Where the answer starts.
    answer: usize,
    generation: Generation,
    detokenizer: Detokenizer,
    feed: Feed,
    events: VecDeque<Event>,
}

impl Session {
    /// A session of a model whose small tensors are at hand.
    pub fn new(model: Arc<Model>, small: Arc<SmallTensors>, config: Config) -> Result<Self, Error> {
        if !(1..=compute::MAX_TOKENS).contains(&config.batch) {
            return Err(Error::Batch(config.batch));
        }
        let ids = RequestIds::default();
        let layers = 0..model.hyperparameters().layers;
        let executor = Executor::with_ids(
            model.clone(),
            small.clone(),
            layers,
            config.context,
            config.arithmetic,
            ids.clone(),
        )?;
        Ok(Self {
            model,
            small,
            config,
            executor,
            requests: Requests::new(ids),
            tokens: Vec::new(),
            answer: 0,
            generation: Generation::default(),
            detokenizer: Detokenizer::default(),
            feed: Feed::Idle,
            events: VecDeque::new(),
        })
    }

    /// Starts an answer to a prompt. What the prompt has in common with the tokens before, as the next
    /// question of a conversation has, is not computed again.
    pub fn begin(&mut self, prompt: &[Token], generation: Generation) -> Result<(), Error> {
        self.resume(prompt, prompt.len(), generation)
    }

    /// Goes on with an answer that another session began: `tokens` are its prompt, as long as `prompt`
    /// says, and what it answered so far. [`Generation::max_tokens`] counts from the answer's start.
    pub fn resume(
        &mut self,
        tokens: &[Token],
        prompt: usize,
        generation: Generation,
    ) -> Result<(), Error> {
        generation.sampling.validate()?;
        let rows = self.model.hyperparameters().n_vocab;
        if let Some(&token) = tokens.iter().find(|&&token| token as usize >= rows) {
            return Err(Error::NoSuchToken(token));
        }
        let Some(last) = tokens.len().checked_sub(1) else {
            return Err(Error::EmptyPrompt);
        };
        let (wanted, limit) = (tokens.len(), self.executor.context());
        if wanted > limit {
            return Err(executor::Error::ContextFull { wanted, limit }.into());
        }
        let known = self
            .tokens
            .iter()
            .zip(tokens)
            .take_while(|(a, b)| a == b)
            .count();
        // The last is always read, because its logits are needed; for all logits everything is.
        let kept = match generation.logits {
            Logits::All => 0,
            Logits::None | Logits::Chosen => known.min(last),
        };
        self.stop();
        self.executor.truncate(kept);
        self.tokens = tokens.to_vec();
        self.answer = prompt.min(tokens.len());
        self.generation = generation;
        let (before, said) = tokens.split_at(self.answer);
        let tokenizer = self.model.tokenizer();
        self.detokenizer = Detokenizer::new(tokenizer, before.last().copied());
        for &token in said {
            // Was shown already; but a character may be half complete.
            self.detokenizer.push(tokenizer, token);
        }
        self.feed_next()
    }

    /// The next request that has to be answered. Call it until there is none, then wait for answers.
    pub fn poll_request(&mut self) -> Option<(RequestId, compute::Request)> {
        self.requests
            .poll()
            .or_else(|| self.executor.poll_request())
    }

    /// Takes an answer to a request. One that nobody waits for, any more, changes nothing.
    ///
    /// After an error about the response nothing has changed and the request is still open:
    /// [`retry`](Self::retry) hands it out again.
    pub fn handle_response(&mut self, id: RequestId, response: Response) -> Result<(), Error> {
        match self.requests.close(id, &response)? {
            Some(task) => self.handle_own(task, response),
            None => {
                self.executor.handle_response(id, response)?;
                match self.executor.poll_output() {
                    Some(hidden) => self.handle_hidden(hidden),
                    None => Ok(()),
                }
            }
        }
    }

    /// Hands out a request again that got no answer, or a wrong one. False if nobody waits for it.
    pub fn retry(&mut self, id: RequestId) -> bool {
        self.requests.retry(id) || self.executor.retry(id)
    }

    /// Requests that were not answered yet.
    pub fn open_requests(&self) -> usize {
        self.requests.len() + self.executor.open_requests()
    }

    /// What happened, once each.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends the answer here. Late answers to its requests change nothing; the tokens so far are kept, and
    /// the next prompt may go on from them.
    pub fn cancel(&mut self) {
        if !matches!(self.feed, Feed::Idle) {
            self.finish(FinishReason::Cancelled);
        }
    }

    /// Prompt and answer so far: all that is needed to go on elsewhere.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The answer so far.
    pub fn answer(&self) -> &[Token] {
        &self.tokens[self.answer..]
    }

    /// Whether an answer is under way.
    pub fn is_busy(&self) -> bool {
        !matches!(self.feed, Feed::Idle)
    }

    /// The most tokens of prompt and answer together.
    pub fn context(&self) -> usize {
        self.executor.context()
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Drops what is on its way; what came through all layers is kept.
    fn stop(&mut self) {
        self.feed = Feed::Idle;
        self.requests.clear();
        self.executor.truncate(self.executor.position());
    }

    fn finish(&mut self, reason: FinishReason) {
        let text = self.detokenizer.finish();
        if let (false, Some(&token)) = (text.is_empty(), self.answer().last()) {
            // A character that was never completed belongs to the last token.
            self.events.push_back(Event::Token { token, text });
        }
        self.stop();
        self.events.push_back(Event::Done(reason));
    }
}

//! From a prompt to an answer.

mod feed;
mod options;

use std::{collections::VecDeque, sync::Arc};

use crate::{
    compute::{self, Arithmetic, Response},
    executor::{self, Missing},
    model::{Model, SmallTensors},
    requests::{Parts, RequestId, RequestIds, Requests},
    stage::{self, CallId, Chain, Runner, Settings, Stage},
    thinking::{Part, Splitter},
    tokenizer::{Detokenizer, Token},
};
use feed::{Feed, Task};
pub use options::{
    Config, DEFAULT_BATCH, Error, Event, FinishReason, Generation, KEPT_STATES, LEAST_EXPERTS,
    Logits,
};

/// A conversation's state: its tokens, their keys and values, and where the answer stands.
///
/// Like an [`Executor`](crate::Executor), it neither waits nor computes with weights: it asks
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
    layers: Chain,
    requests: Requests<Task>,
    /// Prompt and answer so far.
    tokens: Vec<Token>,
    /// Where the answer starts.
    answer: usize,
    generation: Generation,
    detokenizer: Detokenizer,
    splitter: Splitter,
    feed: Feed,
    /// From this position on logits were not told yet.
    untold: usize,
    events: VecDeque<Event>,
}

impl Session {
    /// A session of a model whose small tensors are at hand.
    pub fn new(model: Arc<Model>, small: Arc<SmallTensors>, config: Config) -> Result<Self, Error> {
        if !(1..=compute::MAX_TOKENS).contains(&config.batch) {
            return Err(Error::Batch(config.batch));
        }
        let ids = RequestIds::default();
        let settings = Settings {
            context: config.context,
            arithmetic: config.arithmetic,
            cache: config.cache,
            least_experts: config.least_experts,
            kept: config.kept_states,
        };
        let layers = Chain::new(model.clone(), small.clone(), settings, ids.clone())?;
        Ok(Self {
            model,
            small,
            config,
            layers,
            requests: Requests::new(ids),
            tokens: Vec::new(),
            answer: 0,
            generation: Generation::default(),
            detokenizer: Detokenizer::default(),
            splitter: Splitter::default(),
            feed: Feed::Idle,
            untold: 0,
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
        let (wanted, limit) = (tokens.len(), self.layers.context());
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
        self.layers.truncate(kept);
        if self.layers.position() == 0 {
            self.requests.forget_closed();
        }
        self.untold = kept;
        self.tokens = tokens.to_vec();
        self.answer = prompt.min(tokens.len());
        self.generation = generation;
        let (before, said) = tokens.split_at(self.answer);
        let tokenizer = self.model.tokenizer();
        self.detokenizer = Detokenizer::new(tokenizer, before.last().copied());
        self.splitter = Splitter::new(tokenizer, before);
        for &token in said {
            // Was shown already; but a character, or a mark around thoughts, may be half complete.
            let text = self.detokenizer.push(tokenizer, token);
            self.splitter.push(token, &text);
        }
        self.feed_next()
    }

    /// The next request that has to be answered. Call it until there is none, then wait for answers.
    pub fn poll_request(&mut self) -> Option<(RequestId, compute::Request)> {
        self.requests.poll().or_else(|| self.layers.poll_request())
    }

    /// Takes an answer to a request. One that nobody waits for, any more, changes nothing.
    ///
    /// After an error about the response nothing has changed and the request is still open:
    /// [`retry`](Self::retry) hands it out again.
    pub fn handle_response(&mut self, id: RequestId, response: Response) -> Result<(), Error> {
        match self.requests.close(id, &response)? {
            Some(task) => self.handle_own(task, response),
            None => {
                self.layers.handle_response(id, response)?;
                self.hear_layers()
            }
        }
    }

    /// What has come through the layers goes on; or everything is read again.
    fn hear_layers(&mut self) -> Result<(), Error> {
        if self.layers.take_lost() {
            self.layers.truncate(0);
            self.requests.forget_closed();
            return self.feed_next();
        }
        match self.layers.poll_output() {
            Some(hidden) => self.handle_hidden(hidden),
            None => Ok(()),
        }
    }

    /// Who runs which layers.
    pub fn stages(&self) -> Vec<Stage> {
        self.layers.stages()
    }

    /// From now on these run the layers, also those for the tokens on their way: nothing is lost, whoever ran them before,
    /// and no bit changes. What somebody new has not seen is sent to them once, as far as it is
    /// [kept](Config::kept_states), or else computed again from the first token.
    ///
    /// # Errors
    /// If these are not all layers in their order; then nothing has changed.
    pub fn set_stages(&mut self, stages: &[Stage]) -> Result<(), Error> {
        self.layers.set_stages(stages)?;
        self.hear_layers()
    }

    /// The next request for whoever runs a stage elsewhere. Call it until there is none, as
    /// [`poll_request`](Self::poll_request). If it fails, [`set_stages`](Self::set_stages) says who is asked instead.
    pub fn poll_stage(&mut self) -> Option<(CallId, Runner, stage::Request)> {
        self.layers.poll_call()
    }

    /// Takes the answer of whoever runs a stage. One that nobody waits for, any more, changes nothing.
    ///
    /// # Errors
    /// If it is no answer to what was asked; somebody else has to be asked then.
    pub fn handle_stage(&mut self, id: CallId, response: stage::Response) -> Result<(), Error> {
        self.layers.handle_call(id, response)?;
        self.hear_layers()
    }

    /// Hands out a request again that got no answer, or a wrong one. False if nobody waits for it.
    pub fn retry(&mut self, id: RequestId) -> bool {
        self.requests.retry(id) || self.layers.retry(id)
    }

    /// Goes on without the answer to a request, because nobody is left who could give it, if the model's answer is still
    /// the model's then: see [`Executor::do_without`](crate::Executor::do_without).
    pub fn do_without(&mut self, id: RequestId) -> Result<Missing, Error> {
        if self.requests.task(id).is_some() {
            return Ok(Missing::Needed);
        }
        let missing = self.layers.do_without(id)?;
        self.hear_layers()?;
        Ok(missing)
    }

    /// Requests that were not answered yet.
    pub fn open_requests(&self) -> usize {
        self.requests.len() + self.layers.open_requests()
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
        self.layers.context()
    }

    /// How products are computed.
    pub fn arithmetic(&self) -> Arithmetic {
        self.config.arithmetic
    }

    /// What the answer is made of. What it goes on from, a conversation's earlier turns, is
    /// counted too, as far as it was kept: an answer is no more exact than the keys and values it looks back on.
    pub fn parts(&self) -> Parts {
        self.requests.closed() + self.layers.parts()
    }

    /// The model.
    pub fn model(&self) -> &Arc<Model> {
        &self.model
    }

    /// Drops what is on its way; what came through all layers is kept.
    fn stop(&mut self) {
        self.feed = Feed::Idle;
        self.requests.clear();
        self.layers.truncate(self.layers.position());
    }

    fn finish(&mut self, reason: FinishReason) {
        // Nothing, unless the answer is cancelled.
        if let Some(&token) = self.answer().last() {
            let said = self.leftover(token);
            self.tell(token, said);
        }
        self.stop();
        self.events.push_back(Event::Done(reason));
    }

    /// A character that was never completed, or what looked like a mark: they belong to the last token.
    fn leftover(&mut self, token: Token) -> Vec<(Part, String)> {
        let text = self.detokenizer.finish();
        let mut said = self.splitter.push_text_of(token, &text);
        said.extend(self.splitter.finish());
        said
    }

    /// Says what became certain with a token.
    fn tell(&mut self, token: Token, mut said: Vec<(Part, String)>) {
        said.dedup_by(|(part, text), (previous, all)| {
            let same = part == previous;
            if same {
                all.push_str(text);
            }
            same
        });
        self.events
            .extend(said.into_iter().map(|(part, text)| match part {
                Part::Thinking => Event::Thinking { token, text },
                Part::Answer => Event::Token { token, text },
            }));
    }
}

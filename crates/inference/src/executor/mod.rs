//! Tokens through a range of layers.

mod attention;
mod batch;
mod cache;
mod experts;
mod feed_forward;
mod inputs;
mod latent;

use std::{ops::Range, sync::Arc};

use architecture::Role;
use batch::{Batch, Phase};
pub use cache::{CacheKind, UnknownCacheKind};
use cache::{Heads, LayerCache, Room};
pub(crate) use inputs::{Inputs, norm_rows};

use crate::{
    compute::{Arithmetic, MAX_TOKENS, Request, Response},
    model::{Model, SmallTensors},
    requests::{Parts, RequestId, RequestIds, Requests, ResponseError},
    rope::Rope,
};

/// An executor cannot go on.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The tokens do not fit behind those before them.
    #[error("{wanted} tokens do not fit into a context of {limit}")]
    ContextFull {
        /// Tokens there would be.
        wanted: usize,
        /// Tokens there can be.
        limit: usize,
    },
    /// Tokens are still on their way.
    #[error("the executor is busy with the tokens before")]
    Busy,
    /// No tokens, too many, or rows that are not as wide as the model.
    #[error("{0} values are not the states of 1 to {MAX_TOKENS} tokens")]
    Batch(usize),
    /// Layers the model does not have.
    #[error("the model has no layers {0:?}")]
    Layers(Range<u32>),
    /// A response was refused; its request stays open.
    #[error(transparent)]
    Response(#[from] ResponseError),
    /// A kernel refused what follows from the model. Checks made when the model was read exclude it.
    #[error(transparent)]
    Kernel(#[from] kernels::Error),
}

/// Runs tokens through a range of layers and keeps their keys and values.
///
/// It has no threads, sockets or clocks. It says which requests it needs answered
/// ([`poll_request`](Self::poll_request)), takes the answers in any order
/// ([`handle_response`](Self::handle_response)) and gives the tokens' states when it has them
/// ([`poll_output`](Self::poll_output)). All results depend on the model and the tokens only: not on who
/// answers, nor when, nor on how the tokens are batched.
#[derive(Debug)]
pub struct Executor {
    model: Arc<Model>,
    small: Arc<SmallTensors>,
    layers: Range<u32>,
    context: usize,
    arithmetic: Arithmetic,
    rope: Rope,
    heads: Heads,
    cache: Vec<LayerCache>,
    position: usize,
    requests: Requests<Task>,
    batch: Option<Batch>,
    output: Option<Vec<f32>>,
    room: Room,
    least_experts: f32,
}

/// Whether an answer can go on without what nobody can compute any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It does, and is counted as such: [`Parts::left_out`].
    LeftOut,
    /// No: every token needs it.
    Needed,
    /// It would be the model's answer no longer.
    TooMany {
        /// How often a token on its way would do without an expert.
        left_out: usize,
        /// How often it is to have one.
        of: usize,
    },
}

/// What an answer is for. Indices are those of the model's layout and of the phase's sums.
#[derive(Clone, Debug)]
enum Task {
    Latent { of: Role, columns: Range<usize> },
    Heads { part: usize },
    AttentionOutput { part: usize },
    FeedForward { part: usize },
    Expert { group: usize, part: usize },
}

impl Executor {
    /// For these layers of a model, and texts of at most `context` tokens.
    pub fn new(
        model: Arc<Model>,
        small: Arc<SmallTensors>,
        layers: Range<u32>,
        context: usize,
        arithmetic: Arithmetic,
    ) -> Result<Self, Error> {
        Self::with_ids(
            model,
            small,
            layers,
            context,
            arithmetic,
            RequestIds::default(),
        )
    }

    pub(crate) fn with_ids(
        model: Arc<Model>,
        small: Arc<SmallTensors>,
        layers: Range<u32>,
        context: usize,
        arithmetic: Arithmetic,
        ids: RequestIds,
    ) -> Result<Self, Error> {
        let h = model.hyperparameters();
        if layers.is_empty() || layers.end > h.layers {
            return Err(Error::Layers(layers));
        }
        let kept = h.kept();
        let kind = CacheKind::for_arithmetic(arithmetic);
        let heads = Heads {
            group: h.group(),
            key: kept.key,
            value: kept.value,
            scale: h.attention_scale,
        };
        Ok(Self {
            rope: Rope::new(&h.rope, small.rope_factors.as_deref()),
            cache: vec![LayerCache::new(kind, kept, h.sliding_window); layers.len()],
            context: context.min(h.context_length),
            model,
            small,
            layers,
            arithmetic,
            heads,
            position: 0,
            requests: Requests::new(ids),
            batch: None,
            output: None,
            room: Room::default(),
            least_experts: 1.0,
        })
    }

    /// Whether a request is its own, and not answered yet.
    pub(crate) fn waits_for(&self, id: RequestId) -> bool {
        self.requests.is_open(id)
    }

    /// Tokens whose keys and values are kept.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The most tokens there can be.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The same with keys and values kept in another way than the arithmetic asks for. Forgets all tokens.
    #[must_use]
    pub fn with_cache(mut self, kind: CacheKind) -> Self {
        let h = self.model.hyperparameters();
        let layer = LayerCache::new(kind, h.kept(), h.sliding_window);
        self.cache.fill(layer);
        self.truncate(0);
        self
    }

    /// The same, but it refuses to go on with less than this share of what experts are to do for the tokens on their way.
    #[must_use]
    pub fn with_least_experts(self, share: f32) -> Self {
        Self {
            least_experts: share,
            ..self
        }
    }

    /// Forgets the tokens from `position` on, and those on their way. Forgets all of them if those that the next
    /// one would look at were dropped, because no later one would.
    pub fn truncate(&mut self, position: usize) {
        self.requests.clear();
        self.batch = None;
        self.output = None;
        self.position = self.position.min(position);
        if !self.cache.iter().all(|cache| cache.reaches(self.position)) {
            self.position = 0;
        }
        if self.position == 0 {
            self.requests.forget_closed();
        }
        for cache in &mut self.cache {
            cache.truncate(self.position);
        }
    }

    /// Sends the states of the next tokens into the first layer, one row for each.
    ///
    /// Call it when the output of those before was taken, or none were before.
    pub fn begin(&mut self, hidden: Vec<f32>) -> Result<(), Error> {
        if self.batch.is_some() || self.output.is_some() {
            return Err(Error::Busy);
        }
        let width = self.model.hyperparameters().n_embd;
        let tokens = hidden.len() / width;
        if !(1..=MAX_TOKENS).contains(&tokens) || !hidden.len().is_multiple_of(width) {
            return Err(Error::Batch(hidden.len()));
        }
        let wanted = self.position + tokens;
        if wanted > self.context {
            let limit = self.context;
            return Err(Error::ContextFull { wanted, limit });
        }
        for cache in &mut self.cache {
            cache.drop_unseen();
        }
        let positions = self.position..wanted;
        let temperature = self.model.hyperparameters().temperature;
        let scale = |position| temperature.map(|temperature| temperature.at(position));
        let batch = Batch {
            start: self.position,
            hidden,
            scales: positions.clone().map(scale).collect(),
            rotations: positions.map(|position| self.rope.at(position)).collect(),
            layer: self.layers.start,
            phase: Phase::Between,
            left_out: 0,
        };
        self.start_attention(batch)
    }

    /// The next request that has to be answered. Call it until there is none, then wait for answers.
    pub fn poll_request(&mut self) -> Option<(RequestId, Request)> {
        self.requests.poll()
    }

    /// Takes an answer. One that nobody waits for, any more, changes nothing. After an error the request
    /// is still open: [`retry`](Self::retry) hands it out again.
    pub fn handle_response(&mut self, id: RequestId, response: Response) -> Result<(), Error> {
        let Some(task) = self.requests.close(id, &response)? else {
            return Ok(());
        };
        let Some(mut batch) = self.batch.take() else {
            return Ok(());
        };
        let values = response.values;
        match (task, &mut batch.phase) {
            (Task::Latent { of, columns }, Phase::Latents(latents)) => {
                latents.put(of == Role::QueryDown, &columns, &values);
                if latents.is_complete() {
                    return self.finish_latents(batch);
                }
            }
            (Task::Heads { part }, _) => self.attend(part, values, &batch)?,
            (Task::AttentionOutput { part }, Phase::Attention(sum)) => {
                sum.put(part, values);
                if sum.is_complete() {
                    return self.finish_attention(batch);
                }
            }
            (Task::FeedForward { part }, Phase::FeedForward(waiting)) => {
                if let Some(sum) = &mut waiting.always {
                    sum.put(part, values);
                }
                if waiting.is_complete() {
                    return self.finish_feed_forward(batch);
                }
            }
            (Task::Expert { group, part }, Phase::FeedForward(waiting)) => {
                if let Some(sum) = &mut waiting.routed[group].1 {
                    sum.put(part, values);
                }
                if waiting.is_complete() {
                    return self.finish_feed_forward(batch);
                }
            }
            // Requests of a phase are all closed before the next begins.
            _ => {}
        }
        self.batch = Some(batch);
        Ok(())
    }

    /// Hands out a request again that got no answer, or a wrong one. False if nobody waits for it.
    pub fn retry(&mut self, id: RequestId) -> bool {
        self.requests.retry(id)
    }

    /// Goes on without the answer to a request, because nobody is left who could give it: where it is an expert's, that
    /// expert is left out, for the tokens on their way, and the others take its share. Nothing else can be left out.
    pub fn do_without(&mut self, id: RequestId) -> Result<Missing, Error> {
        match self.requests.task(id) {
            // Nobody waits for it, any more.
            None => Ok(Missing::LeftOut),
            Some(Task::Expert { group, .. }) => {
                let group = *group;
                self.leave_out(group)
            }
            Some(_) => Ok(Missing::Needed),
        }
    }

    /// Requests that were not answered yet.
    pub fn open_requests(&self) -> usize {
        self.requests.len()
    }

    /// The answers that the tokens kept were computed from, and those on their way.
    pub fn parts(&self) -> Parts {
        self.requests.closed()
    }

    /// The tokens' states behind the last layer, once.
    pub fn poll_output(&mut self) -> Option<Vec<f32>> {
        self.output.take()
    }
}

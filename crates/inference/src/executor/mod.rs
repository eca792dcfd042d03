//! Tokens through a range of layers.

mod batch;
mod cache;
mod experts;

use std::{ops::Range, sync::Arc};

use kernels::{Activations, Encoding, math};

use batch::{Batch, Phase, Sum};
use cache::{Heads, LayerCache};
use experts::{Group, Member};

use crate::{
    compute::{Arithmetic, MAX_TOKENS, Operation, Request, Response},
    model::{Address, Model, SmallTensors},
    requests::{RequestId, RequestIds, Requests, ResponseError},
    rope::{self, Rope},
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
    scores: Vec<f32>,
}

/// What an answer is for. Indices are those of the model's layout and of the phase's sums.
#[derive(Clone, Copy, Debug)]
enum Task {
    Qkv { part: usize },
    AttentionOutput { part: usize },
    FeedForward { group: usize, part: usize },
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
        let heads = Heads {
            group: h.group(),
            key: h.head_dim_k,
            value: h.head_dim_v,
        };
        Ok(Self {
            rope: Rope::new(&h.rope, small.rope_factors.as_deref()),
            cache: vec![LayerCache::new(h.n_head_kv); layers.len()],
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
            scores: Vec::new(),
        })
    }

    /// Tokens whose keys and values are kept.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The most tokens there can be.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Forgets the tokens from `position` on, and those on their way.
    pub fn truncate(&mut self, position: usize) {
        self.requests.clear();
        self.batch = None;
        self.output = None;
        self.position = self.position.min(position);
        for cache in &mut self.cache {
            cache.truncate(self.position, self.heads);
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
        let positions = self.position..wanted;
        let batch = Batch {
            start: self.position,
            hidden,
            rotations: positions.map(|position| self.rope.at(position)).collect(),
            layer: self.layers.start,
            phase: Phase::FeedForward(Vec::new()),
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
            (Task::Qkv { part }, _) => self.attend(part, values, &batch)?,
            (Task::AttentionOutput { part }, Phase::Attention(sum)) => {
                sum.put(part, values);
                if sum.is_complete() {
                    return self.finish_attention(batch);
                }
            }
            (Task::FeedForward { group, part }, Phase::FeedForward(groups)) => {
                groups[group].1.put(part, values);
                if groups.iter().all(|(_, sum)| sum.is_complete()) {
                    return self.finish_feed_forward(batch);
                }
            }
            // Requests of a phase are all closed before the next begins.
            (Task::AttentionOutput { .. } | Task::FeedForward { .. }, _) => {}
        }
        self.batch = Some(batch);
        Ok(())
    }

    /// Hands out a request again that got no answer, or a wrong one. False if nobody waits for it.
    pub fn retry(&mut self, id: RequestId) -> bool {
        self.requests.retry(id)
    }

    /// Requests that were not answered yet.
    pub fn open_requests(&self) -> usize {
        self.requests.len()
    }

    /// The tokens' states behind the last layer, once.
    pub fn poll_output(&mut self) -> Option<Vec<f32>> {
        self.output.take()
    }

    fn start_attention(&mut self, mut batch: Batch) -> Result<(), Error> {
        let (model, small) = (self.model.clone(), self.small.clone());
        let norm = &small.layers[batch.layer as usize].attention_norm;
        let parts = &model.layout().layers[batch.layer as usize].attention;
        let mut inputs = Inputs::new(self.arithmetic, self.normed(&batch.hidden, norm)?);
        for (index, part) in parts.iter().enumerate() {
            let input = inputs.get(part.input, model.hyperparameters().n_embd)?;
            let width = part.kv_heads.len() * self.heads.width();
            self.ask(
                part.address,
                Operation::Qkv,
                input,
                width,
                Task::Qkv { part: index },
            );
        }
        batch.phase = Phase::Attention(Sum::new(parts.len()));
        self.batch = Some(batch);
        Ok(())
    }

    /// Attention for the heads of a part, as soon as their queries, keys and values are there.
    fn attend(&mut self, part: usize, mut qkv: Vec<f32>, batch: &Batch) -> Result<(), Error> {
        let model = self.model.clone();
        let index = part;
        let part = &model.layout().layers[batch.layer as usize].attention[part];
        let heads = self.heads;
        let kv_heads = part.kv_heads.len();
        let (queries, keys) = (kv_heads * heads.group * heads.key, kv_heads * heads.key);
        let cache = &mut self.cache[(batch.layer - self.layers.start) as usize];
        let columns = kv_heads * heads.group * heads.value;
        let mut seen = vec![0.0; batch.tokens() * columns];
        let rows = qkv
            .chunks_exact_mut(kv_heads * heads.width())
            .zip(seen.chunks_exact_mut(columns));
        for (token, (qkv, seen)) in rows.enumerate() {
            let (rotated, values) = qkv.split_at_mut(queries + keys);
            for head in rotated.chunks_exact_mut(heads.key) {
                rope::rotate(head, &batch.rotations[token]);
            }
            let (queries, keys) = rotated.split_at(queries);
            let rows = keys
                .chunks_exact(heads.key)
                .zip(values.chunks_exact(heads.value));
            for (head, (key, value)) in part.kv_heads.clone().zip(rows) {
                cache.push(head, key, value);
            }
            let groups = queries.chunks_exact(heads.group * heads.key);
            let groups = groups.zip(seen.chunks_exact_mut(heads.group * heads.value));
            for (head, (queries, seen)) in part.kv_heads.clone().zip(groups) {
                cache.attend(head, queries, heads, &mut self.scores, seen);
            }
        }
        let input = Inputs::new(self.arithmetic, seen).get(part.output, columns)?;
        let width = model.hyperparameters().n_embd;
        let task = Task::AttentionOutput { part: index };
        self.ask(part.address, Operation::AttentionOutput, input, width, task);
        Ok(())
    }

    fn finish_attention(&mut self, mut batch: Batch) -> Result<(), Error> {
        if let Phase::Attention(sum) =
            std::mem::replace(&mut batch.phase, Phase::FeedForward(Vec::new()))
        {
            add(&mut batch.hidden, &sum.add()?);
        }
        let (model, small) = (self.model.clone(), self.small.clone());
        let width = model.hyperparameters().n_embd;
        let small = &small.layers[batch.layer as usize];
        let normed = self.normed(&batch.hidden, &small.feed_forward_norm)?;
        let groups = match (&small.router, model.hyperparameters().experts) {
            (Some(router), Some(experts)) => {
                let mut scores = router.scores(&normed, width, self.arithmetic)?;
                experts::route(&mut scores, experts)
            }
            _ => vec![Group {
                expert: 0,
                members: (0..batch.tokens())
                    .map(|token| Member {
                        token,
                        rank: 0,
                        weight: 1.0,
                    })
                    .collect(),
            }],
        };
        let layer = &model.layout().layers[batch.layer as usize];
        let mut sums = Vec::with_capacity(groups.len());
        for (index, group) in groups.into_iter().enumerate() {
            let parts = &layer.feed_forward[group.expert];
            let rows = group
                .members
                .iter()
                .map(|member| &normed[member.token * width..][..width]);
            let mut inputs = Inputs::new(self.arithmetic, rows.collect::<Vec<_>>().concat());
            for (part, place) in parts.iter().enumerate() {
                let input = inputs.get(place.input, width)?;
                let task = Task::FeedForward { group: index, part };
                self.ask(place.address, Operation::FeedForward, input, width, task);
            }
            sums.push((group, Sum::new(parts.len())));
        }
        batch.phase = Phase::FeedForward(sums);
        self.batch = Some(batch);
        Ok(())
    }

    fn finish_feed_forward(&mut self, mut batch: Batch) -> Result<(), Error> {
        let groups = std::mem::replace(&mut batch.phase, Phase::FeedForward(Vec::new()));
        if let Phase::FeedForward(groups) = groups {
            self.add_experts(groups, &mut batch.hidden)?;
        }
        batch.layer += 1;
        if batch.layer < self.layers.end {
            return self.start_attention(batch);
        }
        self.position = batch.start + batch.tokens();
        self.output = Some(batch.hidden);
        Ok(())
    }

    /// Adds what the experts made of each token, the likeliest expert's first.
    fn add_experts(&self, groups: Vec<(Group, Sum)>, hidden: &mut [f32]) -> Result<(), Error> {
        let h = self.model.hyperparameters();
        let width = h.n_embd;
        let used = h.experts.map_or(1, |experts| experts.used);
        let mut results = Vec::with_capacity(groups.len());
        // Where each token's results are, by rank: group and row.
        let mut places = vec![(0, 0, 0.0); hidden.len() / width * used];
        for (index, (group, sum)) in groups.into_iter().enumerate() {
            for (row, member) in group.members.iter().enumerate() {
                places[member.token * used + member.rank] = (index, row, member.weight);
            }
            results.push(sum.add()?);
        }
        let mut result = vec![0.0; width];
        for (hidden, places) in hidden
            .chunks_exact_mut(width)
            .zip(places.chunks_exact(used))
        {
            for (rank, &(group, row, weight)) in places.iter().enumerate() {
                let values = &results[group][row * width..][..width];
                for (result, value) in result.iter_mut().zip(values) {
                    // The first is not added to zero, which would make −0 a 0.
                    *result = if rank == 0 {
                        value * weight
                    } else {
                        *result + value * weight
                    };
                }
            }
            add(hidden, &result);
        }
        Ok(())
    }

    fn normed(&self, hidden: &[f32], weight: &[f32]) -> Result<Vec<f32>, Error> {
        norm_rows(hidden, weight, self.model.hyperparameters().eps)
    }

    fn ask(
        &mut self,
        address: Address,
        operation: Operation,
        input: Arc<Activations>,
        width: usize,
        task: Task,
    ) {
        let request = Request {
            fragment: address.fragment,
            part: address.part,
            operation,
            arithmetic: self.arithmetic,
            input: Some(input),
        };
        self.requests.push(request, width, task);
    }
}

/// Normed rows, one after the other.
pub(crate) fn norm_rows(rows: &[f32], weight: &[f32], eps: f32) -> Result<Vec<f32>, Error> {
    let mut normed = Vec::with_capacity(rows.len());
    for row in rows.chunks_exact(weight.len()) {
        normed.extend(math::rms_norm(row, weight, eps)?);
    }
    Ok(normed)
}

fn add(hidden: &mut [f32], more: &[f32]) {
    for (hidden, more) in hidden.iter_mut().zip(more) {
        *hidden += more;
    }
}

/// The same activations in the encodings that different parts want, each made once.
pub(crate) struct Inputs {
    arithmetic: Arithmetic,
    values: Vec<f32>,
    made: Vec<Arc<Activations>>,
}

impl Inputs {
    pub(crate) fn new(arithmetic: Arithmetic, values: Vec<f32>) -> Self {
        Self {
            arithmetic,
            values,
            made: Vec::new(),
        }
    }

    pub(crate) fn get(
        &mut self,
        encoding: Encoding,
        width: usize,
    ) -> Result<Arc<Activations>, kernels::Error> {
        let encoding = match self.arithmetic {
            Arithmetic::Quantised => encoding,
            Arithmetic::Reference => Encoding::F32,
        };
        if let Some(made) = self.made.iter().find(|made| made.encoding() == encoding) {
            return Ok(made.clone());
        }
        let made = Arc::new(Activations::encode(encoding, width, &self.values)?);
        self.made.push(made.clone());
        Ok(made)
    }
}

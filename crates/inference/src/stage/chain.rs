//! All layers of a model, run here or elsewhere, one stage after the other.

mod answers;

use std::{ops::Range, sync::Arc};

use super::{CallId, Place, Request, Runner, Stage, kept::Kept};
use crate::{
    compute::{Arithmetic, MAX_TOKENS},
    executor::{CacheKind, Error, Executor},
    model::{Model, SmallTensors},
    requests::{Parts, RequestIds},
};

/// So many times in a row whoever runs a stage may say that it lacks tokens.
const MAX_BEHIND: u32 = 4;

/// What the stages of a session have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) context: usize,
    pub(crate) arithmetic: Arithmetic,
    pub(crate) cache: Option<CacheKind>,
    pub(crate) least_experts: f32,
    /// Bytes of states kept for stages elsewhere.
    pub(crate) kept: usize,
}

/// Runs tokens through all layers of a model, as an [`Executor`] does through some.
#[derive(Debug)]
pub(crate) struct Chain {
    model: Arc<Model>,
    small: Arc<SmallTensors>,
    settings: Settings,
    ids: RequestIds,
    links: Vec<Link>,
    /// Tokens that have come through all of them.
    position: usize,
    batch: Option<Batch>,
    output: Option<Vec<f32>>,
    calls: u64,
    /// A stage is gone, and so are the states that went into it.
    lost: bool,
}

#[derive(Debug)]
struct Link {
    layers: Range<u32>,
    place: Running,
    /// What went in, where it is not run here.
    kept: Option<Kept>,
    /// Tokens it has seen, as far as is known here.
    position: usize,
    /// What came of them, where it is not run here.
    parts: Parts,
}

#[derive(Debug)]
enum Running {
    Here(Box<Executor>),
    There {
        runner: Runner,
        call: Option<Call>,
        behind: u32,
    },
}

/// What was asked of somebody.
#[derive(Debug)]
struct Call {
    id: CallId,
    positions: Range<usize>,
    wanted: usize,
    unsent: Option<Request>,
}

/// Tokens on their way.
#[derive(Debug)]
struct Batch {
    positions: Range<usize>,
    /// Of so many of them, the last ones, it matters what comes out.
    wanted: usize,
    /// What went into the first link.
    first: Vec<f32>,
    /// The link they are in, and what went into that.
    at: usize,
    states: Vec<f32>,
}

impl Link {
    fn stage(&self) -> Stage {
        let place = match &self.place {
            Running::Here(_) => Place::Here,
            Running::There { runner, .. } => Place::There(runner.clone()),
        };
        Stage {
            layers: self.layers.clone(),
            place,
        }
    }

    fn truncate(&mut self, position: usize) {
        match &mut self.place {
            Running::Here(executor) => executor.truncate(position),
            Running::There { call, .. } => {
                *call = None;
                self.position = self.position.min(position);
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.truncate(position);
        }
        if position == 0 {
            self.parts = Parts::default();
        }
    }
}

impl Chain {
    /// All layers are run here to begin with.
    pub(crate) fn new(
        model: Arc<Model>,
        small: Arc<SmallTensors>,
        settings: Settings,
        ids: RequestIds,
    ) -> Result<Self, Error> {
        let mut chain = Self {
            model,
            small,
            settings,
            ids,
            links: Vec::new(),
            position: 0,
            batch: None,
            output: None,
            calls: 0,
            lost: false,
        };
        let all = Stage {
            layers: 0..chain.model.hyperparameters().layers,
            place: Place::Here,
        };
        chain.links = vec![chain.link(&all)?];
        Ok(chain)
    }

    fn link(&self, stage: &Stage) -> Result<Link, Error> {
        let place = match &stage.place {
            Place::Here => {
                let executor = Executor::with_ids(
                    self.model.clone(),
                    self.small.clone(),
                    stage.layers.clone(),
                    self.settings.context,
                    self.settings.arithmetic,
                    self.ids.clone(),
                )?;
                let executor = executor.with_least_experts(self.settings.least_experts);
                let executor = match self.settings.cache {
                    Some(kind) => executor.with_cache(kind),
                    None => executor,
                };
                Running::Here(Box::new(executor))
            }
            Place::There(runner) => Running::There {
                runner: runner.clone(),
                call: None,
                behind: 0,
            },
        };
        Ok(Link {
            layers: stage.layers.clone(),
            place,
            kept: None,
            position: 0,
            parts: Parts::default(),
        })
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn context(&self) -> usize {
        self.settings
            .context
            .min(self.model.hyperparameters().context_length)
    }

    pub(crate) fn stages(&self) -> Vec<Stage> {
        self.links.iter().map(Link::stage).collect()
    }

    /// From now on these run the layers. What is on its way goes on; what somebody new lacks is sent to them, as far as it
    /// is kept.
    pub(crate) fn set_stages(&mut self, stages: &[Stage]) -> Result<(), Error> {
        let layers = self.model.hyperparameters().layers;
        let mut end = 0;
        for stage in stages {
            if stage.layers.start != end || stage.layers.is_empty() {
                return Err(Error::Layers(stage.layers.clone()));
            }
            end = stage.layers.end;
        }
        if end != layers {
            return Err(Error::Layers(0..end));
        }
        let mut links = stages
            .iter()
            .map(|stage| self.link(stage))
            .collect::<Result<Vec<_>, _>>()?;
        let mut old = std::mem::take(&mut self.links);
        let mut same = 0;
        for (index, (link, stage)) in links.iter_mut().zip(stages).enumerate() {
            if let Some(at) = old.iter().position(|old| old.stage() == *stage) {
                *link = old.swap_remove(at);
                same += usize::from(same == index);
                if let Running::There { call, .. } = &mut link.place {
                    *call = None;
                }
            } else if let Some(before) = old
                .iter_mut()
                .find(|old| old.layers.start == stage.layers.start)
            {
                link.kept = before.kept.take();
            }
        }
        self.links = links;
        let Some(batch) = &mut self.batch else {
            return Ok(());
        };
        // What has come out of the links before the one it is in is of use only if they are the same.
        if batch.at > same {
            batch.at = 0;
            batch.states = batch.first.clone();
        }
        self.enter()
    }

    pub(crate) fn truncate(&mut self, position: usize) {
        self.batch = None;
        self.output = None;
        self.lost = false;
        self.position = self.position.min(position);
        for link in &mut self.links {
            link.truncate(self.position);
            if let Running::Here(executor) = &link.place {
                // A window that has moved on does not come back.
                self.position = self.position.min(executor.position());
            }
        }
    }

    /// Sends the states of the next tokens on their way; of the last `wanted` of them it matters what comes out.
    pub(crate) fn begin(&mut self, states: Vec<f32>, wanted: usize) -> Result<(), Error> {
        if self.batch.is_some() || self.output.is_some() {
            return Err(Error::Busy);
        }
        let width = self.model.hyperparameters().n_embd;
        let tokens = states.len() / width;
        if !(1..=MAX_TOKENS).contains(&tokens) || !states.len().is_multiple_of(width) {
            return Err(Error::Batch(states.len()));
        }
        let end = self.position + tokens;
        if end > self.context() {
            let limit = self.context();
            return Err(Error::ContextFull { wanted: end, limit });
        }
        self.batch = Some(Batch {
            positions: self.position..end,
            wanted: wanted.min(tokens),
            first: states.clone(),
            at: 0,
            states,
        });
        self.enter()
    }

    /// The batch has come to a link.
    fn enter(&mut self) -> Result<(), Error> {
        let width = self.model.hyperparameters().n_embd;
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        if let Some(link) = self.links.get_mut(batch.at)
            && let Running::There { behind, .. } = &mut link.place
        {
            *behind = 0;
            let kept = link.kept.get_or_insert_with(|| Kept::new(width));
            kept.put(batch.positions.start, &batch.states);
        }
        self.make_room();
        self.drive()
    }

    /// Keeps no more states than allowed.
    fn make_room(&mut self) {
        let Some(batch) = &self.batch else {
            return;
        };
        loop {
            let kept = self.links.iter_mut().filter_map(|link| link.kept.as_mut());
            let kept: Vec<_> = kept.collect();
            let bytes: usize = kept.iter().map(|kept| kept.bytes()).sum();
            let most = kept.into_iter().max_by_key(|kept| kept.bytes());
            match most {
                Some(most) if bytes > self.settings.kept => {
                    let before = most.bytes();
                    most.drop_half(batch.positions.start);
                    if most.bytes() == before {
                        return;
                    }
                }
                _ => return,
            }
        }
    }

    /// Gives the link that the batch is in what it needs next: tokens it has not seen, or the batch itself.
    fn drive(&mut self) -> Result<(), Error> {
        let Some(batch) = &self.batch else {
            return Ok(());
        };
        let (start, end) = (batch.positions.start, batch.positions.end);
        let last = batch.at + 1 == self.links.len();
        let wanted = if last { batch.wanted } else { end - start };
        let Some(link) = self.links.get_mut(batch.at) else {
            return Ok(());
        };
        match &mut link.place {
            Running::Here(executor) => {
                executor.truncate(start);
                let from = executor.position();
                if from == start {
                    link.kept = None;
                    return executor.begin(batch.states.clone());
                }
                let rows = from..start.min(from + MAX_TOKENS);
                match link.kept.as_ref().and_then(|kept| kept.get(rows)) {
                    Some(states) => executor.begin(states.to_vec()),
                    None => {
                        self.lose();
                        Ok(())
                    }
                }
            }
            Running::There { call, .. } => {
                let from = link.position.min(start);
                let to = end.min(from + MAX_TOKENS);
                // Tokens that it lacks go first, the batch with them if there is room.
                let (positions, wanted) = if to == end {
                    (from..end, wanted)
                } else {
                    (from..start.min(to), 0)
                };
                let kept = link.kept.as_ref();
                let Some(states) = kept.and_then(|kept| kept.get(positions.clone())) else {
                    self.lose();
                    return Ok(());
                };
                self.calls += 1;
                let cache = CacheKind::for_arithmetic(self.settings.arithmetic);
                let request = Request {
                    layers: link.layers.clone(),
                    position: from,
                    states: states.to_vec(),
                    wanted,
                    arithmetic: self.settings.arithmetic,
                    cache: self.settings.cache.unwrap_or(cache),
                    least_experts: self.settings.least_experts,
                };
                *call = Some(Call {
                    id: CallId(self.calls),
                    positions,
                    wanted,
                    unsent: Some(request),
                });
                Ok(())
            }
        }
    }

    /// What a stage lacks is not kept: everything has to be read again.
    fn lose(&mut self) {
        self.lost = true;
        self.batch = None;
    }

    /// Whether all tokens have to be read again, from the first on; said once. [Truncate](Self::truncate) then.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }

    /// A link has done what it was given.
    fn left(&mut self, reached: usize, states: Vec<f32>) -> Result<(), Error> {
        let Some(batch) = &mut self.batch else {
            return Ok(());
        };
        if reached < batch.positions.end {
            // It had to see earlier ones first.
            return self.drive();
        }
        batch.at += 1;
        if batch.at < self.links.len() {
            batch.states = states;
            return self.enter();
        }
        self.position = reached;
        self.batch = None;
        self.output = Some(states);
        Ok(())
    }
}

//! Stages of others' sessions.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use super::{Request, Response};
use crate::{
    compute::{self, Arithmetic},
    executor::{self, CacheKind, Executor, Missing},
    model::{Model, SmallTensors},
    requests::{RequestId, RequestIds},
};

/// How much a [`Host`] keeps for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of keys and values, of all sessions together.
    pub bytes: usize,
    /// Sessions.
    pub sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            sessions: 256,
        }
    }
}

/// A stage cannot be run here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// These layers are run by others.
    #[error("layers {0:?} are not run here")]
    NotRun(Range<u32>),
    /// More states are wanted than are sent.
    #[error("{wanted} states are wanted of {sent} tokens")]
    Wanted {
        /// States wanted.
        wanted: usize,
        /// Tokens sent.
        sent: usize,
    },
    /// All the memory there is for keys and values would not be enough.
    #[error("there is no room for {0} tokens")]
    NoRoom(usize),
    /// What was sent makes no sense, or no answer can be taken.
    #[error(transparent)]
    Executor(#[from] executor::Error),
}

/// Runs layers for the sessions of others, each named by a `K`. Like a [`Session`](crate::Session), it neither waits nor
/// computes with weights: it asks, takes answers in any order, and tells what is done.
#[derive(Debug)]
pub struct Host<K> {
    model: Arc<Model>,
    small: Arc<SmallTensors>,
    layers: Range<u32>,
    limits: Limits,
    ids: RequestIds,
    sessions: BTreeMap<K, Hosted>,
    turn: u64,
    done: VecDeque<(K, Response)>,
}

#[derive(Debug)]
struct Hosted {
    layers: Range<u32>,
    arithmetic: Arithmetic,
    cache: CacheKind,
    least_experts: f32,
    executor: Executor,
    /// States wanted of the tokens on their way, if there are any.
    wanted: Option<usize>,
    /// When it was last asked for.
    turn: u64,
}

impl Hosted {
    fn fits(&self, request: &Request) -> bool {
        self.layers == request.layers
            && self.arithmetic == request.arithmetic
            && self.cache == request.cache
            && self.least_experts.to_bits() == request.least_experts.to_bits()
    }
}

impl<K: Ord + Clone> Host<K> {
    /// Runs these layers of a model, or some of them, for whoever asks.
    pub fn new(
        model: Arc<Model>,
        small: Arc<SmallTensors>,
        layers: Range<u32>,
        limits: Limits,
    ) -> Self {
        Self {
            model,
            small,
            layers,
            limits,
            ids: RequestIds::default(),
            sessions: BTreeMap::new(),
            turn: 0,
            done: VecDeque::new(),
        }
    }

    /// From now on only these layers are run. What is on its way goes on.
    pub fn set_layers(&mut self, layers: Range<u32>) {
        self.layers = layers;
    }

    /// Begins with what a session asks for, in place of what it asked for before. What comes of it is told by
    /// [`poll_done`](Self::poll_done).
    ///
    /// # Errors
    /// If it cannot be done here, or by anybody. What the session had here is kept as far as it makes sense.
    pub fn begin(&mut self, session: K, request: Request) -> Result<(), HostError> {
        let width = self.model.hyperparameters().n_embd;
        let sent = request.states.len() / width;
        if request.layers.start < self.layers.start || request.layers.end > self.layers.end {
            return Err(HostError::NotRun(request.layers));
        }
        if request.wanted > sent {
            let wanted = request.wanted;
            return Err(HostError::Wanted { wanted, sent });
        }
        self.turn += 1;
        let turn = self.turn;
        let known = self.sessions.get(&session);
        if !known.is_some_and(|known| known.fits(&request)) {
            self.sessions.remove(&session);
            if request.position > 0 {
                self.done
                    .push_back((session, Response::Behind { position: 0 }));
                return Ok(());
            }
            let executor = Executor::with_ids(
                self.model.clone(),
                self.small.clone(),
                request.layers.clone(),
                usize::MAX,
                request.arithmetic,
                self.ids.clone(),
            )?;
            let hosted = Hosted {
                layers: request.layers.clone(),
                arithmetic: request.arithmetic,
                cache: request.cache,
                least_experts: request.least_experts,
                executor: executor
                    .with_cache(request.cache)
                    .with_least_experts(request.least_experts),
                wanted: None,
                turn,
            };
            self.sessions.insert(session.clone(), hosted);
        }
        let Some(hosted) = self.sessions.get_mut(&session) else {
            return Ok(());
        };
        hosted.turn = turn;
        hosted.wanted = None;
        hosted.executor.truncate(request.position);
        let position = hosted.executor.position();
        if position < request.position {
            self.done
                .push_back((session, Response::Behind { position }));
            return Ok(());
        }
        self.make_room(&session, position + sent)?;
        let Some(hosted) = self.sessions.get_mut(&session) else {
            return Ok(());
        };
        hosted.executor.begin(request.states)?;
        hosted.wanted = Some(request.wanted);
        Ok(())
    }

    /// Forgets whom nobody has asked for longest, until there is room for so many tokens of this session.
    fn make_room(&mut self, session: &K, tokens: usize) -> Result<(), HostError> {
        let h = self.model.hyperparameters();
        let bytes = |hosted: &Hosted, tokens: usize| {
            let all_layers = h.cache_bytes_per_token(hosted.cache);
            all_layers / h.layers.max(1) as usize * hosted.layers.len() * tokens
        };
        loop {
            let each = self.sessions.iter().map(|(key, hosted)| {
                let own = key == session;
                bytes(
                    hosted,
                    if own {
                        tokens
                    } else {
                        hosted.executor.position()
                    },
                )
            });
            let full = each.sum::<usize>() > self.limits.bytes
                || self.sessions.len() > self.limits.sessions;
            if !full {
                return Ok(());
            }
            let others = self.sessions.iter().filter(|(key, _)| *key != session);
            // Who waits for an answer is not left without.
            let idle = others.filter(|(_, hosted)| hosted.wanted.is_none());
            let oldest = idle.min_by_key(|(_, hosted)| hosted.turn);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else {
                self.sessions.remove(session);
                return Err(HostError::NoRoom(tokens));
            };
            self.sessions.remove(&oldest);
        }
    }

    /// The next request that has to be answered. Call it until there is none.
    pub fn poll_request(&mut self) -> Option<(RequestId, compute::Request)> {
        let mut executors = self.sessions.values_mut();
        executors.find_map(|hosted| hosted.executor.poll_request())
    }

    /// Whose request this is, if it is still open.
    pub fn asked_by(&self, id: RequestId) -> Option<K> {
        let mut sessions = self.sessions.iter();
        let asker = sessions.find(|(_, hosted)| hosted.executor.waits_for(id));
        asker.map(|(session, _)| session.clone())
    }

    fn asker(&mut self, id: RequestId) -> Option<(K, &mut Hosted)> {
        let session = self.asked_by(id)?;
        let hosted = self.sessions.get_mut(&session)?;
        Some((session, hosted))
    }

    /// Takes an answer. One that nobody waits for, any more, changes nothing.
    ///
    /// # Errors
    /// If the response was refused, its request is still open.
    pub fn handle_response(
        &mut self,
        id: RequestId,
        response: compute::Response,
    ) -> Result<(), HostError> {
        let Some((session, hosted)) = self.asker(id) else {
            return Ok(());
        };
        hosted.executor.handle_response(id, response)?;
        self.hear(session);
        Ok(())
    }

    /// Goes on without the answer to a request, if that can be: see [`Executor::do_without`].
    ///
    /// # Errors
    /// If the session cannot go on.
    pub fn do_without(&mut self, id: RequestId) -> Result<Missing, HostError> {
        let Some((session, hosted)) = self.asker(id) else {
            return Ok(Missing::LeftOut);
        };
        let missing = hosted.executor.do_without(id)?;
        self.hear(session);
        Ok(missing)
    }

    /// Tells what has come through a session's layers, if something has.
    fn hear(&mut self, session: K) {
        let width = self.model.hyperparameters().n_embd;
        let hosted = self.sessions.get_mut(&session);
        if let Some(hosted) = hosted
            && let Some(mut states) = hosted.executor.poll_output()
        {
            let wanted = hosted.wanted.take().unwrap_or_default() * width;
            states.drain(..states.len().saturating_sub(wanted));
            let parts = hosted.executor.parts();
            self.done
                .push_back((session, Response::States { states, parts }));
        }
    }

    /// What is done, once each.
    pub fn poll_done(&mut self) -> Option<(K, Response)> {
        self.done.pop_front()
    }

    /// A session does not wait any more: what is on its way is dropped, what came through is kept.
    pub fn cancel(&mut self, session: &K) {
        if let Some(hosted) = self.sessions.get_mut(session) {
            hosted.wanted = None;
            hosted.executor.truncate(hosted.executor.position());
        }
    }
}

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Add,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::compute::{Arithmetic, Exactness, Request, Response};

/// Names one request of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Hands out ids that are unique among all that share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestIds(Arc<AtomicU64>);

impl RequestIds {
    fn next(&self) -> RequestId {
        RequestId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Why a response was not taken. The request stays open and can be retried: whoever
/// answered it is at fault, not the session.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// Not as many values as were asked for.
    #[error("the answer has {found:?} tokens × values, {expected:?} were asked for")]
    Shape {
        /// Tokens and values per token that were asked for.
        expected: (usize, usize),
        /// What came.
        found: (usize, usize),
    },
    /// A value that is infinite or not a number: no sound model and kernel gives one.
    #[error("the answer holds a value that is not finite")]
    NotFinite,
    /// Approximate, though the request asked for the exact bits.
    #[error("the answer is approximate, and the exact one was asked for")]
    Approximate,
    /// Whoever runs a stage says that it has seen fewer tokens than it must have, or says so again and again.
    #[error("the stage has seen {0} tokens, more were sent")]
    Behind(usize),
}

/// What something is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Answers to requests.
    pub total: u64,
    /// Those of them that were [approximate](Exactness::Approximate).
    pub approximate: u64,
    /// How often a token was to have an expert's work, over all tokens and layers.
    pub experts: u64,
    /// How often it did without, because nobody had the expert any more.
    pub left_out: u64,
}

impl Add for Parts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            approximate: self.approximate + other.approximate,
            experts: self.experts + other.experts,
            left_out: self.left_out + other.left_out,
        }
    }
}

/// Requests that wait for their answers, each with what is to be done with it.
#[derive(Debug)]
pub(crate) struct Requests<T> {
    ids: RequestIds,
    unsent: VecDeque<RequestId>,
    open: BTreeMap<RequestId, Open<T>>,
    closed: Parts,
}

#[derive(Debug)]
struct Open<T> {
    request: Request,
    width: usize,
    task: T,
}

impl<T> Requests<T> {
    pub(crate) fn new(ids: RequestIds) -> Self {
        Self {
            ids,
            unsent: VecDeque::new(),
            open: BTreeMap::new(),
            closed: Parts::default(),
        }
    }

    /// Asks for `width` values per token of the request.
    pub(crate) fn push(&mut self, request: Request, width: usize, task: T) {
        let id = self.ids.next();
        let open = Open {
            request,
            width,
            task,
        };
        self.open.insert(id, open);
        self.unsent.push_back(id);
    }

    pub(crate) fn poll(&mut self) -> Option<(RequestId, Request)> {
        let id = self.unsent.pop_front()?;
        self.open.get(&id).map(|open| (id, open.request.clone()))
    }

    /// Takes a request off the list if the response fits it. `None` if it is not on the list.
    pub(crate) fn close(
        &mut self,
        id: RequestId,
        response: &Response,
    ) -> Result<Option<T>, ResponseError> {
        let Some(open) = self.open.get(&id) else {
            return Ok(None);
        };
        let expected = (open.request.tokens(), open.width);
        let found = (response.tokens, response.width);
        if found != expected || response.values.len() != expected.0 * expected.1 {
            return Err(ResponseError::Shape { expected, found });
        }
        if !response.values.iter().all(|value| value.is_finite()) {
            return Err(ResponseError::NotFinite);
        }
        let approximate = response.exactness == Exactness::Approximate;
        if approximate && open.request.arithmetic != Arithmetic::Approximate {
            return Err(ResponseError::Approximate);
        }
        self.closed.total += 1;
        self.closed.approximate += u64::from(approximate);
        Ok(self.open.remove(&id).map(|open| open.task))
    }

    /// Hands a request out once more.
    pub(crate) fn retry(&mut self, id: RequestId) -> bool {
        let open = self.open.contains_key(&id);
        if open && !self.unsent.contains(&id) {
            self.unsent.push_back(id);
        }
        open
    }

    pub(crate) fn is_open(&self, id: RequestId) -> bool {
        self.open.contains_key(&id)
    }

    /// What is to be done with the answer to a request, if it is on the list.
    pub(crate) fn task(&self, id: RequestId) -> Option<&T> {
        self.open.get(&id).map(|open| &open.task)
    }

    /// Takes requests off the list whose answers are of no use any more.
    pub(crate) fn drop_where(&mut self, useless: impl Fn(&T) -> bool) {
        self.open.retain(|_, open| !useless(&open.task));
        self.unsent.retain(|id| self.open.contains_key(id));
    }

    /// Counts experts' work, done or left out.
    pub(crate) fn count_experts(&mut self, experts: usize, left_out: usize) {
        self.closed.experts += experts as u64;
        self.closed.left_out += left_out as u64;
    }

    pub(crate) fn clear(&mut self) {
        self.unsent.clear();
        self.open.clear();
    }

    /// What was taken since the last [`forget_closed`](Self::forget_closed).
    pub(crate) fn closed(&self) -> Parts {
        self.closed
    }

    pub(crate) fn forget_closed(&mut self) {
        self.closed = Parts::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

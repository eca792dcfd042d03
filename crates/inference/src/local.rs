//! Answers from fragments in this process.

use std::collections::HashMap;

use fragments::{Fragment, FragmentId};

use crate::{
    compute::{self, Request, Response},
    parallel,
    session::{self, Event, Session},
};

/// Whoever answers requests.
pub trait Answerer: Sync {
    /// Why there is no answer.
    type Error: Send;

    /// Answers a request.
    fn answer(&self, request: &Request) -> Result<Response, Self::Error>;
}

/// A request cannot be answered here.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The fragment is not here.
    #[error("nobody holds fragment {0}")]
    MissingFragment(FragmentId),
    /// The request cannot be answered by anybody.
    #[error(transparent)]
    Compute(#[from] compute::Error),
}

/// Why a session did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError<E> {
    /// The session cannot go on.
    #[error(transparent)]
    Session(#[from] session::Error),
    /// There was no answer. The session can be run again when there is.
    #[error(transparent)]
    Answer(E),
}

/// Fragments that are at hand, opened and verified.
#[derive(Debug, Default)]
pub struct LocalAnswerer<B> {
    fragments: HashMap<FragmentId, Fragment<B>>,
}

impl<B: AsRef<[u8]>> LocalAnswerer<B> {
    /// With no fragments yet.
    pub fn new() -> Self {
        Self {
            fragments: HashMap::new(),
        }
    }

    /// Adds a fragment, which must be the one with this id.
    pub fn insert(&mut self, id: FragmentId, fragment: Fragment<B>) {
        self.fragments.insert(id, fragment);
    }

    /// Takes a fragment out.
    pub fn remove(&mut self, id: &FragmentId) -> Option<Fragment<B>> {
        self.fragments.remove(id)
    }

    /// The fragment with this id.
    pub fn get(&self, id: &FragmentId) -> Option<&Fragment<B>> {
        self.fragments.get(id)
    }

    /// Number of fragments.
    pub fn len(&self) -> usize {
        self.fragments.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fragments.is_empty()
    }
}

impl<B: AsRef<[u8]> + Sync> Answerer for LocalAnswerer<B> {
    type Error = Error;

    fn answer(&self, request: &Request) -> Result<Response, Error> {
        let fragment = self.fragments.get(&request.fragment);
        let fragment = fragment.ok_or(Error::MissingFragment(request.fragment))?;
        Ok(compute::answer(fragment, request)?)
    }
}

/// Runs a session until it has nothing more to ask.
///
/// With the feature `threads`, what it asks at once is answered at once, by the threads of the current rayon pool;
/// best called in one of them, as in `rayon::scope(|_| run_local(…))`, so that none has to be woken for each step.
///
/// After an error the requests that failed are still open, and the first error is told: run it again when they can be
/// answered.
pub fn run_local<A: Answerer>(
    session: &mut Session,
    answerer: &A,
    mut event: impl FnMut(Event),
) -> Result<(), RunError<A::Error>> {
    loop {
        while let Some(happened) = session.poll_event() {
            event(happened);
        }
        let mut requests = Vec::new();
        while let Some(request) = session.poll_request() {
            requests.push(request);
        }
        if requests.is_empty() {
            return Ok(());
        }
        let mut failed = None;
        let answers = parallel::map(&requests, |(id, request)| (*id, answerer.answer(request)));
        for (id, answer) in answers {
            let taken = match answer {
                Ok(response) => session
                    .handle_response(id, response)
                    .map_err(RunError::from),
                Err(error) => Err(RunError::Answer(error)),
            };
            if let Err(error) = taken {
                session.retry(id);
                failed.get_or_insert(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
}

//! Sessions that answer, a bounded number at one time. Whoever asks next gets the one that has read most of what is asked
//! already, as that of a conversation's earlier questions has.

use super::Settings;
use super::answer::{self, Answer, Question};
use super::error::Error;
use super::totals::{Now, Totals};
use crate::backend::Backend;
use inference::tokenizer::Token;
use inference::{Model, Session};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For each session so many may wait.
const WAITING: usize = 16;

pub(super) struct Pool {
    shared: Arc<Shared>,
    places: Arc<Semaphore>,
    most_waiting: usize,
    model: Arc<Model>,
    context: usize,
}

struct Shared {
    /// Those at rest, the longest first.
    slots: Mutex<Vec<Slot>>,
    totals: Arc<Totals>,
}

/// A session and who computes for it.
pub(super) struct Slot {
    pub(super) backend: Backend,
    pub(super) session: Session,
}

impl Slot {
    /// How much of a prompt it need not read again.
    fn known(&self, prompt: &[Token]) -> usize {
        let pairs = self.session.tokens().iter().zip(prompt);
        let known = pairs.take_while(|(a, b)| a == b).count();
        // The last token is always read.
        known.min(prompt.len().saturating_sub(1))
    }
}

/// A session that is being used; it rests again when this is dropped.
pub(super) struct Taken {
    slot: Option<Slot>,
    shared: Arc<Shared>,
    pub(super) cached: usize,
    pub(super) asked: Instant,
    _place: OwnedSemaphorePermit,
}

impl Taken {
    pub(super) fn slot(&mut self) -> Option<&mut Slot> {
        self.slot.as_mut()
    }

    pub(super) fn totals(&self) -> Arc<Totals> {
        self.shared.totals.clone()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.shared.slots().extend(self.slot.take());
    }
}

impl Shared {
    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        // Nothing under this lock can be left half done.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    pub(super) fn new(
        backend: Backend,
        settings: Settings,
        totals: Arc<Totals>,
    ) -> anyhow::Result<Self> {
        let count = settings.sessions.max(1);
        let slot = || -> anyhow::Result<Slot> {
            let backend = backend.another();
            let session = backend.session(settings.config)?;
            Ok(Slot { backend, session })
        };
        let slots: Vec<_> = (0..count).map(|_| slot()).collect::<Result<_, _>>()?;
        let first = slots
            .first()
            .map(|slot| (slot.session.model().clone(), slot.session.context()));
        let Some((model, context)) = first else {
            anyhow::bail!("there is no session to answer with");
        };
        Ok(Self {
            shared: Arc::new(Shared {
                slots: Mutex::new(slots),
                totals,
            }),
            places: Arc::new(Semaphore::new(count)),
            most_waiting: count * WAITING,
            model,
            context,
        })
    }

    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// The answer to a question, as soon as one of the sessions is free.
    ///
    /// # Errors
    /// If too many wait, or the question cannot be answered by this model.
    pub(super) async fn ask(&self, question: Question) -> Result<Answer, Error> {
        let wanted = question.prompt.len();
        if wanted == 0 {
            return Err(Error::invalid("The prompt is empty."));
        }
        if wanted >= self.context {
            return Err(Error::too_long(self.context, wanted));
        }
        let taken = self.take(&question.prompt).await?;
        answer::start(taken, question)
    }

    async fn take(&self, prompt: &[Token]) -> Result<Taken, Error> {
        let asked = Instant::now();
        let totals = &self.shared.totals;
        let waits = Now::new(&totals.waiting);
        let waiting = totals.waiting.load(Ordering::Relaxed) as usize;
        let free = self.places.available_permits();
        if waiting > self.most_waiting + free {
            Totals::add(&totals.refused, 1);
            return Err(Error::busy(self.most_waiting));
        }
        let place = self.places.clone().acquire_owned().await;
        let place = place.map_err(|_| Error::unavailable("This node is stopping.".into()))?;
        drop(waits);
        let mut slots = self.shared.slots();
        // Of those that know as little, the one that has rested longest is forgotten.
        let best = (0..slots.len())
            .rev()
            .max_by_key(|at| slots[*at].known(prompt));
        let slot = best.map(|at| slots.remove(at));
        let Some(slot) = slot else {
            return Err(Error::internal(
                "There are fewer sessions than places.".into(),
            ));
        };
        drop(slots);
        Ok(Taken {
            cached: slot.known(prompt),
            slot: Some(slot),
            shared: self.shared.clone(),
            asked,
            _place: place,
        })
    }
}

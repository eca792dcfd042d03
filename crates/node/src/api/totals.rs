//! What the API has done, in numbers.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts while the program runs.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(super) answering: AtomicU64,
    pub(super) waiting: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) stopped: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) prompt_tokens: AtomicU64,
    pub(super) cached_tokens: AtomicU64,
    pub(super) answer_tokens: AtomicU64,
    first_micros: AtomicU64,
    whole_micros: AtomicU64,
}

/// The numbers at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    /// Answers being made now.
    pub(crate) answering: u64,
    /// Requests that wait for that now.
    pub(crate) waiting: u64,
    /// Answers since the start.
    pub(crate) answered: u64,
    /// Answers that whoever asked did not wait for.
    pub(crate) stopped: u64,
    /// Requests whose answer failed.
    pub(crate) failed: u64,
    /// Requests refused because too many waited.
    pub(crate) refused: u64,
    pub(crate) prompt_tokens: u64,
    /// Those of them that had been read for an earlier request.
    pub(crate) cached_tokens: u64,
    pub(crate) answer_tokens: u64,
    /// Until the first token of each answer, waiting included.
    pub(crate) first_token_seconds: f64,
    /// Until the last.
    pub(crate) answer_seconds: f64,
}

impl Totals {
    pub(super) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn first_token(&self, after: Duration) {
        self.first_micros
            .fetch_add(after.as_micros() as u64, Ordering::Relaxed);
    }

    pub(super) fn whole_answer(&self, after: Duration) {
        self.whole_micros
            .fetch_add(after.as_micros() as u64, Ordering::Relaxed);
    }

    pub(crate) fn told(&self) -> Told {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let seconds = |micros: &AtomicU64| count(micros) as f64 / 1e6;
        Told {
            answering: count(&self.answering),
            waiting: count(&self.waiting),
            answered: count(&self.answered),
            stopped: count(&self.stopped),
            failed: count(&self.failed),
            refused: count(&self.refused),
            prompt_tokens: count(&self.prompt_tokens),
            cached_tokens: count(&self.cached_tokens),
            answer_tokens: count(&self.answer_tokens),
            first_token_seconds: seconds(&self.first_micros),
            answer_seconds: seconds(&self.whole_micros),
        }
    }
}

/// One of what is counted now, until it is dropped.
pub(super) struct Now<'a>(&'a AtomicU64);

impl<'a> Now<'a> {
    pub(super) fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Now<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

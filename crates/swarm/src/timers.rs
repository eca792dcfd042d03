//! When to wake up for what.

use crate::RequestId;
use std::collections::BTreeSet;
use std::time::Duration;

/// What a moment was set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// An attempt is late.
    Attempt(u64),
    /// Tokens that went through somebody else's layers are late.
    Stage(u64),
    /// Nothing is heard of an answer that is finished elsewhere.
    Job(u64),
    /// A request has waited long enough.
    Patience(RequestId),
    /// A block of a download is late.
    Block(u64),
    /// The limit of uploads allows another block.
    Upload,
    /// Somebody who was busy may be asked again.
    Retry,
    /// Look for peers.
    Search,
    /// Say what is held, and take up what is lacking.
    Beat,
}

/// An ordered set of moments. Whoever sets one takes it away when its reason is gone, so it never outgrows the state
/// it belongs to.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    pub(crate) fn set(&mut self, at: Duration, timer: Timer) {
        self.set.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Duration, timer: Timer) {
        self.set.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Duration> {
        self.set.first().map(|(at, _)| *at)
    }

    /// Takes the first moment that has come.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Timer> {
        let (at, timer) = *self.set.first()?;
        if at > now {
            return None;
        }
        self.set.remove(&(at, timer));
        Some(timer)
    }
}

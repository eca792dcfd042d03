//! Who has to wait is told how many are before it, and about how long that takes.

use crate::{Action, Node, PeerId, RequestId};
use protocol::{Message, Queued, RequestId as WireId};
use std::time::Duration;

/// Nobody notices less.
const WORTH_SAYING: Duration = Duration::from_millis(200);

/// What is to be done before something that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How many requests.
    pub before: u32,
    /// How long they take, about.
    pub wait: Duration,
}

impl Queue {
    /// So many, each of which takes so long, `at_once` at a time; nothing if that is not worth saying.
    pub(crate) fn of(before: usize, each: Option<Duration>, at_once: usize) -> Option<Self> {
        let before = u32::try_from(before).unwrap_or(u32::MAX);
        let at_once = u32::try_from(at_once.max(1)).unwrap_or(u32::MAX);
        let wait = each?.saturating_mul(before) / at_once;
        (before > 0 && wait >= WORTH_SAYING).then_some(Self { before, wait })
    }
}

impl Node {
    /// Tells a peer that its request waits here.
    pub(crate) fn tell_to_wait(&mut self, peer: &PeerId, id: WireId, queue: Queue) {
        let Queue { before, wait } = queue;
        let queued = Queued { id, before, wait };
        self.send(peer, Message::Queued(queued));
    }

    /// An own request waits, somewhere or here.
    pub(crate) fn has_to_wait(&mut self, request: RequestId, queue: Queue) {
        self.actions.push_back(Action::Queued { request, queue });
    }

    /// A peer says that a request of ours waits there. Nothing follows from it but that people are told: who is late is
    /// late all the same, and somebody else is asked.
    pub(crate) fn queued(&mut self, peer: &PeerId, queued: Queued) {
        let Queued { id, before, wait } = queued;
        let request = self.request_at(peer, id.0);
        let wait = wait.min(self.config.give_up);
        let request = request.or_else(|| self.stage_at(peer, id.0));
        let request = request.or_else(|| self.job_at(peer, id.0));
        if let Some(request) = request {
            self.has_to_wait(request, Queue { before, wait });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_how_long_it_takes_if_it_is_worth_saying() {
        let each = Some(Duration::from_millis(150));
        let queue = |before, wait| {
            let wait = Duration::from_millis(wait);
            Some(Queue { before, wait })
        };
        assert_eq!(Queue::of(4, each, 1), queue(4, 600));
        assert_eq!(Queue::of(4, each, 2), queue(4, 300));
        assert_eq!(Queue::of(1, each, 1), None);
        assert_eq!(Queue::of(0, each, 0), None);
        assert_eq!(Queue::of(9, None, 1), None);
    }
}

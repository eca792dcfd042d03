//! What happens when an answer is late.

use super::{Choice, MAX_ATTEMPTS, State};
use crate::peers::Suspicion;
use crate::timers::Timer;
use crate::{Node, RequestId, Worker};
use std::time::Duration;

impl Node {
    pub(crate) fn attempt_late(&mut self, number: u64, now: Duration) {
        let Some(attempt) = self.dispatch.attempts.get_mut(&number) else {
            return;
        };
        let elapsed = now.saturating_sub(attempt.sent);
        let (sent, first) = (attempt.sent, !std::mem::replace(&mut attempt.late, true));
        // Look again when twice the time has passed: the second choice may be late, or another holder have appeared.
        attempt.deadline = now + elapsed.max(self.config.deadline_floor);
        let (request, worker) = (attempt.request, attempt.worker.clone());
        self.timers.set(attempt.deadline, Timer::Attempt(number));
        let (mut silent, mut overtaken) = (false, false);
        if let Worker::Peer(name) = &worker
            && let Some(peer) = self.peers.get_mut(name)
        {
            peer.late += u64::from(first);
            // Not one answer since then: probably it is not slow, it is gone and nobody has noticed yet.
            silent = peer.last_answer.is_none_or(|at| at < sent);
            overtaken = peer.newest_answer > number;
            if silent && peer.suspicion.is_none_or(|s| s.until <= now) {
                let strikes = peer.suspicion.map_or(0, |s| s.strikes + 1);
                let until = now + Duration::from_secs(1 << strikes.min(5));
                peer.suspicion = Some(Suspicion { until, strikes });
                for other in self.attempts_at(name) {
                    if let Some(other) = self.dispatch.attempts.get(&other).map(|a| a.request)
                        && self
                            .dispatch
                            .requests
                            .get(&other)
                            .is_some_and(|r| r.attempts.len() == 1)
                    {
                        self.hedge(other, true, now);
                    }
                }
                self.repeat(request, &worker, overtaken, elapsed, now);
                return;
            }
        }
        self.hedge(request, silent, now);
        self.repeat(request, &worker, overtaken, elapsed, now);
    }

    /// Asks the same peer again when there is nobody else. The request or its answer was lost when a stream broke: that
    /// is likely when the peer has answered later requests meanwhile, and possible when nothing has come for long.
    fn repeat(
        &mut self,
        id: RequestId,
        worker: &Worker,
        overtaken: bool,
        elapsed: Duration,
        now: Duration,
    ) {
        let alone = |attempt: &u64| {
            let attempt = self.dispatch.attempts.get(attempt);
            attempt.is_some_and(|attempt| attempt.late && attempt.worker == *worker)
        };
        let Some(request) = self.dispatch.requests.get(&id) else {
            return;
        };
        if request.state == State::Asked
            && request.attempts.len() < MAX_ATTEMPTS
            && request.attempts.iter().all(alone)
            && (overtaken || elapsed >= self.config.repeat_after)
            && matches!(worker, Worker::Peer(_))
        {
            self.totals.resent += 1;
            self.start_attempt(id, worker.clone(), now);
        }
    }

    /// Asks a second worker besides the first, if there is one. `free` when the first is thought to be gone.
    pub(super) fn hedge(&mut self, id: RequestId, free: bool, now: Duration) {
        let Some(request) = self.dispatch.requests.get(&id) else {
            return;
        };
        let allowed = free || self.dispatch.hedge_tenths >= 10;
        if request.state != State::Asked || request.attempts.len() >= MAX_ATTEMPTS || !allowed {
            return;
        }
        if let Choice::Worker(worker) = self.choose(id, false, now) {
            self.dispatch.hedge_tenths -= if free { 0 } else { 10 };
            self.totals.hedged += 1;
            self.start_attempt(id, worker, now);
        }
    }
}

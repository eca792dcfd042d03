//! How an attempt ends.

use super::{Attempt, MALFORMED_QUORUM, Problem, State};
use crate::timers::Timer;
use crate::{Action, ComputeError, Failure, Node, PeerId, Worker};
use bytes::Bytes;
use protocol::{ComputeResponse, ErrorCode};
use std::time::Duration;

impl Node {
    /// Takes an attempt out of the books.
    pub(super) fn finish(&mut self, number: u64) -> Option<Attempt> {
        let attempt = self.dispatch.attempts.remove(&number)?;
        self.timers.clear(attempt.deadline, Timer::Attempt(number));
        if let Some(request) = self.dispatch.requests.get_mut(&attempt.request) {
            request.attempts.remove(&number);
        }
        match &attempt.worker {
            Worker::Local => self.dispatch.local.in_flight -= 1,
            Worker::Peer(peer) => {
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.in_flight -= 1;
                }
            }
        }
        Some(attempt)
    }

    pub(crate) fn compute_response(
        &mut self,
        peer: &PeerId,
        response: ComputeResponse,
        now: Duration,
    ) {
        let number = response.id.0;
        // An unknown number is an answer that crossed our cancellation; somebody else's number is a lie without effect.
        let theirs = |a: &Attempt| matches!(&a.worker, Worker::Peer(p) if p == peer);
        if !self.dispatch.attempts.get(&number).is_some_and(theirs) {
            return;
        }
        match response.result {
            Ok(body) => self.answered(number, body, now),
            Err(failure) => {
                let problem = match failure.code {
                    ErrorCode::NotHeld => Problem::NotHeld,
                    ErrorCode::Busy => Problem::Busy,
                    ErrorCode::Invalid => Problem::Malformed(failure.message),
                    ErrorCode::Failed | ErrorCode::Cancelled | ErrorCode::Expired => {
                        Problem::Failed(failure.to_string())
                    }
                };
                self.attempt_failed(number, problem, now);
            }
        }
    }

    pub(crate) fn computed_here(
        &mut self,
        attempt: u64,
        result: Result<Bytes, ComputeError>,
        now: Duration,
    ) {
        match result {
            Ok(body) => self.answered(attempt, body, now),
            Err(ComputeError::NotHeld) => self.attempt_failed(attempt, Problem::NotHeld, now),
            Err(ComputeError::BadRequest(why)) => {
                self.attempt_failed(attempt, Problem::Malformed(why), now)
            }
            Err(ComputeError::Internal(why)) => {
                self.attempt_failed(attempt, Problem::Failed(why), now)
            }
        }
    }

    pub(super) fn answered(&mut self, number: u64, body: Bytes, now: Duration) {
        let Some(attempt) = self.finish(number) else {
            return;
        };
        let took = now.saturating_sub(attempt.sent);
        let peer = match &attempt.worker {
            Worker::Local => {
                let local = &mut self.dispatch.local;
                local
                    .latency
                    .record(attempt.class, took, local.in_flight, now);
                None
            }
            Worker::Peer(name) => {
                if let Some(peer) = self.peers.get_mut(name) {
                    peer.latency
                        .record(attempt.class, took, peer.in_flight, now);
                    self.dispatch.everybody.record(attempt.class, took, 0, now);
                    peer.last_answer = Some(now);
                    peer.newest_answer = peer.newest_answer.max(number);
                    peer.suspicion = None;
                    peer.busy_strikes = 0;
                }
                Some(name.clone())
            }
        };
        if let Some(request) = self.dispatch.requests.get_mut(&attempt.request)
            && request.state == State::Asked
        {
            request.state = State::Judged;
            request.judged = Some(attempt.worker.clone());
            self.actions.push_back(Action::Answer {
                request: attempt.request,
                by: attempt.worker,
                body,
            });
        }
        self.wake(peer.as_ref(), now);
    }

    pub(super) fn attempt_failed(&mut self, number: u64, problem: Problem, now: Duration) {
        let Some(attempt) = self.finish(number) else {
            return;
        };
        let Attempt {
            request: id,
            worker,
            ..
        } = attempt;
        let Some(request) = self.dispatch.requests.get_mut(&id) else {
            return;
        };
        let fragment = request.fragment;
        match problem {
            Problem::Left => request.last_problem = format!("{worker:?} left"),
            Problem::NotHeld => {
                request.last_problem = format!("{worker:?} does not hold it any more");
                request.excluded.insert(worker.clone());
                if let Worker::Peer(name) = &worker
                    && let Some(peer) = self.peers.get_mut(name)
                {
                    peer.computes.remove(fragment.0);
                }
            }
            Problem::Busy => {
                request.last_problem = format!("{worker:?} is busy");
                if let Worker::Peer(name) = &worker
                    && let Some(peer) = self.peers.get_mut(name)
                    && peer.busy_until <= now
                {
                    peer.busy_until =
                        now + Duration::from_millis(50) * (1 << peer.busy_strikes.min(5));
                    peer.busy_strikes += 1;
                    self.timers.set(peer.busy_until, Timer::Retry);
                }
            }
            Problem::Malformed(why) => {
                request.last_problem = format!("{worker:?} refuses it: {why}");
                request.excluded.insert(worker.clone());
                request.malformed.insert(worker.clone());
                if request.malformed.len() >= MALFORMED_QUORUM
                    && let Some(info) = self.catalogue.get(fragment)
                {
                    let failure = Failure::Malformed {
                        fragment,
                        content: info.content,
                        reason: why,
                    };
                    self.fail(id, failure, now);
                    return;
                }
            }
            Problem::Failed(why) => {
                request.last_problem = format!("{worker:?} failed: {why}");
                request.excluded.insert(worker.clone());
            }
        }
        self.ask_again(id, now);
        if let Worker::Peer(peer) = &worker {
            self.wake(Some(peer), now);
        }
    }

    /// Everything under way at a peer that is gone (and already removed) goes elsewhere, at once.
    pub(crate) fn attempts_lost(&mut self, peer: &PeerId, now: Duration) {
        for number in self.attempts_at(peer) {
            self.attempt_failed(number, Problem::Left, now);
        }
    }

    pub(super) fn attempts_at(&self, peer: &PeerId) -> Vec<u64> {
        let theirs = |a: &Attempt| matches!(&a.worker, Worker::Peer(p) if p == peer);
        self.dispatch
            .attempts
            .iter()
            .filter(|(_, a)| theirs(a))
            .map(|(number, _)| *number)
            .collect()
    }
}

//! What happens when an answer is late.

use super::{Choice, MAX_ATTEMPTS, Request, State};
use crate::peers::Suspicion;
use crate::timers::Timer;
use crate::{FragmentIndex, Node, PeerId, RequestId, Worker};
use std::time::Duration;

/// For further holders of what one node alone would answer it is looked no more often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Node {
    pub(crate) fn attempt_late(&mut self, number: u64, now: Duration) {
        let Some(attempt) = self.dispatch.attempts.get_mut(&number) else {
            return;
        };
        let elapsed = now.saturating_sub(attempt.sent);
        let (sent, first) = (attempt.sent, !std::mem::replace(&mut attempt.late, true));
        // Look again when twice the time has passed: the second choice may be late, or another holder have appeared.
        attempt.deadline = now + elapsed.max(self.config.deadline_floor);
        let (request, worker, probe) = (attempt.request, attempt.worker.clone(), attempt.probe);
        self.timers.set(attempt.deadline, Timer::Attempt(number));
        let (mut silent, mut overtaken) = (false, false);
        let mut stranded = Vec::new();
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
                stranded = self.asked_only_at(name);
            }
        }
        if probe {
            // The next one may have more luck.
            self.abandon(number, false, now);
            return self.ask_again(request, now);
        }
        stranded.retain(|other| *other != request);
        for other in stranded {
            self.hedge(other, true, now);
        }
        self.hedge(request, silent, now);
        self.repeat(request, &worker, overtaken, elapsed, now);
    }

    /// The requests that nobody but this peer was asked for.
    fn asked_only_at(&self, peer: &PeerId) -> Vec<RequestId> {
        let request = |number| Some(self.dispatch.attempts.get(&number)?.request);
        let alone = |id: &RequestId| {
            let request = self.dispatch.requests.get(id);
            request.is_some_and(|request| request.attempts.len() == 1)
        };
        let theirs = self.attempts_at(peer).into_iter();
        theirs.filter_map(request).filter(alone).collect()
    }

    /// Asks the same peer again when all who were asked are late and there is nobody else. The request or its answer was
    /// lost when a stream broke: that is likely when the peer has answered later requests meanwhile, and possible when
    /// nothing has come for long.
    fn repeat(
        &mut self,
        id: RequestId,
        worker: &Worker,
        overtaken: bool,
        elapsed: Duration,
        now: Duration,
    ) {
        let late = |attempt: &u64| {
            let attempt = self.dispatch.attempts.get(attempt);
            attempt.is_some_and(|attempt| attempt.late)
        };
        let Some(request) = self.dispatch.requests.get(&id) else {
            return;
        };
        let lost = overtaken || elapsed >= self.config.repeat_after;
        if request.state == State::Asked
            && request.attempts.len() < MAX_ATTEMPTS
            && request.attempts.iter().all(late)
            && lost
            && matches!(worker, Worker::Peer(_))
        {
            self.totals.resent += 1;
            self.start_attempt(id, worker.clone(), now);
        }
    }

    /// Asks one more worker besides those who are late, if there is one: who fell silent before, if nobody else is left.
    /// `free` when the last is thought to be gone.
    pub(super) fn hedge(&mut self, id: RequestId, free: bool, now: Duration) {
        let Some(request) = self.dispatch.requests.get(&id) else {
            return;
        };
        let fragment = request.fragment;
        let allowed = free || self.dispatch.hedge_tenths >= 10;
        if request.state != State::Asked || !allowed {
            return;
        }
        let full = request.attempts.len() >= MAX_ATTEMPTS;
        let hopeless = self.hopeless(request, now);
        match (full, hopeless, self.one_more(id, now)) {
            (_, _, None) => return self.find_more(fragment, now),
            (true, None, _) => return,
            (true, Some(number), Some(_)) => self.abandon(number, true, now),
            (false, ..) => {}
        }
        if let Some(worker) = self.one_more(id, now) {
            self.dispatch.hedge_tenths -= if free { 0 } else { 10 };
            self.totals.hedged += 1;
            self.start_attempt(id, worker, now);
        }
    }

    /// Looks for holders with whom there is no connection yet.
    fn find_more(&mut self, fragment: FragmentIndex, now: Duration) {
        if let Some(content) = self.catalogue.get(fragment).map(|info| info.content) {
            self.find(content, now);
        }
    }

    /// Of what was asked for lately some that one node alone would answer, and for which nobody has been looked for long: if
    /// that one fell silent, there would be nobody to ask until others are found.
    pub(crate) fn thinly_held(&mut self, most: usize, now: Duration) -> Vec<FragmentIndex> {
        let lately = std::mem::take(&mut self.dispatch.lately);
        self.dispatch.looked.retain(|_, at| now < *at + LOOK_AGAIN);
        let model = self.config.model;
        let answers = |index: FragmentIndex| {
            let peers = self.peers.connected.values();
            let others = peers.filter(|peer| peer.computes(model, index));
            let others = others.filter(|peer| peer.suspicion.is_none());
            others.count() + usize::from(self.computes.contains(index.0))
        };
        let looked = &self.dispatch.looked;
        let thin = lately.into_iter().filter(|index| answers(*index) < 2);
        let thin = thin.filter(|index| !looked.contains_key(index));
        let thin: Vec<_> = thin.take(most).collect();
        let marks = thin.iter().map(|index| (*index, now));
        self.dispatch.looked.extend(marks);
        thin
    }

    fn one_more(&self, id: RequestId, now: Duration) -> Option<Worker> {
        let choices = [false, true].map(|last_resort| self.choose(id, last_resort, now));
        choices.into_iter().find_map(|choice| match choice {
            Choice::Worker(worker) => Some(worker),
            Choice::Full | Choice::Nobody => None,
        })
    }

    /// The attempt that has been late for longest, once it is as good as lost: it must not keep a place from somebody
    /// who would answer.
    fn hopeless(&self, request: &Request, now: Duration) -> Option<u64> {
        let attempts = request.attempts.iter().filter_map(|number| {
            let attempt = self.dispatch.attempts.get(number)?;
            Some((attempt.sent, *number, attempt.late))
        });
        let (sent, number, late) = attempts.min()?;
        let lost = now.saturating_sub(sent) >= self.config.repeat_after;
        (late && lost).then_some(number)
    }
}

//! Where the time of an answer goes: who was waited for, and how long.

use std::collections::BTreeMap;

use swarm::Worker;

/// Who worked for an answer. All its time is somebody's: what passes until an answer comes is the time of whoever gives it,
/// since it is the one that was waited for, and what passes from there until the next question is this device's.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Milliseconds; what is before is somebody's already.
    since: f64,
    /// An answer has come, and what follows from it has not been asked yet.
    at_work: bool,
    work: BTreeMap<Worker, Work>,
}

/// What one of them did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Work {
    /// Requests answered.
    pub(super) requests: u64,
    /// How long it was waited for.
    pub(super) milliseconds: f64,
}

impl Route {
    pub(super) fn new(now: f64) -> Self {
        Self {
            since: now,
            at_work: true,
            work: BTreeMap::new(),
        }
    }

    /// An answer has come.
    pub(super) fn answered(&mut self, by: Worker, now: f64) {
        let took = self.pass(now);
        self.at_work = true;
        let work = self.work.entry(by).or_default();
        work.requests += 1;
        work.milliseconds += took;
    }

    /// All that follows from the answers so far has been asked.
    pub(super) fn asked(&mut self, now: f64) {
        if !std::mem::take(&mut self.at_work) {
            // Nothing was to be done here meanwhile: somebody else is still waited for.
            return;
        }
        let took = self.pass(now);
        if took > 0.0 {
            self.work.entry(Worker::Local).or_default().milliseconds += took;
        }
    }

    fn pass(&mut self, now: f64) -> f64 {
        let took = (now - self.since).max(0.0);
        self.since = now.max(self.since);
        took
    }

    pub(super) fn workers(&self) -> impl Iterator<Item = (&Worker, Work)> {
        self.work.iter().map(|(worker, work)| (worker, *work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swarm::PeerId;

    #[test]
    fn all_time_is_somebodys() {
        let peer = |name: &[u8]| Worker::Peer(PeerId::new(name));
        let mut route = Route::new(100.0);
        route.asked(103.0);
        // Something else happens while the answer is waited for.
        route.asked(108.0);
        route.answered(peer(b"a"), 113.0);
        route.answered(peer(b"b"), 120.0);
        route.answered(Worker::Local, 121.0);
        route.asked(125.0);
        route.answered(peer(b"a"), 130.0);
        let work = |requests, milliseconds| Work {
            requests,
            milliseconds,
        };
        let expected = [
            (Worker::Local, work(1, 8.0)),
            (peer(b"a"), work(2, 15.0)),
            (peer(b"b"), work(1, 7.0)),
        ];
        let mut told: Vec<_> = route
            .workers()
            .map(|(worker, work)| (worker.clone(), work))
            .collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        let mut expected = expected.to_vec();
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(told, expected);
        assert_eq!(told.iter().map(|it| it.1.milliseconds).sum::<f64>(), 30.0);
    }
}

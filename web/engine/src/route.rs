//! Where the time of an answer goes: who was waited for, and how long.

use std::collections::BTreeMap;

use swarm::{PeerId, Worker, stages::Plan};
use web_bridge::status::Hop;

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
struct Work {
    /// Requests answered.
    requests: u64,
    /// How long it was waited for.
    milliseconds: f64,
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

    /// Who worked for the answer, this tab first, then those who were waited for longest. Who ran layers is on the way that
    /// its tokens took last.
    pub(super) fn hops(&self, way: Option<&Plan>, names: &BTreeMap<PeerId, String>) -> Vec<Hop> {
        let legs = way.iter().flat_map(|way| &way.legs);
        let run: BTreeMap<_, _> = legs
            .filter_map(|leg| Some((leg.runner.clone()?, (leg.layers.start, leg.layers.end))))
            .collect();
        let hop = |(worker, work): (&Worker, &Work)| {
            let peer = match worker {
                Worker::Local => None,
                Worker::Peer(peer) => Some(peer),
            };
            Hop {
                layers: peer.and_then(|peer| run.get(peer).copied()),
                peer: peer.map(|peer| names.get(peer).cloned().unwrap_or_default()),
                requests: work.requests,
                milliseconds: work.milliseconds,
            }
        };
        let mut hops: Vec<_> = self.work.iter().map(hop).collect();
        hops.sort_by(|a, b| {
            let time = b.milliseconds.total_cmp(&a.milliseconds);
            a.peer.is_some().cmp(&b.peer.is_some()).then(time)
        });
        hops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let names = [
            (PeerId::new(b"a"), "A".to_owned()),
            (PeerId::new(b"b"), "B".to_owned()),
        ]
        .into();
        let hops = route.hops(None, &names);
        let told: Vec<_> = hops
            .iter()
            .map(|hop| (hop.peer.as_deref(), hop.requests, hop.milliseconds))
            .collect();
        assert_eq!(
            told,
            [(None, 1, 8.0), (Some("A"), 2, 15.0), (Some("B"), 1, 7.0)]
        );
        assert_eq!(hops.iter().map(|hop| hop.milliseconds).sum::<f64>(), 30.0);
    }
}

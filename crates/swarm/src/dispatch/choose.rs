//! Who is asked.

use super::{Attempt, Choice, State};
use crate::latency::{self, Latency};
use crate::peers::Peer;
use crate::timers::Timer;
use crate::{FragmentIndex, Node, PeerId, RequestId, Worker};
use protocol::{ComputeRequest, Message, RequestId as WireId};
use std::time::Duration;

/// How much slower than others somebody may be of whom it is not known.
const LIKE_OTHERS: u32 = 2;

impl Node {
    /// Chooses who should compute a request: the least work in front of it in terms of time, and among those who are
    /// about equal whoever was given work longest ago, so that all of them take part.
    pub(super) fn choose(&self, id: RequestId, last_resort: bool, now: Duration) -> Choice {
        let Some(request) = self.dispatch.requests.get(&id) else {
            return Choice::Nobody;
        };
        let class = latency::class(request.body.len());
        let asked = |worker: &Worker| {
            request.excluded.contains(worker)
                || request.attempts.iter().any(|a| {
                    self.dispatch
                        .attempts
                        .get(a)
                        .is_some_and(|a| a.worker == *worker)
                })
        };
        // (unlikely to answer, time until done, turn)
        let mut best: Option<((bool, Duration, u64), Worker)> = None;
        let mut held = false;
        let mut consider = |rank: (bool, Duration, u64), worker: Worker| {
            if best.as_ref().is_none_or(|(other, _)| rank < *other) {
                best = Some((rank, worker));
            }
        };
        let cost = |latency: &Latency, in_flight: usize, least: Duration| {
            // Somebody new is taken for quick with the first request, and for slow until it has answered that.
            let unknown = if in_flight == 0 {
                Duration::ZERO
            } else {
                self.config.initial_latency
            };
            let expected = latency.expected(class, now).unwrap_or(unknown).max(least);
            expected * u32::try_from(in_flight + 1).unwrap_or(u32::MAX).min(4096)
        };
        if self.computes.contains(request.fragment.0) && !asked(&Worker::Local) {
            held = true;
            let local = &self.dispatch.local;
            let least = if request.rather_here {
                Duration::ZERO
            } else {
                self.config.spread_below
            };
            consider(
                (
                    false,
                    cost(&local.latency, local.in_flight, least),
                    local.given,
                ),
                Worker::Local,
            );
        }
        for (name, peer) in &self.peers.connected {
            if !peer.computes(self.config.model, request.fragment) {
                continue;
            }
            let worker = Worker::Peer(name.clone());
            if asked(&worker) {
                continue;
            }
            held = true;
            if peer.busy_until > now || peer.in_flight >= self.config.max_requests_per_peer {
                continue;
            }
            // Until it has proved itself.
            let doubtful = peer.suspicion.is_some();
            if !doubtful || last_resort {
                consider(
                    (
                        doubtful,
                        cost(&peer.latency, peer.in_flight, self.config.spread_below),
                        peer.given,
                    ),
                    worker,
                );
            }
        }
        match best {
            Some((_, worker)) => Choice::Worker(worker),
            None if held => Choice::Full,
            None => Choice::Nobody,
        }
    }

    /// Who fell silent is asked one thing from time to time, so that it can show that it answers again: besides somebody who
    /// does, so that nobody waits if it does not.
    pub(super) fn try_a_suspect(&mut self, id: RequestId, now: Duration) {
        let Some(request) = self.dispatch.requests.get(&id) else {
            return;
        };
        let model = self.config.model;
        let due = |(name, peer): &(&PeerId, &Peer)| {
            let suspicion = peer.suspicion.is_some_and(|it| it.until <= now);
            suspicion
                && peer.in_flight == 0
                && peer.computes(model, request.fragment)
                && !request.excluded.contains(&Worker::Peer((*name).clone()))
        };
        let suspect = self.peers.connected.iter().find(due);
        if let Some((name, _)) = suspect {
            let worker = Worker::Peer(name.clone());
            self.start(id, worker, true, now);
        }
    }

    pub(super) fn start_attempt(&mut self, id: RequestId, worker: Worker, now: Duration) {
        self.start(id, worker, false, now);
    }

    fn start(&mut self, id: RequestId, worker: Worker, probe: bool, now: Duration) {
        let number = self.next_number();
        self.dispatch.turn += 1;
        let turn = self.dispatch.turn;
        let Some(request) = self.dispatch.requests.get_mut(&id) else {
            return;
        };
        let (fragment, body) = (request.fragment, request.body.clone());
        let (priority, waited) = (request.priority, now.saturating_sub(request.submitted));
        let class = latency::class(body.len());
        let factor = self.config.deadline_factor;
        let everybody = &self.dispatch.everybody;
        let others = everybody.patience(class, 0, factor * LIKE_OTHERS);
        let others = others.filter(|_| everybody.knows(class));
        let (known, in_flight, given) = match &worker {
            Worker::Local => {
                let local = &mut self.dispatch.local;
                (&local.latency, &mut local.in_flight, &mut local.given)
            }
            Worker::Peer(name) => {
                let Some(peer) = self.peers.connected.get_mut(name) else {
                    return;
                };
                (&peer.latency, &mut peer.in_flight, &mut peer.given)
            }
        };
        let own = known.patience(class, *in_flight, factor);
        // Who was never asked for that much is taken for somebody like others, as far as they were.
        let patience = if known.knows(class) {
            own
        } else {
            others.or(own)
        };
        let patience = patience.unwrap_or(self.config.initial_latency * factor);
        let deadline = now + patience.clamp(self.config.deadline_floor, self.config.give_up / 4);
        *in_flight += 1;
        *given = turn;
        request.state = State::Asked;
        request.asked += 1;
        request.attempts.insert(number);
        self.dispatch.stop_waiting(id, fragment);
        let attempt = Attempt {
            request: id,
            worker: worker.clone(),
            sent: now,
            deadline,
            class,
            late: false,
            probe,
        };
        self.dispatch.attempts.insert(number, attempt);
        self.timers.set(deadline, Timer::Attempt(number));
        self.be_patient(id, false, now);
        match worker {
            Worker::Local => self.compute_here(number, fragment, body, priority, now),
            Worker::Peer(peer) => {
                let Some(info) = self.catalogue.get(fragment) else {
                    return;
                };
                let request = ComputeRequest {
                    id: WireId(number),
                    fragment: info.content.0,
                    body,
                    priority,
                    patience: Some(self.config.give_up.saturating_sub(waited)),
                };
                self.send(&peer, Message::ComputeRequest(request));
            }
        }
    }

    /// Tries again to place what is waiting: for fragments `peer` holds (it has room or something new), or all.
    pub(crate) fn wake(&mut self, peer: Option<&PeerId>, now: Duration) {
        let held = |index: FragmentIndex| match peer {
            None => true,
            Some(name) => self
                .peers
                .get(name)
                .is_some_and(|peer| peer.computes(self.config.model, index)),
        };
        let fragments: Vec<_> = self
            .dispatch
            .fragments_waited_for()
            .filter(|index| held(*index))
            .collect();
        for fragment in fragments {
            let queue: Vec<_> = self
                .dispatch
                .waiting
                .get(&fragment)
                .into_iter()
                .flatten()
                .copied()
                .collect();
            for id in queue {
                match self.choose(id, true, now) {
                    Choice::Worker(worker) => {
                        self.start_attempt(id, worker, now);
                        self.try_a_suspect(id, now);
                    }
                    Choice::Full => {
                        self.be_patient(id, false, now);
                        break;
                    }
                    // Another request on the same fragment may have excluded other workers.
                    Choice::Nobody => {}
                }
            }
        }
    }
}

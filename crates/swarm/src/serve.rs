//! Computing for others, and for ourselves: one queue in front of the compute slots, what is urgent first, and
//! everybody in turn.

use crate::fair::Fair;
use crate::queue::Queue;
use crate::{Action, ComputeError, ContentId, FragmentIndex, Node, PeerId, Ticket};
use bytes::Bytes;
use protocol::{
    ComputeRequest, ComputeResponse, ErrorCode, Failure, Message, Priority, RequestId as WireId,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// Bodies of strangers that wait here, all together.
const MAX_QUEUED_BYTES: usize = 128 * 1024 * 1024;

/// Of so many jobs one is done that is not urgent, however many are.
const PATIENT_TURN: u32 = 8;

/// For whom something is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// For ourselves: the attempt.
    Own(u64),
    /// For a peer: its request.
    Peer(PeerId, WireId),
}

#[derive(Debug)]
struct Job {
    origin: Origin,
    fragment: FragmentIndex,
    body: Bytes,
    priority: Priority,
    /// When the asker will not wait any more.
    expires: Option<Duration>,
}

/// Jobs that wait and run. The owner `None` is ourselves.
#[derive(Debug)]
pub(crate) struct Server {
    urgent: Fair<Option<PeerId>, Job>,
    patient: Fair<Option<PeerId>, Job>,
    /// Urgent jobs begun since a patient one was.
    urgent_in_a_row: u32,
    running: BTreeMap<Ticket, Running>,
    queued_bytes: usize,
    /// Bytes of fragments computed on in a second: with one token at a time, and with many, each of which counts.
    speed: Option<u64>,
    speed_many: Option<u64>,
    /// What one computation takes.
    each: Option<Duration>,
}

/// What the shell computes.
#[derive(Debug)]
struct Running {
    origin: Origin,
    fragment: FragmentIndex,
    since: Duration,
    /// Bytes of the request.
    asked: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            urgent: Fair::new(),
            patient: Fair::new(),
            urgent_in_a_row: 0,
            running: BTreeMap::new(),
            queued_bytes: 0,
            speed: None,
            speed_many: None,
            each: None,
        }
    }
}

impl Server {
    fn push(&mut self, owner: Option<PeerId>, job: Job) {
        self.queued_bytes += job.body.len();
        let queue = match job.priority {
            Priority::Interactive => &mut self.urgent,
            Priority::Background => &mut self.patient,
        };
        queue.push(owner, job);
    }

    fn pop(&mut self) -> Option<Job> {
        let patient_first = self.urgent_in_a_row + 1 >= PATIENT_TURN && self.patient.len() > 0;
        let urgent = if patient_first {
            None
        } else {
            self.urgent.pop()
        };
        self.urgent_in_a_row = if urgent.is_some() {
            self.urgent_in_a_row.saturating_add(1)
        } else {
            0
        };
        let (_, job) = urgent.or_else(|| self.patient.pop())?;
        self.queued_bytes -= job.body.len();
        Some(job)
    }

    fn remove(&mut self, owner: &Option<PeerId>, mut gone: impl FnMut(&Job) -> bool) {
        for queue in [&mut self.urgent, &mut self.patient] {
            for job in queue.remove(owner, &mut gone) {
                self.queued_bytes -= job.body.len();
            }
        }
    }

    /// Bytes of weights multiplied with in a second, about, once something was computed.
    pub(crate) fn speed(&self) -> Option<u64> {
        self.speed
    }

    /// The same with many tokens at a time, each of which counts.
    pub(crate) fn speed_many(&self) -> Option<u64> {
        self.speed_many
    }

    /// What is to be done before the last job of somebody that waits, if that is worth saying.
    fn queue_of(&self, owner: &Option<PeerId>, priority: Priority, slots: usize) -> Option<Queue> {
        let before = match priority {
            Priority::Interactive => self.urgent.before_last_of(owner),
            Priority::Background => self.urgent.len() + self.patient.before_last_of(owner),
        };
        Queue::of(before + self.running.len(), self.each, slots)
    }

    fn note_speed(&mut self, bytes: u64, tokens: u64, took: Duration) {
        self.each = Some(self.each.map_or(took, |mean| (mean * 7 + took) / 8));
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let done = bytes.saturating_mul(tokens);
        let speed = done.saturating_mul(1_000_000_000) / nanos;
        let mean = match tokens {
            0 | 1 => &mut self.speed,
            _ => &mut self.speed_many,
        };
        *mean = Some(mean.map_or(speed, |mean| (mean / 8) * 7 + speed / 8));
    }

    fn waiting_of(&self, owner: &Option<PeerId>) -> usize {
        self.urgent.len_of(owner) + self.patient.len_of(owner)
    }

    /// Requests of others that wait or run.
    pub(crate) fn len(&self) -> usize {
        let running = self
            .running
            .values()
            .filter(|running| matches!(running.origin, Origin::Peer(..)))
            .count();
        self.urgent.len() + self.patient.len() - self.waiting_of(&None) + running
    }

    fn len_of(&self, peer: &PeerId) -> usize {
        let running = self
            .running
            .values()
            .filter(|running| matches!(&running.origin, Origin::Peer(p, _) if p == peer));
        self.waiting_of(&Some(peer.clone())) + running.count()
    }

    /// Drops what a peer that left is waiting for; what runs runs to its end for nobody.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.remove(&Some(peer.clone()), |_| true);
    }
}

impl Node {
    /// Queues one of our own attempts for computing here.
    pub(crate) fn compute_here(
        &mut self,
        attempt: u64,
        fragment: FragmentIndex,
        body: Bytes,
        priority: Priority,
        now: Duration,
    ) {
        let job = Job {
            origin: Origin::Own(attempt),
            fragment,
            body,
            priority,
            // Cancelled when it is not needed any more.
            expires: None,
        };
        self.server.push(None, job);
        self.run_jobs(now);
        let waits = |job: &Job| job.origin == Origin::Own(attempt);
        if let Some(request) = self.request_of(attempt)
            && let Some(queue) = self.queue_before(None, waits, priority)
        {
            self.has_to_wait(request, queue);
        }
    }

    /// An attempt of our own is not needed any more.
    pub(crate) fn compute_here_cancelled(&mut self, attempt: u64) {
        self.server
            .remove(&None, |job| job.origin == Origin::Own(attempt));
    }

    pub(crate) fn compute_request(
        &mut self,
        peer: &PeerId,
        request: ComputeRequest,
        now: Duration,
    ) {
        let held = self.index_of.get(&ContentId(request.fragment)).copied();
        let Some(fragment) = held.filter(|index| self.computes.contains(index.0)) else {
            self.refuse(peer, request.id, ErrorCode::NotHeld, now);
            return;
        };
        let full = self.server.len() >= self.config.max_incoming
            || self.server.len_of(peer) >= self.config.max_incoming_per_peer
            || self.server.queued_bytes + request.body.len() > MAX_QUEUED_BYTES;
        if full {
            self.totals.refused += 1;
            if !self.is_flood(peer, now) {
                // Nothing of it waits here, so it comes after all that does.
                let (waiting, slots) = (self.server.len(), self.config.compute_slots);
                if let Some(queue) = Queue::of(waiting, self.server.each, slots) {
                    self.tell_to_wait(peer, request.id, queue);
                }
                self.refuse_with(peer, request.id, ErrorCode::Busy);
            }
            return;
        }
        let job = Job {
            origin: Origin::Peer(peer.clone(), request.id),
            fragment,
            body: request.body,
            priority: request.priority,
            expires: request.patience.map(|time| now.saturating_add(time)),
        };
        self.server.push(Some(peer.clone()), job);
        self.run_jobs(now);
        let waits = |job: &Job| matches!(&job.origin, Origin::Peer(_, id) if *id == request.id);
        if let Some(queue) = self.queue_before(Some(peer.clone()), waits, request.priority) {
            self.tell_to_wait(peer, request.id, queue);
        }
    }

    /// What is to be done before the newest job of somebody, if it waits.
    fn queue_before(
        &self,
        owner: Option<PeerId>,
        is_it: impl Fn(&Job) -> bool,
        priority: Priority,
    ) -> Option<Queue> {
        let queue = match priority {
            Priority::Interactive => &self.server.urgent,
            Priority::Background => &self.server.patient,
        };
        let slots = self.config.compute_slots;
        let waits = queue.last_of(&owner).is_some_and(is_it);
        waits.then(|| self.server.queue_of(&owner, priority, slots))?
    }

    /// Answers with an error, and bans who goes on asking at a rate that only an attack has.
    fn refuse(&mut self, peer: &PeerId, id: WireId, code: ErrorCode, now: Duration) {
        if !self.is_flood(peer, now) {
            self.refuse_with(peer, id, code);
        }
    }

    fn refuse_with(&mut self, peer: &PeerId, id: WireId, code: ErrorCode) {
        let message = String::new();
        self.respond(peer, id, Err(Failure { code, message }));
    }

    /// Counts what is refused; who goes on and on is banned.
    pub(crate) fn is_flood(&mut self, peer: &PeerId, now: Duration) -> bool {
        let known = self.peers.get_mut(peer);
        let flood = known.is_some_and(|known| known.strike(now));
        if flood {
            self.ban(peer, "flood of requests", now);
        }
        flood
    }

    pub(crate) fn cancelled_by(&mut self, peer: &PeerId, id: WireId) {
        self.server.remove(
            &Some(peer.clone()),
            |job| matches!(job.origin, Origin::Peer(_, other) if other == id),
        );
    }

    /// Changes how many computations the shell runs at one time; those that run already go on.
    pub fn set_compute_slots(&mut self, slots: usize, now: Duration) {
        self.config.compute_slots = slots;
        self.run_jobs(now);
    }

    /// Fills the free compute slots.
    pub(crate) fn run_jobs(&mut self, now: Duration) {
        while self.server.running.len() < self.config.compute_slots.max(1) {
            let Some(job) = self.server.pop() else {
                return;
            };
            if job.expires.is_some_and(|at| at <= now) {
                self.totals.expired += 1;
                if let Origin::Peer(peer, id) = job.origin {
                    let failure = Failure {
                        code: ErrorCode::Expired,
                        message: String::new(),
                    };
                    self.respond(&peer, id, Err(failure));
                }
                continue;
            }
            let ticket = Ticket(self.next_number());
            let running = Running {
                origin: job.origin,
                fragment: job.fragment,
                since: now,
                asked: job.body.len(),
            };
            self.server.running.insert(ticket, running);
            self.actions.push_back(Action::Compute {
                ticket,
                fragment: job.fragment,
                body: job.body,
            });
        }
    }

    pub(crate) fn computed(
        &mut self,
        ticket: Ticket,
        result: Result<Bytes, ComputeError>,
        now: Duration,
    ) {
        let Some(Running {
            origin,
            fragment,
            since,
            asked,
        }) = self.server.running.remove(&ticket)
        else {
            return;
        };
        if let (Ok(_), Some(info)) = (&result, self.catalogue.get(fragment)) {
            let (bytes, took) = (info.bytes, now.saturating_sub(since));
            let tokens = self.stages.tokens_of(fragment, asked);
            self.server.note_speed(bytes, tokens, took);
        }
        if result == Err(ComputeError::NotHeld) {
            // Everybody should know, or they go on asking.
            self.remove_holding(fragment, now);
        }
        match origin {
            Origin::Own(attempt) => self.computed_here(attempt, result, now),
            Origin::Peer(peer, id) => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    if result.is_ok() {
                        known.served += 1;
                        self.totals.served += 1;
                    }
                    self.respond(&peer, id, result.map_err(Failure::from));
                }
            }
        }
        self.run_jobs(now);
    }

    fn respond(&mut self, peer: &PeerId, id: WireId, result: Result<Bytes, Failure>) {
        self.send(
            peer,
            Message::ComputeResponse(ComputeResponse { id, result }),
        );
    }
}

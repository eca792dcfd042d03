//! Own compute requests: who is asked, and who is asked next.
//!
//! A request is waiting (nobody can take it), asked (one or several attempts are under way) or judged (an answer was
//! delivered, the caller has not said yet whether it is good). An attempt belongs to one worker and ends with an
//! answer, an error, the worker's departure, or with somebody else's answer.

use crate::latency::{self, Latency};
use crate::timers::Timer;
use crate::{
    Action, ComputeError, Failure, FragmentIndex, Node, PeerId, RequestId, SubmitError, Worker,
};
use bytes::Bytes;
use protocol::{Cancel, ComputeRequest, ComputeResponse, ErrorCode, Message, RequestId as WireId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Workers asked at one time for one answer.
const MAX_ATTEMPTS: usize = 3;
/// Every request earns a tenth of a hedge, up to this many tenths: when everybody is slow because there is too much to
/// do, asking twice would only make it worse.
const MAX_HEDGE_TENTHS: u32 = 160;
/// So many workers must call a request malformed before it is believed: one alone may be a liar.
const MALFORMED_QUORUM: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Asked,
    Judged,
}

/// Until when a request is patient, and with whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Patience {
    ForHolder(Duration),
    ForAnswer(Duration),
}

impl Patience {
    fn until(self) -> Duration {
        match self {
            Self::ForHolder(at) | Self::ForAnswer(at) => at,
        }
    }
}

#[derive(Debug)]
struct Request {
    fragment: FragmentIndex,
    body: Bytes,
    state: State,
    submitted: Duration,
    attempts: BTreeSet<u64>,
    /// Who gave no usable answer and is not asked again.
    excluded: BTreeSet<Worker>,
    malformed: BTreeSet<Worker>,
    asked: usize,
    last_problem: String,
    patience: Option<Patience>,
    judged: Option<Worker>,
}

#[derive(Debug)]
struct Attempt {
    request: RequestId,
    worker: Worker,
    sent: Duration,
    deadline: Duration,
    class: usize,
    late: bool,
}

/// What is known of this node itself as a worker.
#[derive(Debug, Default)]
struct Local {
    latency: Latency,
    in_flight: usize,
    given: u64,
}

/// All own requests.
#[derive(Debug)]
pub(crate) struct Dispatch {
    requests: BTreeMap<RequestId, Request>,
    attempts: BTreeMap<u64, Attempt>,
    waiting: BTreeMap<FragmentIndex, BTreeSet<RequestId>>,
    local: Local,
    hedge_tenths: u32,
    turn: u64,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            requests: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiting: BTreeMap::new(),
            local: Local::default(),
            hedge_tenths: MAX_HEDGE_TENTHS,
            turn: 0,
        }
    }
}

impl Dispatch {
    pub(crate) fn under_way(&self) -> usize {
        self.requests.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.values().map(BTreeSet::len).sum()
    }

    pub(crate) fn fragments_waited_for(&self) -> impl Iterator<Item = FragmentIndex> + '_ {
        self.waiting.keys().copied()
    }

    fn stop_waiting(&mut self, id: RequestId, fragment: FragmentIndex) {
        if let Some(queue) = self.waiting.get_mut(&fragment) {
            queue.remove(&id);
            if queue.is_empty() {
                self.waiting.remove(&fragment);
            }
        }
    }
}

/// Why an attempt came to nothing.
enum Problem {
    Left,
    NotHeld,
    Busy,
    Malformed(String),
    Failed(String),
}

/// Who could take a request.
enum Choice {
    Worker(Worker),
    /// Somebody holds the fragment, but nobody has room now.
    Full,
    Nobody,
}

impl Node {
    /// Asks the swarm (or this node itself) to compute `body` on a fragment. The answer comes as
    /// [`Action::Answer`](crate::Action::Answer), and must be [accepted](Node::accept) or [rejected](Node::reject).
    ///
    /// # Errors
    /// When the request is not taken; nothing will come of it then.
    pub fn submit(
        &mut self,
        id: RequestId,
        fragment: FragmentIndex,
        body: Bytes,
        now: Duration,
    ) -> Result<(), SubmitError> {
        if self.catalogue.get(fragment).is_none() {
            return Err(SubmitError::UnknownFragment(fragment));
        }
        if self.dispatch.requests.contains_key(&id) {
            return Err(SubmitError::Duplicate(id));
        }
        if self.dispatch.requests.len() >= self.config.max_requests {
            return Err(SubmitError::TooMany);
        }
        self.dispatch.hedge_tenths = (self.dispatch.hedge_tenths + 1).min(MAX_HEDGE_TENTHS);
        let request = Request {
            fragment,
            body,
            state: State::Asked,
            submitted: now,
            attempts: BTreeSet::new(),
            excluded: BTreeSet::new(),
            malformed: BTreeSet::new(),
            asked: 0,
            last_problem: String::new(),
            patience: None,
            judged: None,
        };
        self.dispatch.requests.insert(id, request);
        self.ask(id, now);
        Ok(())
    }

    /// The caller does not need an answer any more. Unknown requests are ignored.
    pub fn cancel(&mut self, id: RequestId, now: Duration) {
        self.forget_request(id, now);
    }

    /// The answer delivered for this request is good: everybody else working on it is told to stop.
    pub fn accept(&mut self, id: RequestId, now: Duration) {
        let Some(Request {
            judged: Some(worker),
            ..
        }) = self.forget_request(id, now)
        else {
            return;
        };
        match &worker {
            Worker::Local => self.totals.answered_locally += 1,
            Worker::Peer(name) => {
                self.totals.answered_by_peers += 1;
                if let Some(peer) = self.peers.get_mut(name) {
                    peer.answered += 1;
                }
            }
        }
    }

    /// The answer delivered for this request is not even shaped like one: its author is banned, somebody else is asked.
    pub fn reject(&mut self, id: RequestId, now: Duration) {
        let Some(request) = self.dispatch.requests.get_mut(&id) else {
            return;
        };
        let Some(worker) = request.judged.take() else {
            return;
        };
        request.state = State::Asked;
        request.last_problem = format!("nonsense from {worker:?}");
        request.excluded.insert(worker.clone());
        if let Worker::Peer(peer) = &worker {
            self.ban(peer, "answered a request with nonsense", now);
        }
        self.ask_again(id, now);
    }

    /// Finds a worker for a request without one, or lets it wait.
    fn ask(&mut self, id: RequestId, now: Duration) {
        match self.choose(id, true, now) {
            Choice::Worker(worker) => self.start_attempt(id, worker, now),
            choice => {
                let Some(request) = self.dispatch.requests.get_mut(&id) else {
                    return;
                };
                request.state = State::Waiting;
                let fragment = request.fragment;
                self.dispatch
                    .waiting
                    .entry(fragment)
                    .or_default()
                    .insert(id);
                let nobody = matches!(choice, Choice::Nobody);
                self.be_patient(id, nobody, now);
                if let (true, Some(info)) = (nobody, self.catalogue.get(fragment)) {
                    let content = info.content;
                    if let Some(model) = self.config.model {
                        self.find(model, now);
                    }
                    self.find(content, now);
                }
            }
        }
    }

    /// After an attempt came to nothing: others may still be under way, otherwise somebody else is asked.
    fn ask_again(&mut self, id: RequestId, now: Duration) {
        let Some(request) = self.dispatch.requests.get(&id) else {
            return;
        };
        if request.state == State::Asked && request.attempts.is_empty() {
            self.totals.resent += 1;
            self.ask(id, now);
        }
    }

    fn be_patient(&mut self, id: RequestId, for_holder: bool, now: Duration) {
        let Some(request) = self.dispatch.requests.get_mut(&id) else {
            return;
        };
        // However often holders come and go, there is an end to it.
        let end = request.submitted + self.config.give_up.max(self.config.grace);
        let new = match (request.patience, for_holder) {
            (Some(Patience::ForHolder(_)), true) | (Some(Patience::ForAnswer(_)), false) => return,
            (_, true) => Patience::ForHolder((now + self.config.grace).min(end)),
            (_, false) => Patience::ForAnswer((now + self.config.give_up).min(end)),
        };
        if let Some(old) = request.patience.replace(new) {
            self.timers.clear(old.until(), Timer::Patience(id));
        }
        self.timers.set(new.until(), Timer::Patience(id));
    }

    pub(crate) fn patience_over(&mut self, id: RequestId, now: Duration) {
        let Some(request) = self.dispatch.requests.get(&id) else {
            return;
        };
        let Some(info) = self.catalogue.get(request.fragment) else {
            return;
        };
        let (fragment, content, tried) = (request.fragment, info.content, request.asked);
        let waited = now.saturating_sub(request.submitted);
        let failure = match request.patience {
            Some(Patience::ForHolder(_)) if tried == 0 => Failure::NobodyHolds {
                fragment,
                content,
                waited,
            },
            _ if request.last_problem.is_empty() => {
                let last = format!("nothing for {} s", waited.as_secs());
                Failure::NobodyAnswers {
                    fragment,
                    content,
                    tried,
                    last,
                }
            }
            _ => Failure::NobodyAnswers {
                fragment,
                content,
                tried,
                last: request.last_problem.clone(),
            },
        };
        self.fail(id, failure, now);
    }

    fn fail(&mut self, id: RequestId, failure: Failure, now: Duration) {
        self.forget_request(id, now);
        self.totals.failed += 1;
        self.actions.push_back(Action::Failed {
            request: id,
            failure,
        });
    }

    /// Takes a request and everything under way for it out of the books.
    fn forget_request(&mut self, id: RequestId, now: Duration) -> Option<Request> {
        let request = self.dispatch.requests.remove(&id)?;
        self.dispatch.stop_waiting(id, request.fragment);
        if let Some(patience) = request.patience {
            self.timers.clear(patience.until(), Timer::Patience(id));
        }
        let mut freed = Vec::new();
        for number in &request.attempts {
            let Some(attempt) = self.finish(*number) else {
                continue;
            };
            let elapsed = now.saturating_sub(attempt.sent);
            match attempt.worker {
                Worker::Local => self.compute_here_cancelled(*number),
                Worker::Peer(peer) => {
                    if let Some(known) = self.peers.get_mut(&peer) {
                        known.latency.record_at_least(attempt.class, elapsed, now);
                        self.send(
                            &peer,
                            Message::Cancel(Cancel {
                                id: WireId(*number),
                            }),
                        );
                        freed.push(peer);
                    }
                }
            }
        }
        for peer in freed {
            self.wake(Some(&peer), now);
        }
        Some(request)
    }

    /// Chooses who should compute a request: the least work in front of it in terms of time, and among those who are
    /// about equal whoever was given work longest ago, so that all of them take part.
    fn choose(&self, id: RequestId, last_resort: bool, now: Duration) -> Choice {
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
        let cost = |latency: &Latency, in_flight: usize| {
            // Somebody new is taken for quick with the first request, and for slow until it has answered that.
            let unknown = if in_flight == 0 {
                Duration::ZERO
            } else {
                self.config.initial_latency
            };
            let expected = latency
                .expected(class, now)
                .unwrap_or(unknown)
                .max(self.config.spread_below);
            expected * u32::try_from(in_flight + 1).unwrap_or(u32::MAX).min(4096)
        };
        if self.computes.contains(request.fragment.0) && !asked(&Worker::Local) {
            held = true;
            let local = &self.dispatch.local;
            consider(
                (false, cost(&local.latency, local.in_flight), local.given),
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
            // A suspect gets one request to prove itself once its time is over.
            let doubtful = peer
                .suspicion
                .is_some_and(|s| s.until > now || peer.in_flight > 0);
            if !doubtful || last_resort {
                consider(
                    (doubtful, cost(&peer.latency, peer.in_flight), peer.given),
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

    fn start_attempt(&mut self, id: RequestId, worker: Worker, now: Duration) {
        let number = self.next_number();
        self.dispatch.turn += 1;
        let turn = self.dispatch.turn;
        let Some(request) = self.dispatch.requests.get_mut(&id) else {
            return;
        };
        let (fragment, body) = (request.fragment, request.body.clone());
        let class = latency::class(body.len());
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
        let patience = known.patience(class, *in_flight, self.config.deadline_factor);
        let patience =
            patience.unwrap_or(self.config.initial_latency * self.config.deadline_factor);
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
        };
        self.dispatch.attempts.insert(number, attempt);
        self.timers.set(deadline, Timer::Attempt(number));
        self.be_patient(id, false, now);
        match worker {
            Worker::Local => self.compute_here(number, fragment, body),
            Worker::Peer(peer) => {
                let Some(info) = self.catalogue.get(fragment) else {
                    return;
                };
                let request = ComputeRequest {
                    id: WireId(number),
                    fragment: info.content.0,
                    body,
                };
                self.send(&peer, Message::ComputeRequest(request));
            }
        }
    }

    /// Takes an attempt out of the books.
    fn finish(&mut self, number: u64) -> Option<Attempt> {
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
                    ErrorCode::Failed | ErrorCode::Cancelled => {
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

    fn answered(&mut self, number: u64, body: Bytes, now: Duration) {
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
                    peer.last_answer = Some(now);
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

    fn attempt_failed(&mut self, number: u64, problem: Problem, now: Duration) {
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

    fn attempts_at(&self, peer: &PeerId) -> Vec<u64> {
        let theirs = |a: &Attempt| matches!(&a.worker, Worker::Peer(p) if p == peer);
        self.dispatch
            .attempts
            .iter()
            .filter(|(_, a)| theirs(a))
            .map(|(number, _)| *number)
            .collect()
    }

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
        let mut silent = false;
        if let Worker::Peer(name) = &worker
            && let Some(peer) = self.peers.get_mut(name)
        {
            peer.late += u64::from(first);
            // Not one answer since then: probably it is not slow, it is gone and nobody has noticed yet.
            silent = peer.last_answer.is_none_or(|at| at < sent);
            if silent && peer.suspicion.is_none_or(|s| s.until <= now) {
                let strikes = peer.suspicion.map_or(0, |s| s.strikes + 1);
                let until = now + Duration::from_secs(1 << strikes.min(5));
                peer.suspicion = Some(crate::peers::Suspicion { until, strikes });
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
                return;
            }
        }
        self.hedge(request, silent, now);
    }

    /// Asks a second worker besides the first, if there is one. `free` when the first is thought to be gone.
    fn hedge(&mut self, id: RequestId, free: bool, now: Duration) {
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
                    Choice::Worker(worker) => self.start_attempt(id, worker, now),
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

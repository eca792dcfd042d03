//! Own compute requests: who is asked, and who is asked next.
//!
//! A request is waiting (nobody can take it), asked (one or several attempts are under way) or judged (an answer was
//! delivered, the caller has not said yet whether it is good). An attempt belongs to one worker and ends with an
//! answer, an error, the worker's departure, or with somebody else's answer.

mod choose;
mod late;
mod outcome;

use crate::latency::Latency;
use crate::timers::Timer;
use crate::{Action, Failure, FragmentIndex, Node, PeerId, RequestId, SubmitError, Worker};
use bytes::Bytes;
use protocol::{Cancel, Message, Priority, RequestId as WireId};
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
    priority: Priority,
    /// What is here is computed here, as long as not too much waits: others are not asked only because they are about as
    /// quick.
    rather_here: bool,
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
    /// It is to show that its worker answers again, and nobody depends on it.
    probe: bool,
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
    /// What is known of all peers together.
    everybody: Latency,
    hedge_tenths: u32,
    turn: u64,
    /// What was asked for since it was last looked who holds it.
    lately: BTreeSet<FragmentIndex>,
    /// When further holders of what is thinly held were looked for.
    looked: BTreeMap<FragmentIndex, Duration>,
}

impl Default for Dispatch {
    fn default() -> Self {
        Self {
            requests: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiting: BTreeMap::new(),
            local: Local::default(),
            everybody: Latency::default(),
            hedge_tenths: MAX_HEDGE_TENTHS,
            turn: 0,
            lately: BTreeSet::new(),
            looked: BTreeMap::new(),
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

    /// What a request of this size class takes on average, whoever is asked.
    pub(crate) fn typical(&self, class: usize) -> Option<Duration> {
        self.everybody.typical(class)
    }

    pub(crate) fn fragments_waited_for(&self) -> impl Iterator<Item = FragmentIndex> + '_ {
        self.waiting.keys().copied()
    }

    /// Whether somebody is asked for a request of whom an answer is expected.
    fn is_expected(&self, request: &Request) -> bool {
        let expected = |attempt: &u64| self.attempts.get(attempt).is_some_and(|it| !it.probe);
        request.attempts.iter().any(expected)
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
    /// Asks the swarm (or this node itself) to compute `body` on a fragment; what is less urgent waits where much is
    /// to be done. The answer comes as [`Action::Answer`](crate::Action::Answer), and must be
    /// [accepted](Node::accept) or [rejected](Node::reject).
    ///
    /// # Errors
    /// When the request is not taken; nothing will come of it then.
    pub fn submit(
        &mut self,
        id: RequestId,
        fragment: FragmentIndex,
        body: Bytes,
        priority: Priority,
        now: Duration,
    ) -> Result<(), SubmitError> {
        self.submit_to(id, (fragment, body), priority, false, now)
    }

    /// The same for others' tokens that go through layers run here. They have come to be spared the way to those who are
    /// about as near as this node, so what is held here is computed here, as long as not too much waits.
    ///
    /// # Errors
    /// When the request is not taken; nothing will come of it then.
    pub fn submit_of_stage(
        &mut self,
        id: RequestId,
        fragment: FragmentIndex,
        body: Bytes,
        now: Duration,
    ) -> Result<(), SubmitError> {
        self.submit_to(id, (fragment, body), Priority::Interactive, true, now)
    }

    fn submit_to(
        &mut self,
        id: RequestId,
        (fragment, body): (FragmentIndex, Bytes),
        priority: Priority,
        rather_here: bool,
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
            priority,
            rather_here,
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
        self.dispatch.lately.insert(fragment);
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
            Choice::Worker(worker) => {
                self.start_attempt(id, worker, now);
                self.try_a_suspect(id, now);
            }
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
                let asked = request.asked;
                if nobody
                    && asked == 0
                    && let Some(waited) = self.given_up(fragment, now)
                    && let Some(info) = self.catalogue.get(fragment)
                {
                    let content = info.content;
                    let failure = Failure::NobodyHolds {
                        fragment,
                        content,
                        waited,
                    };
                    return self.fail(id, failure, now);
                }
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
        if request.state == State::Asked && !self.dispatch.is_expected(request) {
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
            (_, true) => {
                let needed = self.catalogue.get(request.fragment);
                let grace = if needed.is_none_or(|info| info.always_active) {
                    self.config.grace
                } else {
                    self.config.conditional_grace
                };
                Patience::ForHolder((now + grace).min(end))
            }
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

    /// For which request this attempt is.
    pub(crate) fn request_of(&self, attempt: u64) -> Option<RequestId> {
        Some(self.dispatch.attempts.get(&attempt)?.request)
    }

    /// The same, if it is with this peer.
    pub(crate) fn request_at(&self, peer: &PeerId, attempt: u64) -> Option<RequestId> {
        let attempt = self.dispatch.attempts.get(&attempt)?;
        let theirs = matches!(&attempt.worker, Worker::Peer(worker) if worker == peer);
        theirs.then_some(attempt.request)
    }

    /// Takes a request and everything under way for it out of the books.
    fn forget_request(&mut self, id: RequestId, now: Duration) -> Option<Request> {
        let request = self.dispatch.requests.remove(&id)?;
        self.dispatch.stop_waiting(id, request.fragment);
        if let Some(patience) = request.patience {
            self.timers.clear(patience.until(), Timer::Patience(id));
        }
        // Who was asked twice and answered once lost a message, it was not slow.
        let slow = |worker: &Worker| request.judged.as_ref() != Some(worker);
        for number in &request.attempts {
            if let Some(attempt) = self.dispatch.attempts.get(number)
                // Its answer is of use yet.
                && !attempt.probe
            {
                let slow = slow(&attempt.worker);
                self.abandon(*number, slow, now);
            }
        }
        Some(request)
    }

    /// Tells a worker that its answer is not needed any more. `slow` when others would have given it by now.
    fn abandon(&mut self, number: u64, slow: bool, now: Duration) {
        let Some(attempt) = self.finish(number) else {
            return;
        };
        match attempt.worker {
            Worker::Local => self.compute_here_cancelled(number),
            Worker::Peer(name) => {
                if let Some(peer) = self.peers.get_mut(&name) {
                    // Who is silent is not slow: how long it is left alone is another matter.
                    if slow && peer.suspicion.is_none() {
                        let elapsed = now.saturating_sub(attempt.sent);
                        peer.latency.record_at_least(attempt.class, elapsed, now);
                    }
                    let id = WireId(number);
                    self.send(&name, Message::Cancel(Cancel { id }));
                    self.wake(Some(&name), now);
                }
            }
        }
    }
}

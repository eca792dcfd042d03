//! A small world of whole nodes in virtual time: every message takes its time, every computation too, and what a peer does
//! with its messages can be turned bad.
//!
//! A fragment computes a digest of what it is asked, so that right answers are known. A world is there for tests and
//! experiments: it panics when one of its nodes breaks a promise, such as answering twice, and when it is asked about
//! somebody who is not there.

mod shell;

use bytes::Bytes;
use protocol::{Heartbeat, JobId, JobOrder, Message, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;
use swarm::{
    Catalogue, Config, Content, ContentId, DownloadId, Event, Failure, FragmentIndex, FragmentInfo,
    JobFailure, Node, PeerId, Priority, Queue, RequestId, Ticket, Worker,
};

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);
/// A second.
pub const S: Duration = Duration::from_secs(1);

/// What layers compute, as if they were this fragment.
pub const STAGE: FragmentIndex = FragmentIndex(u32::MAX);

/// How a node behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Honest,
    /// Answers everything at once, with nonsense.
    Garbage,
    /// Takes requests and never says anything again.
    Silent,
    /// Refuses every computation as malformed.
    Refuses,
    /// Sends content with one flipped bit.
    Corrupt,
    /// Says every answer twice.
    Repeats,
}

enum Happening {
    Deliver { from: PeerId, message: Message },
    Tell(Event),
    Disconnect(PeerId),
}

/// How much longer a message takes than the shortest.
type Jitter = Box<dyn FnMut() -> Duration>;

/// A node with its shell.
pub struct Inhabitant {
    /// What decides.
    pub node: Node,
    /// How it behaves.
    pub manner: Manner,
    /// How long one computation takes here.
    pub pace: Duration,
    /// What it stores.
    pub content: BTreeMap<ContentId, Content>,
    /// The answers to its requests, and who gave them.
    pub answers: BTreeMap<RequestId, (Worker, Bytes)>,
    /// Its requests that came to nothing.
    pub failures: BTreeMap<RequestId, Failure>,
    /// What came of its tokens that went through others' layers: who ran them, and the answer or why there is none.
    pub stages: BTreeMap<RequestId, (PeerId, Result<Bytes, String>)>,
    /// What it has said of itself last.
    pub said: Option<Heartbeat>,
    /// Answers of others that it was told to finish, in this order.
    pub jobs: Vec<JobId>,
    /// What came of its orders about answers that others finish.
    pub job_answers: BTreeMap<RequestId, Result<Bytes, JobFailure>>,
    /// What its requests, or tokens, were last said to wait for.
    pub queued: BTreeMap<RequestId, Queue>,
    /// Tokens of others that it has begun to take through its layers.
    pub running: BTreeMap<(PeerId, SessionId), Ticket>,
    /// How often somebody did not wait for them.
    pub stopped: usize,
    /// What it has of its downloads.
    pub files: BTreeMap<DownloadId, Vec<u8>>,
    /// What its downloads are to become.
    pub wanted: BTreeMap<DownloadId, ContentId>,
    /// Its downloads that are complete.
    pub done: BTreeSet<DownloadId>,
    /// The fragments that some of them are, to be computed on.
    pub taking: BTreeMap<DownloadId, FragmentIndex>,
    /// Whom it has banned.
    pub banned: BTreeSet<PeerId>,
    /// With whom it is connected.
    pub links: BTreeSet<PeerId>,
    /// When the compute slots are free again.
    free_at: Duration,
    /// Requests that it has computed.
    pub computed: usize,
}

/// All of them, and the time.
pub struct World {
    /// What time it is.
    pub now: Duration,
    /// How long a message takes.
    pub latency: Duration,
    /// How much longer each takes, if not all take as long.
    jitter: Option<Jitter>,
    /// When the last message from one to another arrives: none overtakes another.
    last_arrival: BTreeMap<(PeerId, PeerId), Duration>,
    /// The model's fragments: every other one is needed by every token.
    pub catalogue: Catalogue,
    contents: BTreeMap<ContentId, Bytes>,
    /// Everybody by name.
    pub inhabitants: BTreeMap<PeerId, Inhabitant>,
    happenings: BTreeMap<(Duration, u64), (PeerId, Happening)>,
    sequence: u64,
    next_request: u64,
    /// What everybody has done.
    pub log: Vec<String>,
    /// So many of the next answers are lost, as when a stream breaks.
    pub lose: usize,
    /// Web servers: whether they have what is asked of them.
    pub web: Vec<Result<(), u64>>,
    /// What was asked of which of them, and when.
    pub web_asked: Vec<(ContentId, usize, Duration)>,
    /// How many fragments were taken up, because they had too few replicas.
    pub taken_up: usize,
    /// How many were let go, because they had too many.
    pub let_go: usize,
}

/// Somebody's name.
pub fn name(name: &str) -> PeerId {
    PeerId::new(name.as_bytes())
}

/// What a fragment computes: a digest of everything that matters, marked so that nonsense is recognised.
pub fn compute(fragment: FragmentIndex, body: &[u8]) -> Bytes {
    let digest = body.iter().fold(u64::from(fragment.0) + 1, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
    });
    Bytes::from(format!("ok {digest:016x}"))
}

/// Content made of a seed, and its name.
pub fn content(seed: u8, len: u64) -> (ContentId, Bytes) {
    let bytes: Bytes = (0..len)
        .map(|i| (i as u8).wrapping_mul(31) ^ seed ^ (i >> 8) as u8)
        .collect();
    (name_of(&bytes), bytes)
}

fn name_of(bytes: &[u8]) -> ContentId {
    ContentId(*blake3::hash(bytes).as_bytes())
}

/// What the world calls its model: the name of a manifest that says nothing.
pub fn model() -> (ContentId, Bytes) {
    content(0xee, 700_000)
}

impl World {
    /// A model of `fragments` fragments of `bytes` bytes, and nobody.
    pub fn new(fragments: u8, bytes: u64) -> Self {
        let (names, contents): (Vec<_>, BTreeMap<_, _>) = (0..fragments)
            .map(|i| content(i, bytes))
            .map(|(name, bytes)| (name, (name, bytes)))
            .unzip();
        let info = |(i, content)| FragmentInfo {
            content,
            bytes,
            always_active: i % 2 == 0,
        };
        Self {
            contents,
            now: Duration::ZERO,
            latency: 5 * MS,
            jitter: None,
            last_arrival: BTreeMap::new(),
            catalogue: Catalogue {
                fragments: (0u8..).zip(names).map(info).collect(),
            },
            inhabitants: BTreeMap::new(),
            happenings: BTreeMap::new(),
            sequence: 0,
            next_request: 0,
            log: Vec::new(),
            lose: 0,
            web: Vec::new(),
            web_asked: Vec::new(),
            taken_up: 0,
            let_go: 0,
        }
    }

    /// From now on each message takes so much longer as this says. Those from one node to another stay in their order.
    pub fn set_jitter(&mut self, jitter: impl FnMut() -> Duration + 'static) {
        self.jitter = Some(Box::new(jitter));
    }

    /// How much longer the next message takes.
    fn delay(&mut self) -> Duration {
        let jitter = self.jitter.as_mut();
        jitter.map_or(Duration::ZERO, |jitter| jitter())
    }

    fn deliver(&mut self, from: &PeerId, to: &PeerId, message: Message) {
        let earliest = self.now + self.latency + self.delay();
        let last = self.last_arrival.entry((from.clone(), to.clone()));
        let last = last.or_default();
        *last = earliest.max(*last);
        let after = *last - self.now;
        let happening = Happening::Deliver {
            from: from.clone(),
            message,
        };
        self.plan(to, after, happening);
    }

    /// Adds a node that computes on and stores `holds`, connected to everybody.
    pub fn join(&mut self, who: &str, holds: &[u32]) -> PeerId {
        self.join_with(who, holds, |_| {})
    }

    /// The same with another configuration.
    pub fn join_with(
        &mut self,
        who: &str,
        holds: &[u32],
        change: impl FnOnce(&mut Config),
    ) -> PeerId {
        let me = self.alone(who, holds, change);
        let others: Vec<_> = self
            .inhabitants
            .keys()
            .filter(|other| **other != me)
            .cloned()
            .collect();
        for other in others {
            self.link(&me, &other);
        }
        me
    }

    /// Adds a node connected to nobody.
    pub fn alone(&mut self, who: &str, holds: &[u32], change: impl FnOnce(&mut Config)) -> PeerId {
        let me = name(who);
        let mut config = Config::new(me.clone());
        change(&mut config);
        let mut node = Node::new(config);
        node.set_model(model().0, self.now);
        node.set_catalogue(self.catalogue.clone(), self.now);
        let held = || holds.iter().copied().map(FragmentIndex);
        node.set_holdings(held(), held(), self.now);
        let infos = held().filter_map(|index| self.catalogue.get(index));
        let inhabitant = Inhabitant {
            node,
            manner: Manner::Honest,
            pace: MS,
            content: infos
                .map(|info| info.content)
                .map(|name| (name, Content::new(name, self.contents[&name].clone())))
                .collect(),
            answers: BTreeMap::new(),
            failures: BTreeMap::new(),
            stages: BTreeMap::new(),
            said: None,
            jobs: Vec::new(),
            job_answers: BTreeMap::new(),
            queued: BTreeMap::new(),
            running: BTreeMap::new(),
            stopped: 0,
            files: BTreeMap::new(),
            wanted: BTreeMap::new(),
            done: BTreeSet::new(),
            taking: BTreeMap::new(),
            banned: BTreeSet::new(),
            links: BTreeSet::new(),
            free_at: Duration::ZERO,
            computed: 0,
        };
        self.inhabitants.insert(me.clone(), inhabitant);
        self.carry_out(&me);
        me
    }

    /// The name of a fragment.
    pub fn fragment(&self, index: u32) -> ContentId {
        self.catalogue.fragments[index as usize].content
    }

    /// The bytes of a fragment.
    pub fn bytes(&self, index: u32) -> &Bytes {
        &self.contents[&self.fragment(index)]
    }

    /// Somebody who is there.
    pub fn get(&mut self, who: &PeerId) -> &mut Inhabitant {
        self.inhabitants.get_mut(who).expect("an inhabitant")
    }

    /// Connects two.
    pub fn link(&mut self, a: &PeerId, b: &PeerId) {
        for (one, other) in [(a, b), (b, a)] {
            if self.get(one).links.insert(other.clone()) {
                let event = Event::Connected {
                    peer: other.clone(),
                    relayed: false,
                };
                self.tell(one, event);
                // As the network does it: the introduction is the first message.
                let message = Message::Hello(self.get(one).node.introduction());
                self.deliver(one, other, message);
            }
        }
    }

    /// The connection of the two goes through a relay, or does not any more.
    pub fn relay(&mut self, a: &PeerId, b: &PeerId, relayed: bool) {
        for (one, other) in [(a, b), (b, a)] {
            let peer = other.clone();
            self.tell(one, Event::Connected { peer, relayed });
        }
    }

    /// Cuts the connection of two.
    pub fn unlink(&mut self, a: &PeerId, b: &PeerId) {
        for (one, other) in [(a, b), (b, a)] {
            if self
                .inhabitants
                .get_mut(one)
                .is_some_and(|i| i.links.remove(other))
            {
                self.plan(one, Duration::ZERO, Happening::Disconnect(other.clone()));
            }
        }
    }

    /// A node is gone, and everybody's network notices at once.
    pub fn leave(&mut self, who: &PeerId) {
        let links = std::mem::take(&mut self.get(who).links);
        self.inhabitants.remove(who);
        for other in links {
            if self
                .inhabitants
                .get_mut(&other)
                .is_some_and(|i| i.links.remove(who))
            {
                self.tell(&other, Event::Disconnected { peer: who.clone() });
            }
        }
    }

    /// Tells somebody that something happened.
    pub fn tell(&mut self, who: &PeerId, event: Event) {
        let now = self.now;
        self.get(who).node.handle_event(event, now);
        self.carry_out(who);
    }

    /// Has somebody ask for a computation.
    pub fn ask(&mut self, who: &PeerId, fragment: u32, body: impl Into<Bytes>) -> RequestId {
        self.ask_with(Priority::Interactive, who, fragment, body)
    }

    /// The same, as urgent as that.
    pub fn ask_with(
        &mut self,
        priority: Priority,
        who: &PeerId,
        fragment: u32,
        body: impl Into<Bytes>,
    ) -> RequestId {
        self.next_request += 1;
        let (id, now) = (RequestId(self.next_request), self.now);
        self.get(who)
            .node
            .submit(id, FragmentIndex(fragment), body.into(), priority, now)
            .expect("room for a request");
        self.carry_out(who);
        id
    }

    /// Has somebody send tokens through layers that a peer runs.
    pub fn send_through(
        &mut self,
        who: &PeerId,
        peer: &PeerId,
        layers: Range<u32>,
        body: impl Into<Bytes>,
    ) -> RequestId {
        self.next_request += 1;
        let (id, now) = (RequestId(self.next_request), self.now);
        let (session, body) = (SessionId(7), body.into());
        self.get(who)
            .node
            .submit_stage(id, peer, session, layers, body, now);
        self.carry_out(who);
        id
    }

    /// Has somebody give a peer an order about an answer.
    pub fn order_job(
        &mut self,
        who: &PeerId,
        peer: &PeerId,
        job: JobId,
        order: JobOrder,
    ) -> RequestId {
        self.next_request += 1;
        let (id, now) = (RequestId(self.next_request), self.now);
        self.get(who).node.order_job(id, peer, job, order, now);
        self.carry_out(who);
        id
    }

    /// Downloads a fragment.
    pub fn fetch(&mut self, who: &PeerId, index: u32) -> DownloadId {
        self.download(who, self.fragment(index), vec![])
    }

    /// Downloads content of which the beginning is here.
    pub fn download(&mut self, who: &PeerId, content: ContentId, have: Vec<u8>) -> DownloadId {
        let now = self.now;
        let inhabitant = self.get(who);
        let id = inhabitant
            .node
            .download(content, have.len() as u64, now)
            .expect("room for a download");
        inhabitant.files.insert(id, have);
        inhabitant.wanted.insert(id, content);
        self.carry_out(who);
        id
    }

    /// Lets the next thing happen; false when nothing will before `end`.
    fn step(&mut self, end: Duration) -> bool {
        let timeout = |(who, i): (&PeerId, &Inhabitant)| {
            i.node
                .poll_timeout()
                .map(|at| (at.max(self.now), who.clone()))
        };
        let timeout = self.inhabitants.iter().filter_map(timeout).min();
        let happening = self.happenings.first_key_value().map(|(key, _)| *key);
        match (happening, timeout) {
            (Some(key), timeout)
                if key.0 <= end && timeout.as_ref().is_none_or(|(at, _)| key.0 <= *at) =>
            {
                self.now = key.0;
                let (who, happening) = self.happenings.remove(&key).expect("just seen");
                let Some(i) = self.inhabitants.get_mut(&who) else {
                    return true;
                };
                let event = match happening {
                    Happening::Tell(event) => event,
                    Happening::Disconnect(peer) => Event::Disconnected { peer },
                    Happening::Deliver { from, .. } if !i.links.contains(&from) => return true,
                    Happening::Deliver { from, message } => Event::Message {
                        peer: from,
                        message,
                    },
                };
                self.tell(&who, event);
                true
            }
            (_, Some((at, who))) if at <= end => {
                self.now = at;
                self.get(&who).node.handle_timeout(at);
                self.carry_out(&who);
                true
            }
            _ => false,
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until `done`, at most `time`; tells whether it was done.
    pub fn run_until(&mut self, time: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + time;
        while !done(self) {
            if !self.step(end) {
                self.now = end;
                return done(self);
            }
        }
        true
    }

    /// Asks and waits for the answer.
    pub fn ask_and_wait(
        &mut self,
        who: &PeerId,
        fragment: u32,
        body: impl Into<Bytes>,
    ) -> Result<(Worker, Bytes), Failure> {
        let id = self.ask(who, fragment, body);
        self.run_until(300 * S, |w| {
            w.get(who).answers.contains_key(&id) || w.get(who).failures.contains_key(&id)
        });
        match self.get(who).answers.get(&id) {
            Some(answer) => Ok(answer.clone()),
            None => Err(self
                .get(who)
                .failures
                .get(&id)
                .expect("answered or failed")
                .clone()),
        }
    }
}

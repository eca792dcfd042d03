//! The shell around the swarm's pure core: lends it a clock, threads and the network.
//!
//! One task owns the core. Everything else reaches it through commands, and nothing in the task waits for anything but
//! the next event, so that a request never queues behind a file.

mod core;
mod host;
mod outbox;

use crate::backend::catalogue;
use crate::partial;
use bytes::Bytes;
use fragments::{Fragment, FragmentId, Manifest};
use inference::stage::{CallId, Limits};
use inference::{Model, SmallTensors};
use network::{Handle, Multiaddr};
use protocol::{JobId, SessionId};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime};
use swarm::stages::{Pace, Plan, Shape};
use swarm::{
    Catalogue, ContentId, Failure, FragmentIndex, PeerId, Priority, Queue, RequestId, Stats,
    SubmitError, Worker,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

/// Commands that wait; whoever gives more waits itself.
const COMMANDS: usize = 1024;
/// Notices nobody has taken; further ones are dropped, they are for people.
const NOTICES: usize = 256;

/// What became of a compute request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Judge it with [`Engine::accept`] or [`Engine::reject`].
    Answer {
        request: RequestId,
        by: Worker,
        body: Bytes,
    },
    Failed {
        request: RequestId,
        failure: Failure,
    },
    /// Tokens came through layers that somebody else runs.
    Stage {
        request: RequestId,
        peer: PeerId,
        body: Bytes,
    },
    /// They did not: others have to be asked.
    StageLost {
        peer: PeerId,
        reason: String,
    },
    /// It comes later: others are before it.
    Queued(Queue),
    Refused(SubmitError),
}

/// Who asks, of several in this process: their requests are told apart by it.
///
/// A number in the upper bits of the requests' names, below those that mark others' requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker(u64);

impl Asker {
    const SHIFT: u32 = 40;
    /// The bits of the name itself, of which a session never uses all.
    const OWN: u64 = (1 << Self::SHIFT) - 1;
    /// Marks requests for whoever runs layers, beside those about fragments.
    const STAGE: u64 = 1 << 62;
    /// After so many their numbers are used again.
    const ASKERS: u64 = 1 << 20;

    /// A session's request about a fragment.
    pub(crate) fn request(self, id: inference::RequestId) -> RequestId {
        RequestId(self.0 << Self::SHIFT | id.0 & Self::OWN)
    }

    /// A session's request for whoever runs layers.
    pub(crate) fn call(self, CallId(id): CallId) -> RequestId {
        RequestId(self.request(inference::RequestId(id)).0 | Self::STAGE)
    }

    /// What the session calls it; [`call`](Self::call) and [`request`](Self::request) are told apart by what comes of
    /// them.
    pub(crate) fn own(RequestId(id): RequestId) -> u64 {
        id & Self::OWN
    }

    fn asked(self, RequestId(id): RequestId) -> bool {
        id >> Self::SHIFT & (Self::ASKERS - 1) == self.0
    }
}

pub(crate) enum Command {
    Submit {
        request: RequestId,
        fragment: FragmentIndex,
        body: Bytes,
        priority: Priority,
        reply: SyncSender<Outcome>,
    },
    Accept(RequestId),
    Reject(RequestId),
    /// Sends tokens through layers that a peer runs.
    SubmitStage {
        request: RequestId,
        peer: PeerId,
        session: SessionId,
        layers: Range<u32>,
        body: Bytes,
        reply: SyncSender<Outcome>,
    },
    /// What a peer said of them makes no sense.
    RejectStage(PeerId),
    /// Whoever asked waits for nothing any more.
    CancelAll(Asker),
    /// Which way own tokens should take, if they go this way at present; without layers that others run, if that is
    /// wanted.
    Route {
        present: Option<Plan>,
        alone: bool,
        reply: oneshot::Sender<Option<Plan>>,
    },
    /// A token that went the way of a plan took so long. Answered with what the next one should take.
    TokenTook {
        plan: Plan,
        took: Duration,
        reply: oneshot::Sender<Pace>,
    },
    /// Layers could be run here for others: whoever gives this is told when they should be, and answers with
    /// [`Host`](Self::Host).
    MayHost(mpsc::Sender<()>),
    /// Layers of this model can be run here for others.
    Host {
        model: Arc<Model>,
        small: Arc<SmallTensors>,
        limits: Limits,
    },
    /// Answers could be finished here for others: whoever gives this carries out the orders.
    MayFinish(mpsc::Sender<JobOrder>),
    /// How far one of them is.
    JobTold {
        job: JobId,
        progress: Bytes,
        over: bool,
    },
    Model(ContentId),
    Catalogue {
        fragments: Catalogue,
        shape: Shape,
        /// Encoded, as others ask for it.
        manifest: Bytes,
        web_seeds: Vec<String>,
    },
    Hold {
        fragments: Vec<(u32, Arc<Fragment<Bytes>>)>,
        computes: BTreeSet<u32>,
    },
    Fetch {
        content: ContentId,
        /// The beginning that is here already.
        have: Vec<u8>,
        /// Where to keep what comes.
        keep: Option<partial::Writer>,
        done: oneshot::Sender<Bytes>,
    },
    Assign {
        count: usize,
        reply: oneshot::Sender<Vec<FragmentIndex>>,
    },
    /// These are being fetched, to be computed on; others need not.
    Taking(Vec<FragmentIndex>),
    /// It is not fetched any more.
    NotTaken(FragmentIndex),
    /// Takes up what the swarm lacks, up to so many fragments in all. Whoever gives this carries out the orders.
    Capacity {
        fragments: usize,
        orders: mpsc::Sender<Order>,
    },
    /// The node's figures, and how many tasks the network's thread has under way.
    Stats(oneshot::Sender<(Stats, usize)>),
}

impl Command {
    /// The model's manifest is known.
    pub(crate) fn catalogue(manifest: &Manifest) -> Self {
        Self::Catalogue {
            fragments: catalogue(manifest),
            shape: steps::shape(manifest.header(), manifest.plan()),
            manifest: manifest.encode().into(),
            web_seeds: manifest.web_seeds().to_vec(),
        }
    }
}

/// What the swarm has decided that somebody has to do who has the fragments' files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Fetch a fragment and hold it, or say that it is [not taken](Command::NotTaken).
    TakeUp(FragmentIndex),
    /// Delete it; it is held no longer.
    LetGo(FragmentIndex),
}

/// An answer that is to be finished for somebody else.
#[derive(Debug)]
pub(crate) struct JobOrder {
    pub(crate) job: JobId,
    /// From a stranger.
    pub(crate) body: Bytes,
    /// Set when nobody wants it any more.
    pub(crate) stop: Arc<AtomicBool>,
}

/// Something people may want to know.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    Listening(Multiaddr),
    ListenFailed { address: Multiaddr, reason: String },
    Unreachable { address: Multiaddr, reason: String },
    Banned { peer: String, reason: String },
    Damaged { id: String },
}

/// A running node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Engine {
    commands: mpsc::Sender<Command>,
    network: Handle,
    askers: Arc<AtomicU64>,
}

/// The node is shutting down.
#[derive(Debug, thiserror::Error)]
#[error("the node has stopped")]
pub(crate) struct Stopped;

impl Engine {
    /// Starts the network and, on the same thread, the task that owns the swarm's core.
    pub(crate) fn start(
        network: network::Config,
        mut swarm: swarm::Config,
    ) -> Result<(Self, mpsc::Receiver<Notice>), network::Error> {
        // Another one each time; as a time it means nothing to anybody.
        let started = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        swarm.run = started.map_or(0, |it| it.as_nanos() as u64);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (notices, notices_end) = mpsc::channel(NOTICES);
        let network = network::start_on_thread(network, move |network, events| {
            core::Core::new(swarm, network, notices).run(events, receiver)
        })?;
        Ok((
            Self {
                commands,
                network,
                askers: Arc::default(),
            },
            notices_end,
        ))
    }

    /// Somebody else who asks.
    pub(crate) fn asker(&self) -> Asker {
        Asker(self.askers.fetch_add(1, Ordering::Relaxed) % Asker::ASKERS)
    }

    pub(crate) fn network(&self) -> &Handle {
        &self.network
    }

    pub(crate) async fn command(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    /// From outside the runtime.
    pub(crate) fn command_blocking(&self, command: Command) -> Result<(), Stopped> {
        self.commands.blocking_send(command).map_err(|_| Stopped)
    }

    pub(crate) async fn stats(&self) -> Result<Stats, Stopped> {
        Ok(self.stats_and_tasks().await?.0)
    }

    /// Also says how many tasks the network's thread has under way: connections and what they carry.
    pub(crate) async fn stats_and_tasks(&self) -> Result<(Stats, usize), Stopped> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Stats(reply)).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Fetches content from whoever has it, however long that takes.
    pub(crate) async fn fetch(&self, content: ContentId) -> Result<Bytes, Stopped> {
        self.fetch_from(content, Vec::new(), None).await
    }

    /// Fetches a fragment, which may be interrupted at any time: what has come until then is kept in the file at `path`
    /// and not fetched again. The file stays when all is done; it is the caller's, who has a better place for the
    /// whole. Also says how many bytes were there already.
    pub(crate) async fn fetch_resumable(
        &self,
        content: ContentId,
        path: PathBuf,
    ) -> Result<(Bytes, u64), Stopped> {
        let from = path.clone();
        let read = move || partial::read(&from, fragments::MAX_FRAGMENT_SIZE.into());
        // Reading does not panic, but if it did nothing would be lost.
        let have = spawn_blocking(read).await.unwrap_or_default();
        let had = have.len() as u64;
        let keep = partial::Writer::new(path);
        let bytes = self.fetch_from(content, have, Some(keep)).await?;
        Ok((bytes, had))
    }

    async fn fetch_from(
        &self,
        content: ContentId,
        have: Vec<u8>,
        keep: Option<partial::Writer>,
    ) -> Result<Bytes, Stopped> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Fetch {
            content,
            have,
            keep,
            done,
        })
        .await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Which way own tokens should take. From outside the runtime.
    pub(crate) fn route(
        &self,
        present: Option<Plan>,
        alone: bool,
    ) -> Result<Option<Plan>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.command_blocking(Command::Route {
            present,
            alone,
            reply,
        })?;
        answer.blocking_recv().map_err(|_| Stopped)
    }

    /// Says what a token took, and asks how it goes on. From outside the runtime.
    pub(crate) fn token_took(&self, plan: Plan, took: Duration) -> Result<Pace, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.command_blocking(Command::TokenTook { plan, took, reply })?;
        answer.blocking_recv().map_err(|_| Stopped)
    }

    /// Which fragments to take.
    pub(crate) async fn assign(&self, count: usize) -> Result<Vec<FragmentIndex>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.command(Command::Assign { count, reply }).await?;
        answer.await.map_err(|_| Stopped)
    }
}

/// A fragment's id as the swarm has it.
pub(crate) fn content(id: &FragmentId) -> ContentId {
    ContentId(id.0)
}

/// A peer's name as the network has it.
pub(crate) fn network_peer(peer: &PeerId) -> Option<network::PeerId> {
    // Only names that came from the network are ever turned back.
    network::PeerId::from_bytes(peer.as_bytes()).ok()
}

/// A peer's name as the swarm has it.
pub(crate) fn swarm_peer(peer: &network::PeerId) -> PeerId {
    PeerId::new(&peer.to_bytes())
}

/// A peer's name for people.
pub(crate) fn peer_name(peer: &PeerId) -> String {
    network_peer(peer).map_or_else(|| format!("{peer:?}"), |peer| peer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_several_who_ask_are_told_apart() {
        let (one, other) = (Asker(1), Asker(Asker::ASKERS - 1));
        let id = inference::RequestId(7);
        let all = [
            one.request(id),
            one.call(CallId(7)),
            other.request(id),
            other.call(CallId(7)),
        ];
        let distinct: BTreeSet<_> = all.iter().map(|it| it.0).collect();
        assert_eq!(distinct.len(), 4);
        assert!(all.iter().all(|it| Asker::own(*it) == 7));
        assert_eq!(all.map(|it| one.asked(it)), [true, true, false, false]);
        assert_eq!(all.map(|it| other.asked(it)), [false, false, true, true]);
        // The highest bit marks what others ask for.
        assert!(all.iter().all(|it| it.0 >> 63 == 0));
    }
}

//! Every limit and patience of a node, in one place.

use crate::replication::Target;
use crate::stages::RunLayers;
use crate::{ContentId, PeerId, Replication, WindowLimits};
use std::num::NonZeroU64;
use std::time::Duration;

/// How a node behaves. [`Config::new`] gives values that suit both a browser tab and a server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our own name; it decides which fragments we pick among equally rare ones.
    pub me: PeerId,
    /// What we call ourselves to others, e.g. `iap2p/0.1.0`.
    pub agent: String,
    /// The model this node serves or asks, by its manifest; none for a pure entry point.
    pub model: Option<ContentId>,
    /// What we say we are there for; by default a participant, or an entry point when there is no model.
    pub role: Option<protocol::Role>,
    /// How many nodes should hold each fragment.
    pub replication: Replication,
    /// What is to be kept, if the number of replicas is to follow from how often nodes go instead: see
    /// [`Node::replication`](crate::Node::replication). Until something was seen, `replication` stands.
    pub target: Option<Target>,

    /// How often the node says what it holds, at most; seldomer where many do.
    pub heartbeat: Duration,
    /// Who has been there for this long is taken for somebody who stays.
    pub stays_after: Duration,
    /// Fragments taken up at a time, because they have too few replicas.
    pub repairs: usize,
    /// Whether this node runs layers for others.
    pub run_layers: RunLayers,
    /// How many nodes should run each layer.
    pub runners: u32,
    /// How many answers are finished for others at most: those that wait, that lie here to be had, and one that is being
    /// finished. None, as it is at the beginning: this node does not offer it.
    pub jobs: usize,
    /// A number drawn at random when the node starts, so that others know what it said before for old.
    pub run: u64,

    /// Own compute requests under way at one time; [`Node::submit`](crate::Node::submit) refuses more.
    pub max_requests: usize,
    /// Own requests under way at one peer.
    pub max_requests_per_peer: usize,
    /// How many computations the shell runs at one time (compute workers, or cores).
    pub compute_slots: usize,
    /// Requests of one peer that wait or run here; further ones are answered "busy".
    pub max_incoming_per_peer: usize,
    /// Requests of all peers together that wait or run here.
    pub max_incoming: usize,

    /// An answer is never called late before this.
    pub deadline_floor: Duration,
    /// An answer is called late after this many times what nineteen of twenty of the peer's took at most.
    pub deadline_factor: u32,
    /// What a peer of whom nothing is known yet is expected to take.
    pub initial_latency: Duration,
    /// Latencies below this count as equal, so that near peers share the work instead of the nearest doing all of it.
    pub spread_below: Duration,
    /// The only holder of a fragment is asked again after this, in case the request was lost on its way.
    pub repeat_after: Duration,
    /// How long a request waits for somebody to appear who holds its fragment.
    pub grace: Duration,
    /// The same for a fragment that only some tokens need, without which an answer may go on. At once, if nobody has held
    /// it for so long already.
    pub conditional_grace: Duration,
    /// How long a request waits for its only holder before it is given up.
    pub give_up: Duration,

    /// Blocks under way for one download.
    pub blocks_per_download: usize,
    /// Blocks under way at one peer, over all downloads. At most as many as others allow, see `max_reads_per_peer`.
    pub blocks_per_peer: WindowLimits,
    /// Downloads under way; further ones wait their turn.
    pub max_downloads: usize,
    /// A block not here after this long is asked of somebody else.
    pub block_timeout: Duration,
    /// What nobody in the network has is fetched from web servers after this long.
    pub web_after: Duration,
    /// How many fragments are fetched from web servers at a time.
    pub max_web_fetches: usize,
    /// The longest content that is fetched when its length is not known beforehand (a manifest).
    pub max_content_bytes: u64,
    /// Blocks of one peer that wait or are read here; further ones are refused.
    pub max_reads_per_peer: usize,
    /// How many reads the shell does at one time.
    pub read_slots: usize,
    /// How many bytes of content a second are given to all peers together; without a limit as fast as they take them.
    pub upload_bytes_per_second: Option<NonZeroU64>,

    /// More peers are looked for while fewer than this are connected.
    pub wanted_peers: usize,
    /// Peers remembered at one time; further ones are disconnected.
    pub max_peers: usize,
    /// How often the network is asked for peers while there are too few, or for holders of a missing fragment.
    pub search_interval: Duration,
}

impl Config {
    /// A node with the usual limits that neither asks nor serves a model yet.
    #[must_use]
    pub fn new(me: PeerId) -> Self {
        Self {
            me,
            agent: concat!("iap2p/", env!("CARGO_PKG_VERSION")).into(),
            model: None,
            role: None,
            replication: Replication::default(),
            target: None,
            heartbeat: Duration::from_secs(30),
            stays_after: Duration::from_secs(30 * 60),
            repairs: 2,
            run_layers: RunLayers::default(),
            runners: 3,
            jobs: 0,
            run: 0,
            max_requests: 4096,
            max_requests_per_peer: 64,
            compute_slots: 1,
            max_incoming_per_peer: 128,
            max_incoming: 1024,
            deadline_floor: Duration::from_millis(100),
            deadline_factor: 2,
            initial_latency: Duration::from_millis(500),
            spread_below: Duration::from_millis(20),
            repeat_after: Duration::from_secs(10),
            grace: Duration::from_secs(20),
            conditional_grace: Duration::from_secs(20),
            give_up: Duration::from_secs(120),
            blocks_per_download: 32,
            blocks_per_peer: WindowLimits::default(),
            max_downloads: 4,
            block_timeout: Duration::from_secs(10),
            web_after: Duration::from_secs(3),
            max_web_fetches: 2,
            max_content_bytes: 64 * 1024 * 1024,
            max_reads_per_peer: 32,
            read_slots: 8,
            upload_bytes_per_second: None,
            wanted_peers: 32,
            max_peers: 512,
            search_interval: Duration::from_secs(5),
        }
    }
}

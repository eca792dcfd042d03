//! What a dashboard shows.

use crate::{ContentId, DownloadId, PeerId, Replication};
use std::ops::Range;
use std::time::Duration;

/// A picture of the node and what it knows of its swarm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// The model this node serves or asks.
    pub model: Option<ContentId>,
    /// The layers that this node runs for others.
    pub runs: Option<Range<u32>>,
    /// Everybody connected, in the order of their names.
    pub peers: Vec<PeerStats>,
    /// Everybody who takes part.
    pub membership: Membership,
    /// One entry per fragment of the model, in the manifest's order.
    pub coverage: Vec<Coverage>,
    /// Downloads under way.
    pub downloads: Vec<DownloadStats>,
    /// Own requests under way.
    pub in_flight: usize,
    /// Own requests that wait for a holder or for a place in a queue.
    pub waiting: usize,
    /// Requests of others that wait or run here.
    pub incoming: usize,
    /// Answers that this node finishes, or has finished, for others.
    pub jobs: usize,
    /// Totals since the start.
    pub totals: Totals,
}

impl Stats {
    /// How many fragments somebody computes on, of how many.
    #[must_use]
    pub fn covered(&self) -> (usize, usize) {
        (
            self.coverage.iter().filter(|c| c.computing > 0).count(),
            self.coverage.len(),
        )
    }
}

/// Everybody who takes part in the model's swarm besides this node, connected or heard of; of a large model, in those parts
/// that concern this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Membership {
    /// How many there are.
    pub members: usize,
    /// How many of them were heard of by their heartbeats.
    pub heard: usize,
    /// How many of these say that they are reached at an address of their own.
    pub dialled: usize,
    /// Requests that they say are waiting there, all together.
    pub waiting: u64,
    /// How many replicas are wanted.
    pub wanted: Replication,
    /// Fragments of which there are fewer.
    pub lacking: usize,
    /// Fragments that this node is taking up.
    pub taking: usize,
}

/// Totals since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Own requests answered by this node itself.
    pub answered_locally: u64,
    /// Own requests answered by peers.
    pub answered_by_peers: u64,
    /// Own requests that failed.
    pub failed: u64,
    /// Requests sent to a second holder because the first was late.
    pub hedged: u64,
    /// Requests sent elsewhere because a holder left, erred or answered nonsense.
    pub resent: u64,
    /// Requests of peers computed here.
    pub served: u64,
    /// Requests of peers refused because too many waited.
    pub refused: u64,
    /// Requests of peers that had waited too long to be begun.
    pub expired: u64,
    /// Tokens, or prompts, of peers that went through layers run here.
    pub stages_served: u64,
    /// Own ones that were lost with whoever ran the layers, and were sent to others.
    pub stages_lost: u64,
    /// Answers finished here for others.
    pub jobs_served: u64,
    /// Bytes of content sent to peers.
    pub content_sent: u64,
    /// Bytes of content received from peers.
    pub content_received: u64,
    /// Bytes of content received from web servers.
    pub web_received: u64,
    /// Peers banned.
    pub banned: u64,
    /// Peers met that speak another version of the messages; they are not asked.
    pub other_versions: u64,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStats {
    /// Its name.
    pub peer: PeerId,
    /// What it calls itself.
    pub agent: String,
    /// Whether a third node passes the bytes on.
    pub relayed: bool,
    /// The model it serves, once it has introduced itself.
    pub model: Option<ContentId>,
    /// Whether that is ours.
    pub same_model: bool,
    /// Fragments it computes on.
    pub computes: u32,
    /// Fragments it stores.
    pub stores: u32,
    /// The way there and back, as the network measured it.
    pub round_trip: Option<Duration>,
    /// What it usually takes to answer.
    pub latency: Option<Duration>,
    /// Own requests under way there.
    pub in_flight: usize,
    /// Own requests it answered.
    pub answered: u64,
    /// Answers of its that were late.
    pub late: u64,
    /// Its requests computed here.
    pub served: u64,
    /// The layers that it runs for others.
    pub runs: Option<Range<u32>>,
    /// It does not answer at the moment and gets no work if another holder can have it.
    pub suspect: bool,
}

/// One fragment of the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Who computes on it, ourselves included.
    pub computing: u32,
    /// Who stores it (computing or not), ourselves included.
    pub storing: u32,
    /// We compute on it.
    pub ours: bool,
}

/// One download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DownloadStats {
    /// Which.
    pub download: DownloadId,
    /// Of what.
    pub content: ContentId,
    /// Bytes written, in order from the start.
    pub written: u64,
    /// Of how many; unknown until somebody says so.
    pub total: Option<u64>,
    /// From how many peers bytes are on their way.
    pub sources: usize,
}

//! What a node says about itself, to `iap2p status` and to Prometheus.

mod file;
mod metrics;
mod server;

pub(crate) use file::{StatusFile, running};
pub(crate) use server::{as_prometheus, is_address, serve};

use crate::api;
use crate::engine::{Engine, Stopped, network_peer};
use fragments::{FragmentId, ModelId};
use network::{PeerId, Transport};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node, as it is now. What a program of another version does not say is as if it were not there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    /// Program and version.
    pub(crate) agent: String,
    /// What it was started for: `serve` or `bootstrap`.
    pub(crate) kind: String,
    pub(crate) peer: String,
    /// So many seconds ago.
    pub(crate) started: u64,
    /// Where it can be reached.
    pub(crate) listening: Vec<String>,
    pub(crate) model: Option<Model>,
    pub(crate) requests: Requests,
    /// What its HTTP API has done, if it has one.
    pub(crate) api: api::Totals,
    pub(crate) content: Bytes,
    /// Bytes of fragments that came from web servers.
    pub(crate) web_received: u64,
    /// What its TURN server has done, if it has one.
    pub(crate) turn: Option<turn::Traffic>,
    /// Peers banned since the start.
    pub(crate) banned: u64,
    /// Peers that speak another version of the messages; they are not asked.
    pub(crate) other_versions: u64,
    /// Connections refused since the start, because there were too many.
    pub(crate) refused_connections: u64,
    /// Connections that others began and that came to nothing.
    pub(crate) failed_handshakes: u64,
    /// Peers disconnected because they did not go on with what they had begun.
    pub(crate) stalled: u64,
    /// Connections of others that go through it now, and all since the start.
    pub(crate) relay: Relay,
    /// Nodes behind routers that were dialled while they dialled this one, and whether it stood.
    pub(crate) hole_punches: Outcomes,
    /// Addresses by which others see this node, and whether they reached it there.
    pub(crate) probes: Outcomes,
    /// Tasks that the program has under way, those of the network on its own thread among them.
    pub(crate) tasks: usize,
    pub(crate) downloads: Vec<Download>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) traffic: Vec<Traffic>,
}

/// Fragments of the model, and who takes part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) fragments: usize,
    /// On which somebody in sight computes.
    pub(crate) covered: usize,
    /// On which this node computes.
    pub(crate) computes: usize,
    /// Replicas that are wanted of what every token needs.
    pub(crate) wanted_always: u32,
    /// Of what belongs to experts.
    pub(crate) wanted_of_experts: u32,
    /// Which have fewer.
    pub(crate) lacking: usize,
    /// Which this node is taking up.
    pub(crate) taking: usize,
    /// The layers that this node runs for others.
    #[serde(default)]
    pub(crate) runs: Option<Range<u32>>,
    /// Nodes that take part besides this one, connected or heard of.
    pub(crate) members: usize,
    /// Those of them that were heard of by their heartbeats.
    pub(crate) heard: usize,
    /// Those of these that have an address of their own.
    pub(crate) dialled: usize,
    /// Requests that wait there.
    pub(crate) waiting: u64,
}

/// Requests to compute. Those that say no more are numbers since the start.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Requests {
    /// Own ones under way now.
    pub(crate) in_flight: usize,
    /// Own ones that wait for a holder now.
    pub(crate) waiting: usize,
    /// Those of others that wait or run here now.
    pub(crate) incoming: usize,
    pub(crate) answered_locally: u64,
    pub(crate) answered_by_peers: u64,
    pub(crate) failed: u64,
    /// Sent to a second holder because the first was late.
    pub(crate) hedged: u64,
    /// Sent elsewhere because a holder left or erred.
    pub(crate) resent: u64,
    /// Of others, answered here.
    pub(crate) served: u64,
    /// Of others, refused because too many waited.
    pub(crate) refused: u64,
    /// Of others, not begun because they had waited too long.
    pub(crate) expired: u64,
    /// Tokens or prompts of others that went through layers run here.
    pub(crate) stages_served: u64,
    /// Own ones that were lost with whoever ran the layers.
    pub(crate) stages_lost: u64,
    /// Answers of others that wait, are being finished or lie here now.
    pub(crate) jobs: usize,
    /// Answers finished here for others.
    pub(crate) jobs_served: u64,
}

/// What a node relays.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Relay {
    pub(crate) open: u64,
    pub(crate) opened: u64,
}

impl From<network::Circuits> for Relay {
    fn from(it: network::Circuits) -> Self {
        Self {
            open: it.open,
            opened: it.opened,
        }
    }
}

/// Numbers since the start.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Outcomes {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

impl From<network::Outcomes> for Outcomes {
    fn from(it: network::Outcomes) -> Self {
        Self {
            succeeded: it.succeeded,
            failed: it.failed,
        }
    }
}

/// Bytes since the start.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Bytes {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// Content on its way here.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Download {
    pub(crate) id: String,
    pub(crate) written: u64,
    pub(crate) total: Option<u64>,
    /// Peers of whom something is awaited.
    pub(crate) sources: usize,
}

/// A connection with a peer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Connection {
    pub(crate) peer: String,
    /// Its program, once it has said so.
    pub(crate) agent: String,
    pub(crate) transport: String,
    pub(crate) relayed: bool,
    pub(crate) address: String,
    /// [`network::Usage`].
    pub(crate) usage: String,
    pub(crate) round_trip_ms: Option<f64>,
    #[serde(flatten)]
    pub(crate) bytes: Bytes,
    /// Own requests it answered.
    pub(crate) answered: u64,
    /// Its requests answered here.
    pub(crate) served: u64,
}

/// Bytes of messages through all connections of a kind, those that are closed included.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) transport: String,
    pub(crate) relayed: bool,
    #[serde(flatten)]
    pub(crate) bytes: Bytes,
}

/// Asks a running node how it is.
#[derive(Clone)]
pub(crate) struct Reporter {
    engine: Engine,
    kind: &'static str,
    peer: String,
    started: Instant,
    turn: Option<turn::Server>,
    api: Arc<api::Counting>,
}

impl Reporter {
    pub(crate) fn new(engine: Engine, kind: &'static str, turn: Option<turn::Server>) -> Self {
        let peer = engine.network().local_peer().to_string();
        Self {
            engine,
            kind,
            peer,
            started: Instant::now(),
            turn,
            api: Arc::default(),
        }
    }

    /// Where the node's HTTP API counts.
    pub(crate) fn api(&self) -> Arc<api::Counting> {
        self.api.clone()
    }

    pub(crate) async fn report(&self) -> Result<Status, Stopped> {
        let (stats, network_tasks) = self.engine.stats_and_tasks().await?;
        let ours = tokio::runtime::Handle::current().metrics();
        let network = self.engine.network();
        let totals = stats.totals;
        let refused = network.refused();
        let peers: HashMap<PeerId, &swarm::PeerStats> = stats
            .peers
            .iter()
            .filter_map(|peer| Some((network_peer(&peer.peer)?, peer)))
            .collect();
        let connection = |it: network::Connection| {
            let known = peers.get(&it.peer);
            Connection {
                peer: it.peer.to_string(),
                agent: known.map(|peer| peer.agent.clone()).unwrap_or_default(),
                transport: it.path.transport().name().into(),
                relayed: it.path.relayed,
                address: it.path.address.to_string(),
                usage: it.usage.name().into(),
                round_trip_ms: it.round_trip.map(milliseconds),
                bytes: Bytes {
                    sent: it.sent,
                    received: it.received,
                },
                answered: known.map_or(0, |peer| peer.answered),
                served: known.map_or(0, |peer| peer.served),
            }
        };
        let traffic = |((transport, relayed), it): ((Transport, bool), network::Traffic)| Traffic {
            transport: transport.name().into(),
            relayed,
            bytes: Bytes {
                sent: it.sent,
                received: it.received,
            },
        };
        let (covered, fragments) = stats.covered();
        Ok(Status {
            agent: concat!("iap2p/", env!("CARGO_PKG_VERSION")).into(),
            kind: self.kind.into(),
            peer: self.peer.clone(),
            started: self.started.elapsed().as_secs(),
            listening: network
                .listening()
                .iter()
                .map(ToString::to_string)
                .collect(),
            model: stats.model.map(|model| Model {
                id: ModelId(model.0).to_string(),
                fragments,
                covered,
                computes: stats.coverage.iter().filter(|it| it.ours).count(),
                wanted_always: stats.membership.wanted.always_active,
                wanted_of_experts: stats.membership.wanted.conditional,
                lacking: stats.membership.lacking,
                taking: stats.membership.taking,
                runs: stats.runs.clone(),
                members: stats.membership.members,
                heard: stats.membership.heard,
                dialled: stats.membership.dialled,
                waiting: stats.membership.waiting,
            }),
            requests: Requests {
                in_flight: stats.in_flight,
                waiting: stats.waiting,
                incoming: stats.incoming,
                answered_locally: totals.answered_locally,
                answered_by_peers: totals.answered_by_peers,
                failed: totals.failed,
                hedged: totals.hedged,
                resent: totals.resent,
                served: totals.served,
                refused: totals.refused,
                expired: totals.expired,
                stages_served: totals.stages_served,
                stages_lost: totals.stages_lost,
                jobs: stats.jobs,
                jobs_served: totals.jobs_served,
            },
            api: self.api.told(),
            web_received: totals.web_received,
            turn: self.turn.as_ref().map(turn::Server::traffic),
            content: Bytes {
                sent: totals.content_sent,
                received: totals.content_received,
            },
            banned: totals.banned,
            other_versions: totals.other_versions,
            refused_connections: refused.connections,
            failed_handshakes: refused.handshakes,
            stalled: refused.stalled,
            relay: network.circuits().into(),
            hole_punches: network.hole_punches().into(),
            probes: network.probes().into(),
            tasks: network_tasks + ours.num_alive_tasks(),
            downloads: stats.downloads.iter().map(download).collect(),
            connections: network.connections().into_iter().map(connection).collect(),
            traffic: network.traffic().into_iter().map(traffic).collect(),
        })
    }
}

fn download(it: &swarm::DownloadStats) -> Download {
    Download {
        id: FragmentId(it.content.0).to_string(),
        written: it.written,
        total: it.total,
        sources: it.sources,
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

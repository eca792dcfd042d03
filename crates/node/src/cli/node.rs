//! What the commands that run a node have in common.

use super::secret::Private;
use super::turn::granter;
use crate::engine::{Engine, Notice};
use crate::events::{Teller, Told};
use crate::key::Key;
use crate::peers::Peers;
use crate::status::{self, Reporter, StatusFile};
use anyhow::{Context, Result};
use clap::Args;
use network::Multiaddr;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;
use swarm::{
    Replication,
    replication::{MOST_REPLICAS, Target},
};
use tokio::sync::mpsc::Receiver;

/// Who a node is and where it is reached.
#[derive(Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NodeOptions {
    /// Listen here; may be given several times. `/ws` and `/udp/…/webrtc-direct` at the end are for browsers,
    /// `/udp/…/quic-v1` is QUIC, port 0 any free port
    #[arg(
        long,
        value_name = "MULTIADDR",
        env = "IAP2P_LISTEN",
        value_delimiter = ','
    )]
    listen: Vec<Multiaddr>,
    /// An address under which others reach this node besides those it listens on (a router's, a domain's)
    #[arg(
        long,
        value_name = "MULTIADDR",
        env = "IAP2P_EXTERNAL",
        value_delimiter = ','
    )]
    external: Vec<Multiaddr>,
    /// A node to enter the network through; may be given several times
    #[arg(
        long,
        value_name = "MULTIADDR",
        env = "IAP2P_BOOTSTRAP",
        value_delimiter = ','
    )]
    bootstrap: Vec<Multiaddr>,
    /// Have the nodes it enters through relay for it until a direct way is found. By itself it does so when they see it
    /// by an address that it does not have
    #[arg(long, env = "IAP2P_RESERVE")]
    reserve: bool,
    /// The file with this node's key, made if it does not exist. By default one in your data folder that no other
    /// running node uses
    #[arg(long, value_name = "FILE", env = "IAP2P_KEY")]
    key: Option<PathBuf>,
    /// Compute at most this many requests at a time [default: one per core]
    #[arg(long, value_name = "N", env = "IAP2P_THREADS")]
    threads: Option<usize>,
    /// Give others at most so many bytes of fragments a second, such as 500k or 2M; answers to requests are not slowed
    /// down [default: no limit]
    #[arg(long, value_name = "BYTES", env = "IAP2P_UPLOAD", value_parser = bytes)]
    upload: Option<NonZeroU64>,
    /// Say what this node holds every so many seconds, and look for what has too few replicas. Who has missed three is
    /// taken for gone
    #[arg(long, value_name = "SECONDS", env = "IAP2P_HEARTBEAT", default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..=900))]
    heartbeat: u64,
    /// How many nodes should hold each fragment, or, with a second number, how many those that every token needs and how
    /// many those of experts: 18/4 outlasts the loss of half of all nodes (docs/swarm.md). `auto`: as many as keep all of
    /// it for a month with 99 %, three or more, by how often nodes are seen to go. All nodes of a swarm should be told
    /// the same
    #[arg(long, value_name = "N[/N]|auto", env = "IAP2P_REPLICAS", default_value = "3", value_parser = replicas)]
    replicas: Replicas,
    /// Where to tell how this node is: `iap2p status` asks here, and Prometheus at /metrics. By default on this machine
    /// only, at a free port that `iap2p status` finds by itself
    #[arg(long, value_name = "IP:PORT", env = "IAP2P_STATUS")]
    status: Option<SocketAddr>,
    #[command(flatten)]
    private: Private,
    /// Print one JSON object per line instead of sentences
    #[arg(long)]
    json_events: bool,
}

pub(super) fn bytes(text: &str) -> Result<NonZeroU64, String> {
    let bytes: bytesize::ByteSize = text.parse()?;
    NonZeroU64::new(bytes.as_u64()).ok_or_else(|| "it cannot be nothing".into())
}

/// How many replicas are wanted.
#[derive(Debug, Clone, Copy)]
enum Replicas {
    /// So many.
    Fixed(Replication),
    /// As many as it takes.
    Auto,
}

fn replicas(text: &str) -> Result<Replicas, String> {
    if text == "auto" {
        return Ok(Replicas::Auto);
    }
    let (always, experts) = text.split_once('/').unwrap_or((text, text));
    let number = |text: &str| {
        let number = text.parse().ok();
        let number = number.filter(|it| (1..=MOST_REPLICAS).contains(it));
        number.ok_or(format!("{text} is not between 1 and {MOST_REPLICAS}"))
    };
    Ok(Replicas::Fixed(Replication {
        always_active: number(always)?,
        conditional: number(experts)?,
    }))
}

/// A node that has started.
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) teller: Teller,
    /// Who says how the node is.
    pub(crate) reporter: Reporter,
    notices: Receiver<Notice>,
    peers: Peers,
    /// The addresses it has without listening there itself.
    external: usize,
    _status: Option<StatusFile>,
    _key: Key,
}

impl NodeOptions {
    pub(crate) fn has_bootstrap(&self) -> bool {
        !self.bootstrap.is_empty()
    }

    /// That of a private swarm.
    pub(crate) fn secret(&self) -> Result<Option<network::Secret>> {
        self.private.secret()
    }

    /// The node's key, its own for this kind of node.
    pub(crate) fn key(&self, kind: &'static str) -> Result<Key> {
        Key::open(self.key.as_deref(), kind)
    }

    pub(crate) fn teller(&self) -> Teller {
        Teller::new(self.json_events)
    }

    /// Starts a node. `adjust` changes what depends on the command. Must be called within a Tokio runtime.
    pub(crate) fn start(
        &self,
        key: Key,
        listen_by_default: &[&str],
        turn: Option<turn::Server>,
        adjust: impl FnOnce(&mut network::Config, &mut swarm::Config),
    ) -> Result<Running> {
        let peer = key.identity.peer_id();
        let mut network = network::Config::new(key.identity.clone());
        network.certificate = Some(key.certificate.clone());
        network.secret = self.secret()?;
        let peers = Peers::beside(&key.path);
        network.remembered = peers.read();
        network.listen = self.listen.clone();
        if network.listen.is_empty() {
            // Constants; an unusable one would be found by the tests.
            let private = network.secret.is_some();
            network.listen = listen_by_default
                .iter()
                .filter(|address| !(private && address.contains("/quic")))
                .filter_map(|address| address.parse().ok())
                .collect();
        }
        network.external = self.external.clone();
        if self.reserve {
            network.reserve = network::Reserve::Always;
        }
        network.bootstrap = self.bootstrap.clone();
        network.turn = turn.as_ref().map(granter);
        let mut swarm = swarm::Config::new(crate::engine::swarm_peer(&peer));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        swarm.upload_bytes_per_second = self.upload;
        swarm.compute_slots = self.threads.unwrap_or(cores).max(1);
        swarm.heartbeat = Duration::from_secs(self.heartbeat);
        match self.replicas {
            Replicas::Fixed(replication) => swarm.replication = replication,
            Replicas::Auto => swarm.target = Some(Target::MONTH),
        }
        adjust(&mut network, &mut swarm);
        let external = network.external.len();
        let (engine, notices) =
            Engine::start(network, swarm).context("cannot start the network")?;
        let teller = self.teller();
        teller.tell(&Told::Identity {
            peer: &peer.to_string(),
        })?;
        let reporter = Reporter::new(engine.clone(), key.kind, turn);
        let status = self.tell_status(reporter.clone(), &key)?;
        Ok(Running {
            engine,
            teller,
            reporter,
            notices,
            peers,
            external,
            _status: status,
            _key: key,
        })
    }
}

impl NodeOptions {
    /// Has the node tell its status to whoever asks.
    fn tell_status(&self, reporter: Reporter, key: &Key) -> Result<Option<StatusFile>> {
        let address = self
            .status
            .unwrap_or((std::net::Ipv4Addr::LOCALHOST, 0).into());
        let socket = TcpListener::bind(address)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .with_context(|| {
                format!("cannot tell the status at {address}; choose another --status")
            })?;
        // One that listens everywhere is asked on this machine, too.
        let mut here = socket.local_addr()?;
        if here.ip().is_unspecified() {
            here.set_ip(match here.ip() {
                IpAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        tokio::spawn(async move {
            if let Err(error) = status::serve(socket, reporter).await {
                tracing::warn!("the status is not told any longer: {error}");
            }
        });
        // A node whose key cannot have company still works.
        Ok(StatusFile::write(&key.path, &format!("http://{here}/"))
            .inspect_err(|error| tracing::warn!("`iap2p status` will not find this node: {error}"))
            .ok())
    }
}

impl Running {
    /// Waits until the node listens somewhere, so that whoever is told that it is ready can come.
    pub(crate) async fn listening(&self) {
        const STEP: Duration = Duration::from_millis(10);
        const AT_MOST: u32 = 300;
        for _ in 0..AT_MOST {
            if self.engine.network().listening().len() > self.external {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        // What went wrong is among the notices.
    }

    /// Says that the node is ready, after everything that happened before.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        self.listening().await;
        while let Ok(notice) = self.notices.try_recv() {
            self.teller.notice(&notice)?;
        }
        self.teller.tell(&Told::Ready)
    }

    /// Tells what happens until somebody stops the program.
    pub(crate) async fn until_stopped(mut self) -> Result<()> {
        let stopped = stop_signal();
        tokio::pin!(stopped);
        let handle = self.engine.network().clone();
        let peers = self.peers.clone();
        let keeping = peers.keep(&handle);
        tokio::pin!(keeping);
        loop {
            tokio::select! {
                notice = self.notices.recv() => match notice {
                    Some(notice) => self.teller.notice(&notice)?,
                    None => anyhow::bail!("the network has stopped"),
                },
                () = &mut keeping => {}
                result = &mut stopped => {
                    self.peers.note(self.engine.network());
                    // Says goodbye, so that peers need not find out.
                    self.engine.network().shutdown();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    return result;
                }
            }
        }
    }
}

impl Teller {
    fn notice(self, notice: &Notice) -> Result<()> {
        match notice {
            Notice::Listening(address) => self.tell(&Told::Listening {
                address: &address.to_string(),
            }),
            Notice::ListenFailed { address, reason } => self.tell(&Told::ListenFailed {
                address: &address.to_string(),
                reason,
            }),
            Notice::Unreachable { address, reason } => self.tell(&Told::Unreachable {
                address: &address.to_string(),
                reason,
            }),
            Notice::Banned { peer, reason } => self.tell(&Told::Banned { peer, reason }),
            Notice::Damaged { id } => self.tell(&Told::Damaged { id }),
        }
    }
}

/// Ctrl-C, or a polite request of the system.
pub(super) async fn stop_signal() -> Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result.context("cannot wait for signals")?,
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c()
        .await
        .context("cannot wait for signals")?;
    Ok(())
}

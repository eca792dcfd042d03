use super::api::{ApiOptions, answer_programs};
use super::node::NodeOptions;
use super::serve::hold_source;
use super::turn::TurnOptions;
use super::web::WebOptions;
use crate::events::Told;
use crate::source::{self, Source, Wanted};
use crate::web::{Entry, Site};
use anyhow::{Context, Result, ensure};
use clap::Args;
use network::{Multiaddr, RelayLimits};
use protocol::Role;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// This machine only, until told otherwise: a first try should not open ports to the world.
const LISTEN: [&str; 4] = [
    "/ip4/127.0.0.1/tcp/0",
    "/ip4/127.0.0.1/udp/0/quic-v1",
    "/ip4/127.0.0.1/tcp/0/ws",
    "/ip4/127.0.0.1/udp/0/webrtc-direct",
];

/// With a domain, everybody, at ports that can be opened in a firewall once. WebSocket comes in at the page's port.
const LISTEN_TO_ALL: [&str; 4] = [
    "/ip4/0.0.0.0/tcp/4001",
    "/ip4/0.0.0.0/udp/4001/quic-v1",
    "/ip4/0.0.0.0/udp/4002/webrtc-direct",
    "/ip4/127.0.0.1/tcp/0/ws",
];

/// Be an entry to the network: introduce nodes to each other, relay between those that cannot reach each other, and
/// serve the page
///
/// It computes nothing unless told to (--serve). By default it is reached from this machine only. To be an entry for
/// everybody, phones included, all it takes is a domain that leads to the machine, and ports 443 and 80 (TCP), 4001 (TCP
/// and UDP), 4002 and 3478 (UDP) open:
///
///   iap2p bootstrap --domain swarm.example.org --model fragments/ --web dist/
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    /// The model to introduce newcomers to, and to offer the fragments of: a folder made by `iap2p cut`, or a GGUF
    /// file, which is cut in memory
    #[arg(
        long,
        visible_alias = "seed",
        value_name = "DIR|FILE.gguf",
        env = "IAP2P_MODEL"
    )]
    model: Option<PathBuf>,
    /// With a GGUF file: the length of a fragment at most
    #[arg(long, value_name = "BYTES", requires = "model")]
    fragment_size: Option<u32>,
    /// Compute, too, on the model's fragments
    #[arg(long, requires = "model")]
    serve: bool,
    /// With --serve: compute on these only, such as 0-9,12 [default: all]
    #[arg(long, value_name = "LIST", requires = "serve")]
    hold: Option<String>,
    #[command(flatten)]
    web: WebOptions,
    #[command(flatten)]
    turn: TurnOptions,
    #[command(flatten)]
    api: ApiOptions,
    #[command(flatten)]
    node: NodeOptions,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let runtime = Runtime::new().context("cannot start threads")?;
        let result = runtime.block_on(self.bootstrap());
        runtime.shutdown_background();
        result
    }

    async fn bootstrap(self) -> Result<()> {
        if let Some(web) = &self.web.web {
            ensure!(
                web.join("index.html").is_file(),
                "{} holds no index.html: --web wants the built page",
                web.display()
            );
        }
        let source = match &self.model {
            Some(path) => Some(Source::open(path, self.fragment_size, &Wanted::Present)?),
            None => None,
        };
        let door = self.api.open(None)?;
        ensure!(
            door.is_none() || source.is_some(),
            "--api needs --model: without one there is nothing to answer with"
        );
        let computes: BTreeSet<u32> = match (&source, self.serve, &self.hold) {
            (Some(_), true, Some(list)) => source::parse_list(list).context("--hold")?,
            (Some(source), true, None) => source.fragments.keys().copied().collect(),
            _ => BTreeSet::new(),
        };
        let entry = Entry {
            model: source
                .as_ref()
                .map(|source| source.manifest.id().to_string()),
            name: source.as_ref().and_then(|s| {
                s.manifest
                    .header()
                    .metadata
                    .str("general.name")
                    .ok()
                    .map(str::to_owned)
            }),
            fragments: source
                .as_ref()
                .map(|source| source.manifest.fragment_ids().len() as u32),
            secret: self.node.secret()?,
        };
        let key = self.node.key("bootstrap")?;
        let teller = self.node.teller();
        let server = self.web.server(&key.path.with_extension("tls"), teller)?;
        let address = server.address()?;
        let turn = self.turn.start(self.web.domain()).await?;
        let listen = if self.web.has_domain() {
            &LISTEN_TO_ALL
        } else {
            &LISTEN
        };
        let mut running = self.node.start(key, listen, turn, |network, swarm| {
            if self.web.has_domain() {
                let named = self.web.addresses(address.port(), &network.listen);
                network.external.extend(named);
                // Where those come in who want a WebSocket at the page's port.
                let entrance: Option<Multiaddr> = LISTEN_TO_ALL[3].parse().ok();
                let listens = entrance.filter(|it| !network.listen.contains(it));
                network.listen.extend(listens);
            }
            network.relay_server = Some(RelayLimits::default());
            network.kad_server = true;
            // An entry is there for everybody.
            swarm.max_peers = network.limits.established as usize;
            swarm.role = Some(if self.serve {
                Role::Participant
            } else {
                Role::Bootstrap
            });
        })?;
        let programs = source.as_ref().map(|source| {
            let model = (source.manifest.clone(), source.fragments.clone());
            let (engine, reporter) = (running.engine.clone(), running.reporter.clone());
            answer_programs(door, engine, reporter, teller, model)
        });
        if let Some(source) = source {
            hold_source(&running, source, computes).await?;
        }
        running.listening().await;
        let site = Arc::new(Site {
            entry,
            network: running.engine.network().clone(),
            web: self.web.web.clone(),
            url: server.url().to_owned(),
            local: !self.web.has_domain() && address.ip().is_loopback(),
        });
        teller.tell(&Told::Http { url: &site.url })?;
        if let Some(link) = site.invitation() {
            teller.tell(&Told::Invitation { link: &link })?;
        }
        running.ready().await?;
        tokio::select! {
            result = server.run(site) => result,
            result = running.until_stopped() => result,
            Some(result) = async { Some(programs?.await) } => result,
        }
    }
}

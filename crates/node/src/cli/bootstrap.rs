use super::node::NodeOptions;
use super::serve::hold_source;
use crate::events::Told;
use crate::http::{Entry, Server};
use crate::source::{self, Source, Wanted};
use anyhow::{Context, Result, ensure};
use clap::Args;
use network::RelayLimits;
use protocol::Role;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// This machine only, until told otherwise: a first try should not open ports to the world.
const LISTEN: [&str; 4] = [
    "/ip4/127.0.0.1/tcp/0",
    "/ip4/127.0.0.1/udp/0/quic-v1",
    "/ip4/127.0.0.1/tcp/0/ws",
    "/ip4/127.0.0.1/udp/0/webrtc-direct",
];

/// Be an entry to the network: introduce nodes to each other, relay between those that cannot reach each other, and
/// serve the page
///
/// It computes nothing unless told to (--serve). By default it is reached from this machine only; to be an entry for
/// others, listen on all addresses and put a web server with a certificate in front of the page:
///
///   iap2p bootstrap --model fragments/ --web dist/ --listen /ip4/0.0.0.0/tcp/4001,/ip4/0.0.0.0/tcp/4002/ws
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
    /// The folder with the built page
    #[arg(long, value_name = "DIST", env = "IAP2P_WEB")]
    web: Option<PathBuf>,
    /// Where to serve the page and `/bootstrap.json`
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "IAP2P_HTTP",
        default_value = "127.0.0.1:8080"
    )]
    http: SocketAddr,
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
        if let Some(web) = &self.web {
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
        let mut running = self.node.start("bootstrap", &LISTEN, |network, swarm| {
            network.relay_server = Some(RelayLimits::default());
            network.kad_server = true;
            // An entry is there for everybody.
            swarm.max_peers = network.max_connections as usize;
            swarm.role = Some(if self.serve {
                Role::Participant
            } else {
                Role::Bootstrap
            });
        })?;
        if let Some(source) = source {
            hold_source(&running, source, computes).await?;
        }
        running.listening().await;
        let server = Server::bind(
            self.http,
            self.web.clone(),
            entry,
            running.engine.network().clone(),
        )
        .await?;
        running.teller.tell(&Told::Http {
            url: &format!("http://{}/", server.address),
        })?;
        if let Some(link) = server.invitation() {
            running.teller.tell(&Told::Invitation { link: &link })?;
        }
        running.ready().await?;
        tokio::select! {
            result = server.run() => result,
            result = running.until_stopped() => result,
        }
    }
}

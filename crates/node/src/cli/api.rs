use super::ask::{Computing, Ready, Which};
use super::node::stop_signal;
use crate::api::{self, Access, Settings};
use crate::backend::Backend;
use crate::engine::Engine;
use crate::events::{Teller, Told};
use crate::layers;
use crate::source::Fragments;
use crate::status::Reporter;
use anyhow::{Context, Result, ensure};
use clap::Args;
use fragments::Manifest;
use inference::Model;
use inference::session::{Config, LEAST_EXPERTS};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Where `iap2p api` is asked, until told otherwise: on this machine only.
const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);

/// Answer programs that speak OpenAI's HTTP API, by a model here or in a network
///
/// A client made for that API needs another address only, and the name of the model, which /v1/models says:
///
///   iap2p api --peer ADDRESS
///   curl http://127.0.0.1:8000/v1/chat/completions -H "Content-Type: application/json" \
///     -d '{"model": "NAME", "messages": [{"role": "user", "content": "How do I join?"}], "stream": true}'
///
/// There are /v1/models, /v1/chat/completions and /v1/completions, and /health and /metrics for whoever watches over it.
/// What is asked for and not possible here (tools, images, several answers) is an error that names it.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    computing: Computing,
    #[command(flatten)]
    api: ApiOptions,
    /// Print one JSON object per line instead of sentences
    #[arg(long)]
    json_events: bool,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        // Before a model is opened, which takes long.
        let door = self
            .api
            .open(Some(LOCAL))?
            .context("there is always an address")?;
        let Ready { backend, runtime } = self.which.open()?;
        let teller = Teller::new(self.json_events);
        let config = self.computing.config_for_text();
        let served = runtime.block_on(async {
            let reporter = backend
                .engine()
                .map(|engine| Reporter::new(engine.clone(), "api", None));
            let serving = door.serve(backend, config, reporter, teller)?;
            teller.tell(&Told::Ready)?;
            tokio::select! {
                result = serving => result,
                result = stop_signal() => result,
            }
        });
        runtime.shutdown_background();
        served
    }
}

/// How programs may ask this node.
#[derive(Args)]
#[command(next_help_heading = "HTTP API")]
pub(crate) struct ApiOptions {
    /// Answer programs that speak OpenAI's HTTP API here [`iap2p api` does it at 127.0.0.1:8000 by itself]
    #[arg(long, value_name = "IP:PORT", env = "IAP2P_API")]
    api: Option<SocketAddr>,
    /// Who may ask: the file with the API keys, one a line, what follows a # is a note. Without it everybody who reaches
    /// the address, which must be of this machine only then
    #[arg(long, value_name = "FILE", env = "IAP2P_API_KEYS")]
    api_keys: Option<PathBuf>,
    /// Let everybody ask who reaches the address, without a key, whatever address it is
    #[arg(long, env = "IAP2P_API_OPEN", conflicts_with = "api_keys")]
    api_open: bool,
    /// Let pages of this origin ask, such as https://example.org, or * for all; may be given several times
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "IAP2P_API_CORS",
        value_delimiter = ','
    )]
    api_cors: Vec<String>,
    /// Make so many answers at one time; others wait. Each keeps the conversation it answered last, and need not read it
    /// again for the next question
    #[arg(
        long,
        value_name = "N",
        env = "IAP2P_API_SESSIONS",
        default_value = "2"
    )]
    api_sessions: NonZeroUsize,
}

/// An address that is taken, and who may come in.
pub(crate) struct Door {
    socket: TcpListener,
    access: Access,
    sessions: usize,
}

impl ApiOptions {
    /// Takes the address, if one is wanted.
    pub(crate) fn open(&self, by_default: Option<SocketAddr>) -> Result<Option<Door>> {
        let Some(address) = self.api.or(by_default) else {
            return Ok(None);
        };
        let access = Access::new(self.api_keys.as_deref(), &self.api_cors)?;
        ensure!(
            access.has_keys() || self.api_open || address.ip().is_loopback(),
            "at {address} strangers could ask: give --api-keys FILE with the keys of those who may, or --api-open if \
             everybody may"
        );
        let socket = TcpListener::bind(address)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
            .with_context(|| {
                format!("cannot answer programs at {address}; choose another --api")
            })?;
        Ok(Some(Door {
            socket,
            access: access.open_to_all(self.api_open),
            sessions: self.api_sessions.get(),
        }))
    }
}

impl Door {
    /// Says where, and answers until the program stops. Must be called within a Tokio runtime.
    pub(crate) fn serve(
        self,
        backend: Backend,
        config: Config,
        reporter: Option<Reporter>,
        teller: Teller,
    ) -> Result<impl Future<Output = Result<()>>> {
        let url = format!("http://{}/v1", self.socket.local_addr()?);
        let settings = Settings {
            sessions: self.sessions,
            config,
        };
        let serving = api::serve(self.socket, self.access, backend, settings, reporter);
        teller.tell(&Told::Api { url: &url })?;
        Ok(serving)
    }
}

/// Answers programs by the network, if they are let in, as soon as what is small of the model is here: it is fetched as
/// far as it is not present.
pub(super) async fn answer_programs(
    door: Option<Door>,
    engine: Engine,
    reporter: Reporter,
    teller: Teller,
    (manifest, present): (Manifest, Fragments),
) -> Result<()> {
    let Some(door) = door else {
        return std::future::pending().await;
    };
    let model = Model::new(manifest).context("cannot answer with this model")?;
    let small = layers::small_tensors(&engine, &model, &present).await?;
    let backend = Backend::swarm(engine, model.into(), small);
    let config = Config {
        least_experts: LEAST_EXPERTS,
        ..Config::default()
    };
    door.serve(backend, config, Some(reporter), teller)?.await
}

use super::node::{NodeOptions, Running};
use crate::engine::Command;
use crate::events::Told;
use crate::shelf::Shelf;
use crate::source::{self, Source, Wanted};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use fragments::ModelId;
use std::collections::BTreeSet;
use std::path::PathBuf;
use swarm::ContentId;
use tokio::runtime::Runtime;

/// Everywhere, on free ports: TCP, QUIC, and WebSocket and WebRTC for browsers.
const LISTEN: [&str; 4] = [
    "/ip4/0.0.0.0/tcp/0",
    "/ip4/0.0.0.0/udp/0/quic-v1",
    "/ip4/0.0.0.0/tcp/0/ws",
    "/ip4/0.0.0.0/udp/0/webrtc-direct",
];

/// Hold fragments and compute on them for others
///
/// Either the fragments are in a folder (--dir, with --hold to hold only some of them), or they are fetched from a
/// network (--model with --store): then the node takes those that the fewest others hold, and next time finds them
/// in its store. When others leave, it takes up what they held, as far as --count lets it, or instead of what enough
/// others hold.
#[derive(Args)]
pub(crate) struct Options {
    /// Hold fragments of this folder, made by `iap2p cut`
    #[arg(long, value_name = "DIR", env = "IAP2P_DIR", conflicts_with_all = ["model", "store", "count"])]
    dir: Option<PathBuf>,
    /// With --dir: hold only these, such as 0-9,12 [default: all that are there]
    #[arg(long, value_name = "LIST", requires = "dir")]
    hold: Option<String>,
    /// Fetch fragments of this model from the network
    #[arg(long, value_name = "ID", env = "IAP2P_MODEL_ID", requires = "store")]
    model: Option<ModelId>,
    /// With --model: the folder for what is fetched
    #[arg(long, value_name = "DIR", env = "IAP2P_STORE", requires = "model")]
    store: Option<PathBuf>,
    /// With --model: how many fragments to hold at most
    #[arg(long, value_name = "N", env = "IAP2P_COUNT", default_value_t = 1)]
    count: usize,
    #[command(flatten)]
    node: NodeOptions,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let runtime = Runtime::new().context("cannot start threads")?;
        let result = runtime.block_on(self.serve());
        runtime.shutdown_background();
        result
    }

    async fn serve(self) -> Result<()> {
        match (&self.dir, self.model, &self.store) {
            (Some(dir), ..) => {
                let wanted = match &self.hold {
                    Some(list) => Wanted::Listed(source::parse_list(list).context("--hold")?),
                    None => Wanted::Present,
                };
                let source = Source::open(dir, None, &wanted)?;
                ensure!(
                    !source.fragments.is_empty(),
                    "{} holds no fragments, only the manifest",
                    dir.display()
                );
                let mut running =
                    self.node
                        .start(self.node.key("serve")?, &LISTEN, None, |_, _| {})?;
                let computes = source.fragments.keys().copied().collect();
                hold_source(&running, source, computes).await?;
                running.ready().await?;
                running.until_stopped().await
            }
            (None, Some(model), Some(store)) => {
                let running = self
                    .node
                    .start(self.node.key("serve")?, &LISTEN, None, |_, _| {})?;
                if !self.node.has_bootstrap() {
                    eprintln!("note: without --bootstrap this node waits for others to find it");
                }
                let engine = running.engine.clone();
                let (teller, store, count) = (running.teller, store.clone(), self.count);
                let filling = async move {
                    let mut shelf = Shelf::open(engine, model, &store, teller).await?;
                    shelf.fill(count).await?;
                    teller.tell(&Told::Ready)?;
                    shelf.keep_up(count).await
                };
                tokio::select! {
                    result = filling => result,
                    result = running.until_stopped() => result,
                }
            }
            _ => bail!(
                "what to hold? Give --dir FOLDER, or --model ID and --store FOLDER to fetch from the network"
            ),
        }
    }
}

/// Makes a model on this machine known and holds its fragments, computing on some of them.
pub(crate) async fn hold_source(
    running: &Running,
    source: Source,
    computes: BTreeSet<u32>,
) -> Result<()> {
    let Source {
        manifest,
        fragments,
    } = source;
    running.teller.tell_model(&manifest)?;
    let engine = &running.engine;
    engine
        .command(Command::Model(ContentId(manifest.id().0)))
        .await?;
    engine.command(Command::catalogue(&manifest)).await?;
    let (computing, storing) = (computes.len(), fragments.len());
    engine
        .command(Command::Hold {
            fragments: fragments.into_iter().collect(),
            computes,
        })
        .await?;
    running.teller.tell(&Told::Holding {
        computes: computing,
        stores: storing,
    })
}

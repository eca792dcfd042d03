use super::api::{ApiOptions, answer_programs};
use super::node::{NodeOptions, Running, bytes};
use crate::engine::{Command, Engine};
use crate::events::Told;
use crate::jobs;
use crate::layers;
use crate::shelf::Shelf;
use crate::source::{self, Fragments, Source, Wanted};
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use fragments::{Manifest, ModelId};
use inference::stage::Limits;
use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::path::PathBuf;
use swarm::ContentId;
use swarm::stages::RunLayers;
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
    /// Run whole layers for others, so that they wait for this node once instead of several times in each layer: never;
    /// always, as far as it holds all of them that every token needs; or auto, if there are too few others who do and this
    /// node has been there for half an hour, is quick, and others can dial it. Then it also fetches what it lacks of them
    #[arg(
        long,
        value_name = "WHEN",
        env = "IAP2P_RUN_LAYERS",
        default_value = "auto"
    )]
    run_layers: When,
    /// With --run-layers: keep at most so much of the texts that go through, such as 512M or 4G. Who was not there for
    /// longest is forgotten first, and sends it again. As much again for an answer that is finished with --jobs
    #[arg(long, value_name = "BYTES", env = "IAP2P_LAYERS_MEMORY", default_value = "1G", value_parser = bytes)]
    layers_memory: NonZeroU64,
    /// Finish answers for people who have asked for that because they cannot keep their page open, and keep them for a day:
    /// so many at most, one at a time, when nobody waits. What they wrote is read here then. 0: do not
    #[arg(long, value_name = "N", env = "IAP2P_JOBS", default_value_t = 16)]
    jobs: usize,
    #[command(flatten)]
    api: ApiOptions,
    #[command(flatten)]
    node: NodeOptions,
}

/// When this node runs layers for others.
#[derive(Clone, Copy, ValueEnum)]
enum When {
    Never,
    Auto,
    Always,
}

impl From<When> for RunLayers {
    fn from(when: When) -> Self {
        match when {
            When::Never => Self::Never,
            When::Auto => Self::IfElected,
            When::Always => Self::Always,
        }
    }
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let runtime = Runtime::new().context("cannot start threads")?;
        let result = runtime.block_on(self.serve());
        runtime.shutdown_background();
        result
    }

    fn start(&self) -> Result<Running> {
        let key = self.node.key("serve")?;
        let adjust = |_: &mut network::Config, swarm: &mut swarm::Config| {
            swarm.run_layers = self.run_layers.into();
            swarm.jobs = self.jobs;
        };
        self.node.start(key, &LISTEN, None, adjust)
    }

    /// Has the node run layers for others, if the swarm wants it to, and finish answers for them.
    fn offer(&self, engine: &Engine, manifest: Manifest, present: Fragments) {
        let bytes = usize::try_from(self.layers_memory.get()).unwrap_or(usize::MAX);
        if self.jobs > 0 {
            let (manifest, present) = (manifest.clone(), present.clone());
            let offer = jobs::offer(engine.clone(), manifest, present, bytes);
            tokio::spawn(async move {
                if let Err(error) = offer.await {
                    tracing::warn!("no answers are finished for others: {error:#}");
                }
            });
        }
        if matches!(self.run_layers, When::Never) {
            return;
        }
        let limits = Limits {
            bytes,
            ..Limits::default()
        };
        let offer = layers::offer(engine.clone(), manifest, present, limits);
        tokio::spawn(async move {
            if let Err(error) = offer.await {
                tracing::warn!("no layers are run for others: {error:#}");
            }
        });
    }

    async fn serve(&self) -> Result<()> {
        let door = self.api.open(None)?;
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
                let mut running = self.start()?;
                let computes = source.fragments.keys().copied().collect();
                let (manifest, present) = (source.manifest.clone(), source.fragments.clone());
                hold_source(&running, source, computes).await?;
                self.offer(&running.engine, manifest.clone(), present.clone());
                running.ready().await?;
                let (engine, reporter) = (running.engine.clone(), running.reporter.clone());
                let programs =
                    answer_programs(door, engine, reporter, running.teller, (manifest, present));
                tokio::select! {
                    result = programs => result,
                    result = running.until_stopped() => result,
                }
            }
            (None, Some(model), Some(store)) => {
                let running = self.start()?;
                if !self.node.has_bootstrap() {
                    eprintln!("note: without --bootstrap this node waits for others to find it");
                }
                let engine = running.engine.clone();
                let (teller, store, count) = (running.teller, store.clone(), self.count);
                let reporter = running.reporter.clone();
                let filling = async move {
                    let mut shelf = Shelf::open(engine.clone(), model, &store, teller).await?;
                    shelf.fill(count).await?;
                    // What is small is little: it is fetched again rather than looked for in the folder.
                    let (manifest, present) = (shelf.manifest().clone(), Fragments::new());
                    self.offer(&engine, manifest.clone(), present.clone());
                    teller.tell(&Told::Ready)?;
                    let programs =
                        answer_programs(door, engine, reporter, teller, (manifest, present));
                    tokio::select! {
                        result = programs => result,
                        result = shelf.keep_up(count) => result,
                    }
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

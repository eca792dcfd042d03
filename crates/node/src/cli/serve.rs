use super::node::{NodeOptions, Running};
use crate::client;
use crate::engine::{Command, Engine, content};
use crate::events::Told;
use crate::files::{self, Readers};
use crate::source::{self, Source, Wanted};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use clap::Args;
use fragments::{
    FolderStore, Fragment, FragmentId, MANIFEST_FILE, Manifest, ModelId, Store, StoreError,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use swarm::{ContentId, FragmentIndex};
use tokio::runtime::Runtime;

/// Everywhere, on free ports: TCP, QUIC, and WebSocket and WebRTC for browsers.
const LISTEN: [&str; 4] = [
    "/ip4/0.0.0.0/tcp/0",
    "/ip4/0.0.0.0/udp/0/quic-v1",
    "/ip4/0.0.0.0/tcp/0/ws",
    "/ip4/0.0.0.0/udp/0/webrtc-direct",
];
/// Fetches under way at a time.
const FETCHES: usize = 4;
/// How long to wait for peers to introduce themselves before fragments are chosen.
const SETTLE: Duration = Duration::from_secs(2);

/// Hold fragments and compute on them for others
///
/// Either the fragments are in a folder (--dir, with --hold to hold only some of them), or they are fetched from a
/// network (--model with --store): then the node takes those that the fewest others hold, and next time finds them
/// in its store.
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
    /// With --model: how many fragments to hold
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
                    fill(&engine, model, &store, count, teller).await?;
                    teller.tell(&Told::Ready)?;
                    std::future::pending().await
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
    tell_model(running.teller, &manifest)?;
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

fn tell_model(teller: crate::events::Teller, manifest: &Manifest) -> Result<()> {
    let name = manifest
        .header()
        .metadata
        .str("general.name")
        .unwrap_or("without a name");
    let fragments = manifest.fragment_ids().len() as u32;
    teller.tell(&Told::Model {
        model: &manifest.id().to_string(),
        name,
        fragments,
    })
}

/// Holds what is in the store, and fetches until there are `count` fragments.
async fn fill(
    engine: &Engine,
    model: ModelId,
    store: &Path,
    count: usize,
    teller: crate::events::Teller,
) -> Result<()> {
    let folder = FolderStore::create(store)?;
    let manifest = match fragments::read_manifest(store) {
        Ok(manifest) if manifest.id() == model => {
            engine.command(Command::Model(ContentId(model.0))).await?;
            engine.command(Command::catalogue(&manifest)).await?;
            manifest
        }
        Ok(other) => bail!(
            "{} holds fragments of another model, {}; choose another --store",
            store.display(),
            other.id()
        ),
        Err(fragments::FolderError::NoManifest(_)) => {
            let manifest = client::fetch_manifest(engine, model, Duration::MAX).await?;
            let path = store.join(MANIFEST_FILE);
            files::write(&path, &manifest.encode(), Readers::Everyone)
                .with_context(|| format!("cannot write {}; is the disk full?", path.display()))?;
            manifest
        }
        Err(error) => return Err(error.into()),
    };
    tell_model(teller, &manifest)?;

    let present = {
        let (store, manifest) = (store.to_owned(), manifest.clone());
        tokio::task::spawn_blocking(move || intact(&store, &manifest)).await?
    };
    let mut held: BTreeSet<u32> = present.iter().map(|(index, _)| *index).collect();
    engine
        .command(Command::Hold {
            fragments: present,
            computes: held.clone(),
        })
        .await?;
    teller.tell(&Told::Holding {
        computes: held.len(),
        stores: held.len(),
    })?;
    if held.len() >= count {
        return Ok(());
    }

    settle(engine).await?;
    // What an earlier run has begun comes first.
    let ids = manifest.fragment_ids();
    let begun = (0..)
        .zip(ids)
        .filter(|(index, id)| !held.contains(index) && beginning(&folder, id).exists());
    let mut wanted: Vec<u32> = begun.map(|(index, _)| index).collect();
    let missing = count - held.len();
    for FragmentIndex(index) in engine.assign(missing).await? {
        if !wanted.contains(&index) {
            wanted.push(index);
        }
    }
    wanted.truncate(missing);
    let mut wanted = wanted.into_iter();
    let bar = crate::progress::bytes_bar("fetching", 0);
    let mut fetching = FuturesUnordered::new();
    loop {
        while fetching.len() < FETCHES
            && let Some(index) = wanted.next()
        {
            bar.inc_length(manifest.plan().fragments[index as usize].file_len.into());
            fetching.push(fetch(engine, &manifest, &folder, index));
        }
        let Some(fetched) = fetching.next().await else {
            break;
        };
        let Fetched {
            index,
            id,
            bytes,
            had,
        } = fetched?;
        bar.inc(bytes.len() as u64);
        // Small enough to be written here: the nodes' own work goes on in other threads.
        match folder.put(&id, &bytes) {
            Ok(_) => {}
            // What is here is of use all the same.
            Err(error @ StoreError::Full { .. }) if !held.is_empty() => {
                eprintln!(
                    "note: {error}; this node goes on with {} of {count} fragments",
                    held.len()
                );
                break;
            }
            Err(error) => return Err(error.into()),
        }
        // It will not be asked for again; a file that stays is only in the way.
        let _ = std::fs::remove_file(beginning(&folder, &id));
        let Some(fragment) = source::open_fragment(store, &manifest, index)? else {
            bail!("fragment {index} ({id}) vanished from {}", store.display());
        };
        held.insert(index);
        let fragments = vec![(index, Arc::new(fragment))];
        engine
            .command(Command::Hold {
                fragments,
                computes: held.clone(),
            })
            .await?;
        teller.tell(&Told::Fetched {
            fragment: index,
            id: &id.to_string(),
            had,
        })?;
    }
    bar.finish_and_clear();
    teller.tell(&Told::Holding {
        computes: held.len(),
        stores: held.len(),
    })
}

/// The fragments of a store that are as they should be. Damaged ones are fetched again.
fn intact(store: &Path, manifest: &Manifest) -> Vec<(u32, Arc<Fragment<Bytes>>)> {
    let indices = 0..manifest.fragment_ids().len() as u32;
    let open = |index| match source::open_fragment(store, manifest, index) {
        Ok(fragment) => Some((index, Arc::new(fragment?))),
        Err(error) => {
            tracing::warn!("{error:#}");
            None
        }
    };
    indices.filter_map(open).collect()
}

/// Waits until those connected have introduced themselves, so that the choice is not made blindly.
async fn settle(engine: &Engine) -> Result<()> {
    let mut waited = Duration::ZERO;
    const STEP: Duration = Duration::from_millis(100);
    while waited < SETTLE || engine.stats().await?.peers.is_empty() {
        tokio::time::sleep(STEP).await;
        waited += STEP;
    }
    Ok(())
}

struct Fetched {
    index: u32,
    id: FragmentId,
    bytes: Bytes,
    /// How many of the bytes an earlier run had fetched.
    had: u64,
}

async fn fetch(
    engine: &Engine,
    manifest: &Manifest,
    folder: &FolderStore,
    index: u32,
) -> Result<Fetched> {
    let id = manifest.fragment_ids()[index as usize];
    let (bytes, had) = engine
        .fetch_resumable(content(&id), beginning(folder, &id))
        .await?;
    Ok(Fetched {
        index,
        id,
        bytes,
        had,
    })
}

/// Where the beginning of a fragment is kept while it is fetched.
fn beginning(folder: &FolderStore, id: &FragmentId) -> PathBuf {
    folder.path(id).with_extension("download")
}

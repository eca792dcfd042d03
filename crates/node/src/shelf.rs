//! A folder of fragments that a node fetches, keeps and holds: as many as it is given room for, those that the swarm needs
//! most.

use crate::client;
use crate::engine::{Command, Engine, Order, Stopped, content};
use crate::events::{Teller, Told};
use crate::files::{self, Readers};
use crate::source;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
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
use tokio::sync::mpsc;

/// Fetches under way at a time.
const FETCHES: usize = 4;
/// How long to wait for peers to introduce themselves before fragments are chosen.
const SETTLE: Duration = Duration::from_secs(2);
/// Orders of the swarm that wait; it gives few.
const ORDERS: usize = 64;

/// The folder, and what of it is held.
pub(crate) struct Shelf {
    engine: Engine,
    manifest: Manifest,
    folder: FolderStore,
    path: PathBuf,
    held: BTreeSet<u32>,
    teller: Teller,
}

impl Shelf {
    /// Holds what is there.
    pub(crate) async fn open(
        engine: Engine,
        model: ModelId,
        path: &Path,
        teller: Teller,
    ) -> Result<Self> {
        let folder = FolderStore::create(path)?;
        let manifest = match fragments::read_manifest(path) {
            Ok(manifest) if manifest.id() == model => {
                engine.command(Command::Model(ContentId(model.0))).await?;
                engine.command(Command::catalogue(&manifest)).await?;
                manifest
            }
            Ok(other) => bail!(
                "{} holds fragments of another model, {}; choose another --store",
                path.display(),
                other.id()
            ),
            Err(fragments::FolderError::NoManifest(_)) => {
                let manifest = client::fetch_manifest(&engine, model, Duration::MAX).await?;
                let file = path.join(MANIFEST_FILE);
                files::write(&file, &manifest.encode(), Readers::Everyone).with_context(|| {
                    format!("cannot write {}; is the disk full?", file.display())
                })?;
                manifest
            }
            Err(error) => return Err(error.into()),
        };
        teller.tell_model(&manifest)?;
        let present = {
            let (path, manifest) = (path.to_owned(), manifest.clone());
            tokio::task::spawn_blocking(move || intact(&path, &manifest)).await?
        };
        let shelf = Self {
            engine,
            manifest,
            folder,
            path: path.to_owned(),
            held: present.iter().map(|(index, _)| *index).collect(),
            teller,
        };
        shelf.hold(present).await?;
        shelf.tell()?;
        Ok(shelf)
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn tell(&self) -> Result<()> {
        self.teller.tell(&Told::Holding {
            computes: self.held.len(),
            stores: self.held.len(),
        })
    }

    async fn hold(&self, fragments: Vec<(u32, Arc<Fragment<Bytes>>)>) -> Result<()> {
        let computes = self.held.clone();
        let command = Command::Hold {
            fragments,
            computes,
        };
        Ok(self.engine.command(command).await?)
    }

    /// Fetches until there are `count` fragments.
    pub(crate) async fn fill(&mut self, count: usize) -> Result<()> {
        if self.held.len() >= count {
            return Ok(());
        }
        settle(&self.engine).await?;
        let wanted = self.choose(count - self.held.len()).await?;
        let taking: Vec<_> = wanted.iter().copied().map(FragmentIndex).collect();
        self.engine.command(Command::Taking(taking.clone())).await?;
        let mut wanted = wanted.into_iter();
        let bar = crate::progress::bytes_bar("fetching", 0);
        let mut fetching = FuturesUnordered::new();
        loop {
            while fetching.len() < FETCHES
                && let Some(index) = wanted.next()
            {
                let plan = &self.manifest.plan().fragments[index as usize];
                bar.inc_length(plan.file_len.into());
                fetching.push(self.fetch(index));
            }
            let Some(fetched) = fetching.next().await.transpose()? else {
                break;
            };
            bar.inc(fetched.bytes.len() as u64);
            if !self.keep(fetched).await? {
                let held = self.held.len();
                eprintln!("note: this node goes on with {held} of {count} fragments");
                for index in taking {
                    self.engine.command(Command::NotTaken(index)).await?;
                }
                break;
            }
        }
        bar.finish_and_clear();
        self.tell()
    }

    /// What an earlier run has begun comes first.
    async fn choose(&self, missing: usize) -> Result<Vec<u32>> {
        let begun = (0..).zip(self.manifest.fragment_ids());
        let begun = begun.filter(|(index, id)| {
            !self.held.contains(index) && beginning(&self.folder, id).exists()
        });
        let mut wanted: Vec<u32> = begun.map(|(index, _)| index).collect();
        for FragmentIndex(index) in self.engine.assign(missing).await? {
            if !wanted.contains(&index) {
                wanted.push(index);
            }
        }
        wanted.truncate(missing);
        Ok(wanted)
    }

    /// Does what the swarm decides, for as long as the node runs: takes up what others leave behind, up to `count` fragments
    /// in all, and lets go of what enough of them hold.
    pub(crate) async fn keep_up(mut self, count: usize) -> Result<()> {
        let (orders, mut orders_end) = mpsc::channel(ORDERS);
        let capacity = |fragments| Command::Capacity {
            fragments,
            orders: orders.clone(),
        };
        self.engine.command(capacity(count)).await?;
        let mut fetching = FuturesUnordered::new();
        loop {
            tokio::select! {
                order = orders_end.recv() => match order {
                    Some(Order::TakeUp(FragmentIndex(index))) => fetching.push(self.fetch(index)),
                    Some(Order::LetGo(FragmentIndex(index))) => self.let_go(index)?,
                    None => return Ok(()),
                },
                Some(fetched) = fetching.next() => {
                    let fetched = fetched?;
                    let index = FragmentIndex(fetched.index);
                    match self.keep(fetched).await {
                        Ok(true) => self.tell()?,
                        Ok(false) => self.engine.command(capacity(self.held.len())).await?,
                        // What is held is of use all the same, and nothing more is taken up.
                        Err(error) => {
                            eprintln!("note: {error:#}");
                            self.engine.command(Command::NotTaken(index)).await?;
                            self.engine.command(capacity(self.held.len())).await?;
                        }
                    }
                }
            }
        }
    }

    /// Another one has taken its place.
    fn let_go(&mut self, index: u32) -> Result<()> {
        self.held.remove(&index);
        let id = self.manifest.fragment_ids()[index as usize];
        let file = self.folder.path(&id);
        if let Err(error) = std::fs::remove_file(&file) {
            tracing::warn!(file = %file.display(), %error, "cannot delete what is held no longer");
        }
        self.teller.tell(&Told::LetGo {
            fragment: index,
            id: &id.to_string(),
        })
    }

    fn fetch(&self, index: u32) -> impl Future<Output = Result<Fetched, Stopped>> + use<> {
        let id = self.manifest.fragment_ids()[index as usize];
        let (engine, file) = (self.engine.clone(), beginning(&self.folder, &id));
        async move {
            let (bytes, had) = engine.fetch_resumable(content(&id), file).await?;
            Ok(Fetched {
                index,
                id,
                bytes,
                had,
            })
        }
    }

    /// Keeps what was fetched, and holds it. False if there is no room for it.
    async fn keep(&mut self, fetched: Fetched) -> Result<bool> {
        let Fetched {
            index,
            id,
            bytes,
            had,
        } = fetched;
        // Small enough to be written here: the nodes' own work goes on in other threads.
        match self.folder.put(&id, &bytes) {
            Ok(_) => {}
            // What is here is of use all the same.
            Err(error @ StoreError::Full { .. }) if !self.held.is_empty() => {
                eprintln!("note: {error}");
                let index = FragmentIndex(index);
                self.engine.command(Command::NotTaken(index)).await?;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        // It will not be asked for again; a file that stays is only in the way.
        let _ = std::fs::remove_file(beginning(&self.folder, &id));
        let Some(fragment) = source::open_fragment(&self.path, &self.manifest, index)? else {
            bail!(
                "fragment {index} ({id}) vanished from {}",
                self.path.display()
            );
        };
        self.held.insert(index);
        self.hold(vec![(index, Arc::new(fragment))]).await?;
        self.teller.tell(&Told::Fetched {
            fragment: index,
            id: &id.to_string(),
            had,
        })?;
        Ok(true)
    }
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

/// Where the beginning of a fragment is kept while it is fetched.
fn beginning(folder: &FolderStore, id: &FragmentId) -> PathBuf {
    folder.path(id).with_extension("download")
}

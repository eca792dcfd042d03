//! Joining: the manifest first, then the small tensors, then the fragments to lend.

use std::{rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use fragments::{Fragment, FragmentId, Manifest, ModelId, PartKind};
use futures_channel::oneshot;
use inference::Model;
use swarm::{Catalogue, ContentId, DownloadId, Event, FragmentIndex, FragmentInfo};
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    status::{Problem, Stage},
    store::{self, Store},
};

use super::{Engine, clock, lending, state::State};

/// A download is stored in pieces of this size while it goes on.
const CHUNK: usize = 1 << 18;

/// Content on its way here.
pub(super) struct Incoming {
    pub(super) index: Option<FragmentIndex>,
    id: FragmentId,
    bytes: Vec<u8>,
    /// How many of them are stored as chunks.
    kept: usize,
    done: Option<oneshot::Sender<Vec<u8>>>,
}

/// What the user is told when storage fails.
pub(super) fn problem(error: store::Error) -> Problem {
    match error {
        store::Error::Quota => Problem::Quota,
        store::Error::Failed(detail) => Problem::Storage(detail),
    }
}

/// Joins, from the name of the model to the point where questions can be asked; lending goes on from there.
pub(super) async fn join(engine: Engine, model: String) {
    if let Err(problem) = go_through(&engine, &model).await {
        engine.update(|state| state.problem = Some(problem));
    }
}

async fn go_through(engine: &Engine, model: &str) -> Result<(), Problem> {
    let other = |error: &dyn std::fmt::Display| Problem::Other(error.to_string());
    let unsupported = |error: &dyn std::fmt::Display| Problem::Unsupported(error.to_string());
    let id: ModelId = model.parse().map_err(|error| other(&error))?;
    let store = match Store::open().await {
        Ok(store) => Some(Rc::new(store)),
        Err(error) => {
            engine.update(|state| state.problem = Some(problem(error)));
            None
        }
    };
    engine.update(|state| {
        state.store = store.clone();
        state.id = Some(id);
        state.stage = Stage::Manifest;
        state.node.set_model(ContentId(id.0), clock::now());
    });
    let bytes = manifest(engine, store.as_deref(), id).await;
    let manifest = Manifest::decode_verified(&bytes, &id).map_err(|error| unsupported(&error))?;
    let stored = match &store {
        Some(store) => store.fragments().await.unwrap_or_default(),
        None => Vec::new(),
    };
    engine.update(|state| {
        state.library.keep(ContentId(id.0), Bytes::from(bytes));
        state.set_catalogue(&manifest, &stored);
        state.stage = Stage::Small;
    });
    let model = match Model::new(manifest) {
        Ok(model) => Arc::new(model),
        Err(error) => {
            // Lending needs no understanding of the model as a whole.
            lending::lend(engine);
            return Err(unsupported(&error));
        }
    };
    engine.update(|state| state.model = Some(model.clone()));
    let small = small(engine, store, &model).await;
    let small = model
        .small_tensors(&small)
        .map_err(|error| unsupported(&error))?;
    engine.update(|state| {
        state.small = Some(Arc::new(small));
        state.stage = Stage::Lent;
    });
    lending::lend(engine);
    spawn_local(lending::watch_storage(engine.clone()));
    Ok(())
}

async fn manifest(engine: &Engine, store: Option<&Store>, id: ModelId) -> Vec<u8> {
    if let Some(store) = store
        && let Ok(Some(bytes)) = store.manifest(&id.to_string()).await
        && ModelId::of(&bytes) == id
    {
        return bytes;
    }
    let bytes = fetch_surely(engine, id.into(), None).await;
    if let Some(store) = store
        && let Err(error) = store.keep_manifest(&id.to_string(), &bytes).await
    {
        engine.update(|state| state.problem = Some(problem(error)));
    }
    bytes
}

/// Has all fragments with small tensors, from storage or from peers, several at a time.
async fn small(engine: &Engine, store: Option<Rc<Store>>, model: &Model) -> Vec<Fragment<Vec<u8>>> {
    let mut coming = Vec::new();
    for &index in model.small_fragments() {
        let (sender, receiver) = oneshot::channel();
        let (engine, store) = (engine.clone(), store.clone());
        coming.push((index, receiver));
        spawn_local(async move {
            let index = FragmentIndex(index);
            if let Some(bytes) = have(&engine, store.as_deref(), index).await {
                // Whoever waits for it ends with the page only.
                let _ = sender.send(bytes);
            }
        });
    }
    let mut fragments = Vec::new();
    for (index, receiver) in coming {
        // The digest is right, so the manifest's maker made it: only a broken one fails here.
        if let Ok(bytes) = receiver.await
            && let Ok(fragment) = model.manifest().open_fragment(index, bytes)
        {
            fragments.push(fragment);
        }
    }
    fragments
}

/// A fragment's bytes, from storage if possible; what had to be fetched is stored.
async fn have(engine: &Engine, store: Option<&Store>, index: FragmentIndex) -> Option<Vec<u8>> {
    let id = engine.update(|state| state.fragment_id(index))??;
    if let Some(store) = store
        && let Ok(Some(bytes)) = store.fragment(&id.to_string()).await
        && FragmentId::of(&bytes) == id
    {
        return Some(bytes);
    }
    let bytes = fetch_surely(engine, id, Some(index)).await;
    if let Err(error) = keep(engine, index, &bytes).await {
        engine.update(|state| state.problem = Some(problem(error)));
    }
    Some(bytes)
}

/// Stores a verified fragment and offers it to others.
pub(super) async fn keep(engine: &Engine, index: FragmentIndex, bytes: &[u8]) -> store::Result<()> {
    let known = engine.update(|state| (state.store.clone(), state.fragment_id(index)));
    let Some((Some(store), Some(id))) = known else {
        return Err(store::Error::Failed("not open".into()));
    };
    store.keep_fragment(&id.to_string(), bytes).await?;
    engine.update(|state| {
        state.stored.insert(index);
        state.node.add_holding(index, false, clock::now());
    });
    Ok(())
}

/// Fetches content from peers, however long that takes.
async fn fetch_surely(engine: &Engine, id: FragmentId, index: Option<FragmentIndex>) -> Vec<u8> {
    loop {
        match fetch(engine, id, index).await {
            Some(bytes) => return bytes,
            None => clock::sleep(Duration::from_secs(5)).await,
        }
    }
}

/// Fetches content from peers; goes on where an earlier download stopped. `None` if it was cancelled, or refused
/// because absurdly many downloads wait.
pub(super) async fn fetch(
    engine: &Engine,
    id: FragmentId,
    index: Option<FragmentIndex>,
) -> Option<Vec<u8>> {
    let store = engine.update(|state| state.store.clone()).flatten();
    let beginning = match &store {
        Some(store) => store.chunks(&id.to_string()).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let (sender, receiver) = oneshot::channel();
    let have = beginning.len();
    let incoming = Incoming {
        index,
        id,
        bytes: beginning,
        kept: have,
        done: Some(sender),
    };
    engine.update(|state| {
        let content = ContentId(id.0);
        if let Some(download) = state.node.download(content, have as u64, clock::now()) {
            state.incoming.insert(download, incoming);
        }
    });
    receiver.await.ok()
}

impl State {
    /// The model's fragments are known: what they are, and which are stored here already.
    fn set_catalogue(&mut self, manifest: &Manifest, stored: &[String]) {
        let plans = &manifest.plan().fragments;
        let info = |(plan, id): (&fragments::FragmentPlan, &FragmentId)| FragmentInfo {
            content: ContentId(id.0),
            bytes: u64::from(plan.file_len),
            always_active: plan.class == fragments::Class::AlwaysActive,
        };
        let infos = plans.iter().zip(manifest.fragment_ids()).map(info);
        let now = clock::now();
        let catalogue = Catalogue {
            fragments: infos.collect(),
        };
        self.node.set_catalogue(catalogue, now);
        self.node
            .set_shape(steps::shape(manifest.header(), manifest.plan()), now);
        self.web_seeds = manifest.web_seeds().to_vec();
        self.node.set_web_seeds(self.web_seeds.len(), now);
        let of_use = |kind: &PartKind| {
            !matches!(
                kind,
                PartKind::Small { .. } | PartKind::Opaque | PartKind::Gap { .. }
            )
        };
        self.not_lent = (0..)
            .map(FragmentIndex)
            .zip(plans)
            .filter(|(_, plan)| !plan.parts.iter().any(|part| of_use(&part.kind)))
            .map(|(index, _)| index)
            .collect();
        let ids = manifest.fragment_ids().iter().copied();
        self.indices = ids.zip((0..).map(FragmentIndex)).collect();
        self.stored = stored.iter().filter_map(|id| self.index_of(id)).collect();
        self.strangers = stored.len().saturating_sub(self.stored.len()) as u32;
        self.node.set_holdings([], self.stored.iter().copied(), now);
    }

    /// The next bytes of a download.
    pub(super) fn write(&mut self, download: DownloadId, offset: u64, bytes: &[u8]) {
        let Some(incoming) = self.incoming.get_mut(&download) else {
            return;
        };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset < incoming.kept {
            // What is stored from there on is void, and pieces are not cut.
            incoming.kept = 0;
            forget_chunks(self.store.clone(), incoming.id);
        }
        incoming.bytes.truncate(offset);
        incoming.bytes.extend_from_slice(bytes);
        let new = &incoming.bytes[incoming.kept..];
        if new.len() >= CHUNK
            && let Some(store) = self.store.clone()
        {
            let (id, at, chunk) = (incoming.id, incoming.kept as u64, new.to_vec());
            incoming.kept = incoming.bytes.len();
            spawn_local(async move {
                // Without it the download cannot be resumed, that is all; if there is no room, storing the whole
                // will say so.
                let _ = store.keep_chunk(&id.to_string(), at, &chunk).await;
            });
        }
    }

    /// How much of a download is here, whoever it came from; `None` once it was cancelled.
    pub(super) fn arrived(&self, download: DownloadId) -> Option<u64> {
        let incoming = self.incoming.get(&download);
        incoming.map(|incoming| incoming.bytes.len() as u64)
    }

    /// All bytes of a download are here: are they the right ones?
    pub(super) fn complete(&mut self, download: DownloadId) {
        let Some(good) = self.hand_over(download) else {
            return;
        };
        let event = Event::Verified { download, good };
        self.node.handle_event(event, clock::now());
    }

    /// Gives what was downloaded to whoever wants it, if it is what its name says; otherwise nothing is left of it.
    pub(super) fn hand_over(&mut self, download: DownloadId) -> Option<bool> {
        let mut incoming = self.incoming.remove(&download)?;
        let good = FragmentId::of(&incoming.bytes) == incoming.id;
        if good {
            if let Some(done) = incoming.done.take() {
                // Whoever waited may have changed its mind; what is here is stored as chunks at most.
                let _ = done.send(incoming.bytes);
            }
        } else {
            let words = format!("{} came damaged: its digest is not its name", incoming.id);
            web_sys::console::warn_1(&words.into());
            forget_chunks(self.store.clone(), incoming.id);
            incoming.bytes.clear();
            incoming.kept = 0;
            self.incoming.insert(download, incoming);
        }
        Some(good)
    }
}

fn forget_chunks(store: Option<Rc<Store>>, id: FragmentId) {
    if let Some(store) = store {
        spawn_local(async move {
            // They would be recognised as bad once more.
            let _ = store.forget_chunks(&id.to_string()).await;
        });
    }
}

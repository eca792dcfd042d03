//! Joining a swarm as somebody who asks: find the model, fetch what the executor needs, hold nothing.

use crate::backend::Backend;
use crate::engine::{Command, Engine, Notice, content};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use fragments::{Fragment, Manifest, ModelId};
use futures::future::try_join_all;
use inference::Model;
use inference::hyperparameters::YarnLogMultiplier;
use network::Multiaddr;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use swarm::ContentId;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// Which swarm to join.
pub(crate) struct Swarm {
    pub(crate) peers: Vec<Multiaddr>,
    pub(crate) secret: Option<network::Secret>,
    pub(crate) model: Option<ModelId>,
    /// How long to wait for somebody to answer at all, and for somebody who has a piece that is needed.
    pub(crate) patience: Duration,
    pub(crate) log_multiplier: YarnLogMultiplier,
}

/// Joins.
pub(crate) async fn join(swarm: &Swarm, identity: network::Identity) -> Result<Backend> {
    let mut network = network::Config::new(identity.clone());
    network.bootstrap = swarm.peers.clone();
    network.secret = swarm.secret.clone();
    network.kad_server = false;
    let mut config = swarm::Config::new(crate::engine::swarm_peer(&identity.peer_id()));
    config.role = Some(protocol::Role::Client);
    let (engine, mut notices) = Engine::start(network, config)?;

    let id = find_model(&engine, &mut notices, swarm).await?;
    let manifest = fetch_manifest(&engine, id, swarm.patience).await?;
    let model = Arc::new(Model::with(manifest, swarm.log_multiplier)?);
    let small = try_join_all(
        model
            .small_fragments()
            .iter()
            .map(|index| fetch_fragment(&engine, model.manifest(), *index, swarm.patience)),
    );
    let small = model.small_tensors(&small.await?)?;
    Ok(Backend::swarm(engine, model, small))
}

/// Waits until somebody is there who serves the model.
async fn find_model(
    engine: &Engine,
    notices: &mut Receiver<Notice>,
    swarm: &Swarm,
) -> Result<ModelId> {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    let mut unreachable: BTreeSet<Multiaddr> = BTreeSet::new();
    let mut others = BTreeSet::new();
    let search = async {
        loop {
            while let Ok(notice) = notices.try_recv() {
                if let Notice::Unreachable { address, reason } = notice {
                    unreachable.insert(address.clone());
                    if swarm.peers.iter().all(|peer| unreachable.contains(peer)) {
                        bail!("cannot reach {address}: {reason}");
                    }
                }
            }
            let stats = engine.stats().await?;
            let models = stats
                .peers
                .iter()
                .filter_map(|peer| peer.model)
                .map(|model| ModelId(model.0));
            for model in models {
                if swarm.model.is_none_or(|wanted| wanted == model) {
                    return Ok(model);
                }
                others.insert(model);
            }
            // Nobody need be asked before somebody is there; the wanted model's providers are looked for then.
            if let Some(wanted) = swarm.model.filter(|_| !stats.peers.is_empty()) {
                engine.command(Command::Model(ContentId(wanted.0))).await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    if let Ok(found) = timeout(swarm.patience, search).await {
        return found;
    }
    let seconds = swarm.patience.as_secs();
    match (swarm.model, others.first()) {
        (Some(wanted), Some(other)) => {
            bail!(
                "nobody serves model {wanted}; those who answered serve {other}: is --model-id right?"
            )
        }
        (Some(wanted), None) => bail!("nobody serves model {wanted} (waited {seconds} s)"),
        (None, _) => {
            bail!("nobody who serves a model answered within {seconds} s: is the address right?")
        }
    }
}

/// Fetches the manifest of the swarm's model and makes it known to the engine.
pub(crate) async fn fetch_manifest(
    engine: &Engine,
    id: ModelId,
    patience: Duration,
) -> Result<Manifest> {
    let content = ContentId(id.0);
    engine.command(Command::Model(content)).await?;
    let bytes = timeout(patience, engine.fetch(content)).await;
    let bytes = bytes.with_context(|| {
        format!("nobody sent the manifest of model {id}; are its nodes running?")
    })??;
    let manifest =
        Manifest::decode_verified(&bytes, &id).context("the model's manifest is not usable")?;
    engine.command(Command::catalogue(&manifest)).await?;
    Ok(manifest)
}

/// Fetches one fragment.
pub(crate) async fn fetch_fragment(
    engine: &Engine,
    manifest: &Manifest,
    index: u32,
    patience: Duration,
) -> Result<Fragment<Bytes>> {
    let id = manifest.fragment_ids()[index as usize];
    let bytes = timeout(patience, engine.fetch(content(&id))).await;
    let bytes = bytes.with_context(|| {
        format!("nobody sent fragment {index} ({id}); does anybody offer it?")
    })??;
    Ok(manifest.open_fragment(index, bytes)?)
}

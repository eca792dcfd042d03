//! Layers that this node runs for others, once the swarm wants it to.

use crate::client;
use crate::engine::{Command, Engine};
use crate::source::Fragments;
use anyhow::{Context, Result};
use fragments::Manifest;
use futures::future::try_join_all;
use inference::stage::Limits;
use inference::{Model, SmallTensors};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Offers to run layers of a model. When the swarm takes that up, what is small of them is fetched, as far as it is not
/// among the `present`.
pub(crate) async fn offer(
    engine: Engine,
    manifest: Manifest,
    present: Fragments,
    limits: Limits,
) -> Result<()> {
    let (prepare, mut wanted) = mpsc::channel(1);
    engine.command(Command::MayHost(prepare)).await?;
    if wanted.recv().await.is_none() {
        return Ok(());
    }
    let model = Model::new(manifest).context("cannot run layers of this model")?;
    let small = small_tensors(&engine, &model, &present).await?;
    let command = Command::Host {
        model: model.into(),
        small: small.into(),
        limits,
    };
    Ok(engine.command(command).await?)
}

/// What is small of a model, fetched as far as it is not among the `present`, however long that takes.
pub(crate) async fn small_tensors(
    engine: &Engine,
    model: &Model,
    present: &Fragments,
) -> Result<SmallTensors> {
    let small = model.small_fragments().iter().map(|index| async {
        match present.get(index) {
            Some(fragment) => Ok(fragment.clone()),
            None => {
                let fetched =
                    client::fetch_fragment(engine, model.manifest(), *index, Duration::MAX);
                fetched.await.map(Arc::new)
            }
        }
    });
    let small = try_join_all(small).await?;
    Ok(model.small_tensors(small.iter().map(|fragment| &**fragment))?)
}

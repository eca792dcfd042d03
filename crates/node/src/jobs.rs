//! Answers that this node finishes for people who cannot wait for them: one at a time, when nobody else waits.

use crate::backend::{Backend, Tally};
use crate::engine::{Command, Engine, JobOrder};
use crate::layers;
use crate::source::Fragments;
use anyhow::{Context, Result, ensure};
use fragments::Manifest;
use inference::Model;
use inference::executor::CacheKind;
use inference::job::{self, End, Progress};
use inference::session::{Config, FinishReason};
use protocol::JobId;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// More of them never wait here: the swarm's core gives one at a time.
const ORDERS: usize = 4;
/// No answer is longer, whatever is asked for.
const MOST_TOKENS: usize = 8192;

/// Offers to finish answers of a model. What is small of it is fetched with the first, as far as it is not among the
/// `present`; keys and values of an answer take so many bytes at most.
pub(crate) async fn offer(
    engine: Engine,
    manifest: Manifest,
    present: Fragments,
    memory: usize,
) -> Result<()> {
    let (orders, mut orders_end) = mpsc::channel(ORDERS);
    engine.command(Command::MayFinish(orders)).await?;
    let Some(mut order) = orders_end.recv().await else {
        return Ok(());
    };
    let model = Model::new(manifest).context("cannot answer with this model")?;
    let small = layers::small_tensors(&engine, &model, &present).await?;
    let backend = Backend::swarm(engine.clone(), model.into(), small).in_background();
    spawn_blocking(move || {
        loop {
            finish(&engine, &backend, &order, memory)?;
            order = match orders_end.blocking_recv() {
                Some(order) => order,
                None => return Ok(()),
            };
        }
    })
    .await?
}

/// Finishes one; only that the node has stopped is an error.
fn finish(engine: &Engine, backend: &Backend, order: &JobOrder, memory: usize) -> Result<()> {
    let mut progress = Progress::default();
    if let Err(error) = answer(engine, backend, order, memory, &mut progress) {
        progress.end = Some(End::Failed(format!("{error:#}")));
    }
    progress
        .end
        .get_or_insert(End::Finished(FinishReason::Cancelled));
    tell(engine, order.job, &progress, true)
}

fn answer(
    engine: &Engine,
    backend: &Backend,
    order: &JobOrder,
    memory: usize,
    progress: &mut Progress,
) -> Result<()> {
    let job = job::decode_job(&order.body)?;
    let model = backend.model();
    ensure!(job.model == model.id(), "this node serves another model");
    let cache = CacheKind::for_arithmetic(job.arithmetic);
    let token = model.hyperparameters().cache_bytes_per_token(cache);
    let mut session = backend.session(Config {
        context: memory / token.max(1),
        arithmetic: job.arithmetic,
        least_experts: job.least_experts,
        ..Config::default()
    })?;
    let mut generation = job.generation();
    generation.max_tokens = generation.max_tokens.min(MOST_TOKENS);
    session.resume(&job.tokens, job.prompt, generation)?;
    backend.run(&mut session, &mut Tally::new(), &order.stop, |event| {
        let before = progress.tokens.len();
        progress.hear(&event);
        if progress.tokens.len() > before {
            tell(engine, order.job, progress, false)?;
        }
        Ok(())
    })?;
    progress.parts = session.parts();
    Ok(())
}

fn tell(engine: &Engine, job: JobId, progress: &Progress, over: bool) -> Result<()> {
    let progress = job::encode_progress(progress).into();
    let told = Command::JobTold {
        job,
        progress,
        over,
    };
    Ok(engine.command_blocking(told)?)
}

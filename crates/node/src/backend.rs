//! Who answers a session's requests: this process, which has all fragments, or the swarm.

use crate::engine::{Command, Engine, Outcome, content, peer_name};
use crate::source::Source;
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use fragments::{Fragment, FragmentId, Manifest};
use inference::executor::Missing;
use inference::hyperparameters::YarnLogMultiplier;
use inference::session::{Config, Error as SessionError, Event};
use inference::{Model, RequestId, Session, SmallTensors, compute, executor};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use swarm::{Failure, FragmentIndex, Priority, Worker};

/// More outcomes than requests can be under way.
const OUTCOMES: usize = 8192;
/// How long a wish to stop may go unnoticed.
const NOTICE_STOP: Duration = Duration::from_millis(100);

/// A model that can be asked.
pub(crate) struct Backend {
    model: Arc<Model>,
    small: Arc<SmallTensors>,
    answers: Answers,
    priority: Priority,
}

enum Answers {
    Here(HashMap<FragmentId, Arc<Fragment<Bytes>>>),
    Swarm(Engine),
}

/// Who computed how many requests.
pub(crate) type Tally = BTreeMap<String, u64>;

impl Backend {
    /// All fragments of a model in this process.
    pub(crate) fn here(source: Source, log_multiplier: YarnLogMultiplier) -> Result<Self> {
        let model = Model::with(source.manifest, log_multiplier)?;
        let small = source
            .fragments
            .iter()
            .filter(|(index, _)| model.small_fragments().contains(index));
        let small = model.small_tensors(small.map(|(_, fragment)| &**fragment))?;
        let ids = model.manifest().fragment_ids();
        let by_id = source
            .fragments
            .into_iter()
            .map(|(index, fragment)| (ids[index as usize], fragment))
            .collect();
        Ok(Self {
            model: model.into(),
            small: small.into(),
            answers: Answers::Here(by_id),
            priority: Priority::default(),
        })
    }

    /// A model that others compute.
    pub(crate) fn swarm(engine: Engine, model: Arc<Model>, small: SmallTensors) -> Self {
        Self {
            model,
            small: small.into(),
            answers: Answers::Swarm(engine),
            priority: Priority::default(),
        }
    }

    /// From now on it asks for what nobody is waiting for.
    pub(crate) fn in_background(self) -> Self {
        Self {
            priority: Priority::Background,
            ..self
        }
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// What the swarm did beyond the requests themselves; nothing for a model that is here.
    pub(crate) async fn totals(&self) -> Option<swarm::Totals> {
        match &self.answers {
            Answers::Here(_) => None,
            Answers::Swarm(engine) => Some(engine.stats().await.ok()?.totals),
        }
    }

    pub(crate) fn session(&self, config: Config) -> Result<Session> {
        Ok(Session::new(
            self.model.clone(),
            self.small.clone(),
            config,
        )?)
    }

    /// Runs a session until it has nothing more to ask or `stop` is set. Counts in `tally` who computed.
    pub(crate) fn run(
        &self,
        session: &mut Session,
        tally: &mut Tally,
        stop: &AtomicBool,
        mut on_event: impl FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let result = match &self.answers {
            Answers::Here(fragments) => run_here(fragments, session, tally, stop, &mut on_event),
            Answers::Swarm(engine) => {
                let result = run_swarm(engine, self.priority, session, tally, stop, &mut on_event);
                engine.command_blocking(Command::CancelAll)?;
                result
            }
        };
        result?;
        if session.is_busy() {
            session.cancel();
        }
        tell(session, &mut on_event)
    }
}

fn tell(session: &mut Session, on_event: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
    while let Some(event) = session.poll_event() {
        on_event(event)?;
    }
    Ok(())
}

fn run_here(
    fragments: &HashMap<FragmentId, Arc<Fragment<Bytes>>>,
    session: &mut Session,
    tally: &mut Tally,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        tell(session, on_event)?;
        // All that can be computed now, on all cores.
        let requests: Vec<_> = std::iter::from_fn(|| session.poll_request()).collect();
        if requests.is_empty() {
            return Ok(());
        }
        *tally.entry("local".into()).or_default() += requests.len() as u64;
        let compute = |(id, request): &(RequestId, compute::Request)| -> Result<_> {
            let fragment = fragments.get(&request.fragment);
            let fragment =
                fragment.with_context(|| format!("fragment {} is not here", request.fragment))?;
            Ok((*id, compute::answer(fragment, request)?))
        };
        let answers: Vec<_> = requests.par_iter().map(compute).collect::<Result<_>>()?;
        for (id, answer) in answers {
            session.handle_response(id, answer)?;
        }
    }
    Ok(())
}

fn run_swarm(
    engine: &Engine,
    priority: Priority,
    session: &mut Session,
    tally: &mut Tally,
    stop: &AtomicBool,
    on_event: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    let (reply, outcomes) = sync_channel(OUTCOMES);
    while !stop.load(Ordering::Relaxed) {
        tell(session, on_event)?;
        submit(engine, priority, session, &reply)?;
        if session.open_requests() == 0 {
            return Ok(());
        }
        match outcomes.recv_timeout(NOTICE_STOP) {
            Ok(Outcome::Answer { request, by, body }) => {
                let id = RequestId(request.0);
                let good = match compute::decode_response(&body)
                    .map(|answer| session.handle_response(id, answer))
                {
                    Ok(Ok(())) => true,
                    Err(_) | Ok(Err(SessionError::Executor(executor::Error::Response(_)))) => false,
                    Ok(Err(error)) => return Err(error.into()),
                };
                if good {
                    let name = match &by {
                        Worker::Local => "local".into(),
                        Worker::Peer(peer) => peer_name(peer),
                    };
                    *tally.entry(name).or_default() += 1;
                    engine.command_blocking(Command::Accept(request))?;
                } else {
                    engine.command_blocking(Command::Reject(request))?;
                }
            }
            Ok(Outcome::Failed { request, failure }) => {
                let explained = explain(&failure, session.model().manifest());
                if !failure.is_for_want_of_workers() {
                    return Err(explained);
                }
                match session.do_without(RequestId(request.0))? {
                    Missing::LeftOut => {}
                    Missing::Needed => return Err(explained),
                    Missing::TooMany { left_out, of } => {
                        return Err(explained.context(format!(
                            "too many experts are missing: of {of} times that the model's experts are to work on what \
                             comes next, {left_out} are impossible"
                        )));
                    }
                }
            }
            Ok(Outcome::Refused(error)) => return Err(error.into()),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("the node has stopped"),
        }
    }
    Ok(())
}

fn submit(
    engine: &Engine,
    priority: Priority,
    session: &mut Session,
    reply: &SyncSender<Outcome>,
) -> Result<()> {
    while let Some((id, request)) = session.poll_request() {
        let index = session.model().manifest().fragment_index(&request.fragment);
        let index =
            index.with_context(|| format!("fragment {} is not of this model", request.fragment))?;
        engine.command_blocking(Command::Submit {
            request: swarm::RequestId(id.0),
            fragment: FragmentIndex(index),
            body: compute::encode_request(&request).into(),
            priority,
            reply: reply.clone(),
        })?;
    }
    Ok(())
}

/// A failure with the fragment's file name and what can be done.
fn explain(failure: &Failure, manifest: &Manifest) -> anyhow::Error {
    let (Failure::NobodyHolds { fragment, .. }
    | Failure::NobodyAnswers { fragment, .. }
    | Failure::Malformed { fragment, .. }) = failure;
    let name = manifest
        .fragment_id(fragment.0)
        .map(|id| id.to_string())
        .unwrap_or_default();
    anyhow!(
        "{failure}\nIt is {name}. Start a node that holds it: `iap2p serve --hold {} …`",
        fragment.0
    )
}

/// The fragments of a model as the swarm wants to know them.
pub(crate) fn catalogue(manifest: &Manifest) -> swarm::Catalogue {
    let info = |(id, plan): (&FragmentId, &fragments::FragmentPlan)| swarm::FragmentInfo {
        content: content(id),
        bytes: plan.file_len.into(),
        always_active: plan.class == fragments::Class::AlwaysActive,
    };
    let fragments = manifest
        .fragment_ids()
        .iter()
        .zip(&manifest.plan().fragments)
        .map(info)
        .collect();
    swarm::Catalogue { fragments }
}

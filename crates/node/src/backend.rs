//! Who answers a session's requests: this process, which has all fragments, or the swarm.

mod asking;

use crate::engine::{Asker, Command, Engine, content};
use crate::source::Source;
use anyhow::{Context, Result};
use asking::Asking;
pub(crate) use asking::Unanswered;
use bytes::Bytes;
use fragments::{Fragment, FragmentId, Manifest};
use inference::hyperparameters::YarnLogMultiplier;
use inference::session::{Config, Event};
use inference::{Model, RequestId, Session, SmallTensors, compute};
use protocol::SessionId;
use rayon::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use swarm::stages::Plan;
use swarm::{Priority, Queue};

/// A model that can be asked.
pub(crate) struct Backend {
    model: Arc<Model>,
    small: Arc<SmallTensors>,
    answers: Answers,
    priority: Priority,
}

/// Fragments in this process.
type Held = HashMap<FragmentId, Arc<Fragment<Bytes>>>;

enum Answers {
    Here(Arc<Held>),
    Swarm(Box<Swarm>),
}

/// The network, and the way that tokens take there.
struct Swarm {
    engine: Engine,
    /// Among those who ask through the same engine.
    asker: Asker,
    /// What those who run layers call this backend's session.
    session: SessionId,
    /// Whether others may run layers.
    stages: bool,
    way: RefCell<Option<Plan>>,
    /// The longest that had to be waited for since it was last asked for, and who hears of each.
    queue: Cell<Option<Queue>>,
    told: Option<Box<dyn Fn(Queue) + Send>>,
}

impl Swarm {
    fn new(engine: Engine, stages: bool) -> Self {
        Self {
            asker: engine.asker(),
            engine,
            session: SessionId(rand::random()),
            stages,
            way: RefCell::new(None),
            queue: Cell::new(None),
            told: None,
        }
    }

    /// Others are before what was asked.
    fn note_queue(&self, queue: Queue) {
        let longest = self.queue.get().filter(|it| it.wait >= queue.wait);
        self.queue.set(longest.or(Some(queue)));
        if let Some(told) = &self.told {
            told(queue);
        }
    }
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
        let by_id: Held = source
            .fragments
            .into_iter()
            .map(|(index, fragment)| (ids[index as usize], fragment))
            .collect();
        Ok(Self {
            model: model.into(),
            small: small.into(),
            answers: Answers::Here(Arc::new(by_id)),
            priority: Priority::default(),
        })
    }

    /// A model that others compute.
    pub(crate) fn swarm(engine: Engine, model: Arc<Model>, small: SmallTensors) -> Self {
        Self {
            model,
            small: small.into(),
            answers: Answers::Swarm(Swarm::new(engine, true).into()),
            priority: Priority::default(),
        }
    }

    /// The same for a second session, which may ask while the first does.
    pub(crate) fn another(&self) -> Self {
        Self {
            model: self.model.clone(),
            small: self.small.clone(),
            answers: match &self.answers {
                Answers::Here(fragments) => Answers::Here(fragments.clone()),
                Answers::Swarm(swarm) => {
                    Answers::Swarm(Swarm::new(swarm.engine.clone(), swarm.stages).into())
                }
            },
            priority: self.priority,
        }
    }

    /// The node in the network through which it asks, if it does.
    pub(crate) fn engine(&self) -> Option<&Engine> {
        match &self.answers {
            Answers::Here(_) => None,
            Answers::Swarm(swarm) => Some(&swarm.engine),
        }
    }

    /// From now on it runs all layers itself, whoever offers to, and only asks about fragments.
    pub(crate) fn with_own_layers(mut self) -> Self {
        if let Answers::Swarm(swarm) = &mut self.answers {
            swarm.stages = false;
        }
        self
    }

    /// From now on `told` hears, whenever others' requests are before what was asked, how many and for how long.
    pub(crate) fn on_queue(&mut self, told: impl Fn(Queue) + Send + 'static) {
        if let Answers::Swarm(swarm) = &mut self.answers {
            swarm.told = Some(Box::new(told));
        }
    }

    /// The longest that was waited behind others since this was last called.
    pub(crate) fn take_queue(&self) -> Option<Queue> {
        match &self.answers {
            Answers::Here(_) => None,
            Answers::Swarm(swarm) => swarm.queue.take(),
        }
    }

    /// The way that tokens took last, and what was predicted for it.
    pub(crate) fn way(&self) -> Option<Plan> {
        match &self.answers {
            Answers::Here(_) => None,
            Answers::Swarm(swarm) => swarm.way.borrow().clone(),
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
            Answers::Swarm(swarm) => Some(swarm.engine.stats().await.ok()?.totals),
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
            Answers::Swarm(swarm) => {
                let asking = Asking::new(swarm, self.priority, session, tally);
                let result = asking.run(stop, &mut on_event);
                swarm
                    .engine
                    .command_blocking(Command::CancelAll(swarm.asker))?;
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
    fragments: &Held,
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

//! A session's requests go to the swarm, what comes back goes to the session.

use super::{Swarm, Tally, tell};
use crate::engine::{Asker, Command, Outcome, peer_name};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use fragments::Manifest;
use inference::executor::Missing;
use inference::session::{Error as SessionError, Event};
use inference::stage::{self, CallId, Place, Runner, Stage};
use inference::{RequestId, Session, compute, executor};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use swarm::stages::Plan;
use swarm::{Failure, FragmentIndex, PeerId, Priority, Worker};
use tracing::debug;

/// More outcomes than requests can be under way.
const OUTCOMES: usize = 8192;
/// How long a wish to stop may go unnoticed.
const NOTICE_STOP: Duration = Duration::from_millis(100);
/// How soon it is looked again for a way, if there was none.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// An answer under way.
pub(super) struct Asking<'a> {
    swarm: &'a Swarm,
    priority: Priority,
    session: &'a mut Session,
    tally: &'a mut Tally,
    reply: SyncSender<Outcome>,
    outcomes: Receiver<Outcome>,
    /// When the last token was there.
    last: Option<Instant>,
    /// When it was last looked for a way.
    looked: Instant,
}

/// Whether what somebody said was refused by the session.
fn is_refused(error: &SessionError) -> bool {
    matches!(error, SessionError::Executor(executor::Error::Response(_)))
}

impl<'a> Asking<'a> {
    pub(super) fn new(
        swarm: &'a Swarm,
        priority: Priority,
        session: &'a mut Session,
        tally: &'a mut Tally,
    ) -> Self {
        let (reply, outcomes) = sync_channel(OUTCOMES);
        Self {
            swarm,
            priority,
            session,
            tally,
            reply,
            outcomes,
            last: None,
            looked: Instant::now(),
        }
    }

    pub(super) fn run(
        mut self,
        stop: &AtomicBool,
        on_event: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        self.find_way()?;
        while !stop.load(Ordering::Relaxed) {
            self.tell(on_event)?;
            self.submit()?;
            if self.session.open_requests() == 0 {
                return Ok(());
            }
            match self.outcomes.recv_timeout(NOTICE_STOP) {
                Ok(outcome) => self.hear(outcome)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("the node has stopped"),
            }
        }
        Ok(())
    }

    /// Has the layers run by whom the swarm's planner says.
    fn find_way(&mut self) -> Result<()> {
        self.looked = Instant::now();
        let present = self.swarm.way.borrow().clone();
        match self.swarm.engine.route(present, !self.swarm.stages)? {
            Some(plan) => self.go(plan),
            // Something is missing: the session asks about everything itself, and says what it is.
            None => self.stay(),
        }
    }

    fn stay(&mut self) -> Result<()> {
        self.swarm.way.replace(None);
        let all = Stage {
            layers: 0..self.session.model().hyperparameters().layers,
            place: Place::Here,
        };
        Ok(self.session.set_stages(&[all])?)
    }

    fn go(&mut self, plan: Plan) -> Result<()> {
        debug!(?plan, "the way that tokens take");
        let stages = plan.legs.iter().map(|leg| Stage {
            layers: leg.layers.clone(),
            place: match &leg.runner {
                None => Place::Here,
                Some(peer) => Place::There(Runner(peer.as_bytes().into())),
            },
        });
        let stages: Vec<_> = stages.collect();
        self.swarm.way.replace(Some(plan));
        Ok(self.session.set_stages(&stages)?)
    }

    /// Tells what happened, and the planner what tokens take.
    fn tell(&mut self, on_event: &mut dyn FnMut(Event) -> Result<()>) -> Result<()> {
        let mut tokens = 0;
        tell(self.session, &mut |event| {
            tokens += u32::from(matches!(
                event,
                Event::Token { .. } | Event::Thinking { .. }
            ));
            on_event(event)
        })?;
        if tokens == 0 {
            return Ok(());
        }
        let now = Instant::now();
        let last = self.last.replace(now);
        let plan = self.swarm.way.borrow().clone();
        match (last, plan) {
            (Some(last), Some(plan)) => {
                let took = now.duration_since(last) / tokens;
                let pace = self.swarm.engine.token_took(plan, took)?;
                if let Some(better) = pace.better.filter(|_| self.swarm.stages) {
                    return self.go(better);
                }
                if let (Some(time), Some(plan)) = (pace.next, &mut *self.swarm.way.borrow_mut()) {
                    plan.time = time;
                }
                Ok(())
            }
            // Perhaps others have introduced themselves meanwhile.
            (_, None) if now.duration_since(self.looked) >= LOOK_AGAIN => self.find_way(),
            _ => Ok(()),
        }
    }

    fn submit(&mut self) -> Result<()> {
        let asker = self.swarm.asker;
        while let Some((id, request)) = self.session.poll_request() {
            let index = self
                .session
                .model()
                .manifest()
                .fragment_index(&request.fragment);
            let index = index
                .with_context(|| format!("fragment {} is not of this model", request.fragment))?;
            self.swarm.engine.command_blocking(Command::Submit {
                request: asker.request(id),
                fragment: FragmentIndex(index),
                body: compute::encode_request(&request).into(),
                priority: self.priority,
                reply: self.reply.clone(),
            })?;
        }
        while let Some((id, Runner(peer), request)) = self.session.poll_stage() {
            self.swarm.engine.command_blocking(Command::SubmitStage {
                request: asker.call(id),
                peer: PeerId::new(&peer),
                session: self.swarm.session,
                layers: request.layers.clone(),
                body: stage::encode_request(&request).into(),
                reply: self.reply.clone(),
            })?;
        }
        Ok(())
    }

    fn hear(&mut self, outcome: Outcome) -> Result<()> {
        match outcome {
            Outcome::Answer { request, by, body } => self.answered(request, &by, &body),
            Outcome::Failed { request, failure } => self.failed(request, &failure),
            Outcome::Stage {
                request,
                peer,
                body,
            } => self.through(request, &peer, &body),
            Outcome::StageLost { peer, reason, .. } => {
                debug!(peer = peer_name(&peer), reason, "layers are lost");
                self.find_way()
            }
            Outcome::Queued(queue) => {
                self.swarm.note_queue(queue);
                Ok(())
            }
            Outcome::Refused(error) => Err(error.into()),
        }
    }

    fn answered(&mut self, request: swarm::RequestId, by: &Worker, body: &Bytes) -> Result<()> {
        let answer = compute::decode_response(body);
        let taken = answer.map(|it| {
            self.session
                .handle_response(RequestId(Asker::own(request)), it)
        });
        let good = match taken {
            Ok(Ok(())) => true,
            Ok(Err(error)) if !is_refused(&error) => return Err(error.into()),
            Err(_) | Ok(Err(_)) => false,
        };
        let command = if good {
            let name = match by {
                Worker::Local => "local".into(),
                Worker::Peer(peer) => peer_name(peer),
            };
            *self.tally.entry(name).or_default() += 1;
            Command::Accept(request)
        } else {
            Command::Reject(request)
        };
        Ok(self.swarm.engine.command_blocking(command)?)
    }

    /// Tokens came through layers that somebody else runs.
    fn through(&mut self, request: swarm::RequestId, peer: &PeerId, body: &Bytes) -> Result<()> {
        let call = CallId(Asker::own(request));
        let answer = stage::decode_response(body);
        match answer.map(|it| self.session.handle_stage(call, it)) {
            Ok(Ok(())) => {
                *self.tally.entry(peer_name(peer)).or_default() += 1;
                Ok(())
            }
            Ok(Err(error)) if !is_refused(&error) => Err(error.into()),
            Err(_) | Ok(Err(_)) => {
                let engine = &self.swarm.engine;
                engine.command_blocking(Command::RejectStage(peer.clone()))?;
                self.find_way()
            }
        }
    }

    /// Nobody answers a request: the session goes on without, if it can.
    fn failed(&mut self, request: swarm::RequestId, failure: &Failure) -> Result<()> {
        let explained = explain(failure, self.session.model().manifest());
        if !failure.is_for_want_of_workers() {
            return Err(explained.into());
        }
        match self.session.do_without(RequestId(Asker::own(request)))? {
            Missing::LeftOut => Ok(()),
            Missing::Needed => Err(explained.into()),
            Missing::TooMany { left_out, of } => Err(anyhow::Error::from(explained).context(format!(
                "too many experts are missing: of {of} times that the model's experts are to work on what comes next, \
                 {left_out} are impossible"
            ))),
        }
    }
}

/// Nobody is left who answers a request that cannot be done without.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unanswered(String);

/// A failure with the fragment's file name and what can be done.
fn explain(failure: &Failure, manifest: &Manifest) -> Unanswered {
    let (Failure::NobodyHolds { fragment, .. }
    | Failure::NobodyAnswers { fragment, .. }
    | Failure::Malformed { fragment, .. }) = failure;
    let name = manifest
        .fragment_id(fragment.0)
        .map(|id| id.to_string())
        .unwrap_or_default();
    Unanswered(format!(
        "{failure}\nIt is {name}. Start a node that holds it: `iap2p serve --hold {} …`",
        fragment.0
    ))
}

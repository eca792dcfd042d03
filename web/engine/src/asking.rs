//! One question and its answer: the session's requests go to the swarm, what comes back goes to the session.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use inference::{
    RequestId, Sampling, Session,
    compute::{self, Arithmetic},
    executor::{self, CacheKind},
    sampling::InvalidSampling,
    session::{self, Event, FinishReason, Generation},
    stage::{self, CallId, Place, Runner, Stage},
    template::{Date, Message, Role},
};
use swarm::{Failure, FragmentIndex, PeerId, Priority, Queue, SubmitError, Worker, stages::Plan};
use web_bridge::{
    messages::{Drawing, FromEngine, Speaker, Turn},
    status::{EndReason, Ending, Problem},
};

use super::{clock, route::Route, state::State};

/// Bytes of keys and values a session keeps at most; a worker's memory ends at 4 GiB.
const CACHE: usize = 1 << 30;

/// An answer under way.
pub(super) struct Asking {
    pub(super) answer: u32,
    pub(super) prompt: u32,
    pub(super) tokens: Vec<u32>,
    /// Its settings, once it has begun.
    pub(super) generation: Option<Generation>,
    /// So many of them were said before the page was loaded anew.
    before: usize,
    started: f64,
    /// When the first and the last token came.
    first: Option<f64>,
    last: f64,
    /// Who computed something for it, and who was waited for.
    route: Route,
    /// The session's requests the swarm has not answered yet.
    open: BTreeMap<swarm::RequestId, FragmentIndex>,
    /// Those of them that ask for layers which others run.
    calls: BTreeSet<swarm::RequestId>,
    /// One the swarm had no room for.
    refused: Option<(RequestId, compute::Request)>,
}

/// Marks requests for whoever runs layers, beside those about fragments.
const STAGE: u64 = 1 << 52;

/// Whether what somebody said was refused by the session.
fn is_refused(error: &session::Error) -> bool {
    matches!(
        error,
        session::Error::Executor(executor::Error::Response(_))
    )
}

fn milliseconds() -> f64 {
    clock::now().as_secs_f64() * 1e3
}

impl State {
    /// Begins to answer the last turn of a conversation, or goes on behind what was said before the page was loaded anew.
    pub(super) fn ask(
        &mut self,
        answer: u32,
        turns: &[Turn],
        said: Vec<u32>,
        drawing: Drawing,
        approximate: bool,
    ) {
        let arithmetic = match approximate {
            true => Arithmetic::Approximate,
            false => Arithmetic::Quantised,
        };
        self.stop();
        self.asking = Some(Asking {
            answer,
            prompt: 0,
            generation: None,
            before: said.len(),
            tokens: said.clone(),
            started: milliseconds(),
            first: None,
            last: 0.0,
            route: Route::new(milliseconds()),
            open: BTreeMap::new(),
            calls: BTreeSet::new(),
            refused: None,
        });
        let model = self.model.clone();
        let is_end = |token: &u32| {
            let model = model.as_ref();
            model.is_some_and(|model| model.tokenizer().vocabulary().is_end(*token))
        };
        if said.last().is_some_and(is_end) {
            // Only that it was the end has been lost.
            return self.end(EndReason::Complete);
        }
        match self.begin(turns, &said, drawing, arithmetic) {
            Ok((tokens, generation)) => {
                if let Some(asking) = &mut self.asking {
                    asking.prompt = tokens;
                    asking.generation = Some(generation);
                }
                self.hear_session();
            }
            Err(problem) => self.end(EndReason::Failed(problem)),
        }
    }

    fn begin(
        &mut self,
        turns: &[Turn],
        said: &[u32],
        drawing: Drawing,
        arithmetic: Arithmetic,
    ) -> Result<(u32, Generation), Problem> {
        let (Some(model), Some(small)) = (self.model.clone(), self.small.clone()) else {
            return Err(match &self.problem {
                Some(Problem::Unsupported(what)) => Problem::Unsupported(what.clone()),
                _ => Problem::NotReady,
            });
        };
        let messages: Vec<Message> = turns.iter().map(message).collect();
        let prompt = model
            .encode_chat(&messages, Some(today()))
            .map_err(|error| Problem::Other(error.to_string()))?;
        // What was computed in another arithmetic is of no use any more.
        let known = self.session.take();
        let known = known.filter(|session| session.arithmetic() == arithmetic);
        let session = match known {
            Some(session) => self.session.insert(session),
            None => {
                self.way = None;
                let config = session::Config {
                    context: affordable_context(&model, arithmetic),
                    arithmetic,
                    least_experts: session::LEAST_EXPERTS,
                    ..session::Config::default()
                };
                let session = Session::new(model, small, config).map_err(explain)?;
                self.session.insert(session)
            }
        };
        let generation = Generation {
            sampling: sampling(drawing).map_err(|error| Problem::Other(error.to_string()))?,
            max_tokens: drawing.max_tokens as usize,
            ..Generation::default()
        };
        let tokens = [&prompt, said].concat();
        session
            .resume(&tokens, prompt.len(), generation)
            .map_err(explain)?;
        self.find_way().map_err(explain)?;
        Ok((prompt.len() as u32, generation))
    }

    /// Has the layers run by whom the swarm's planner says.
    fn find_way(&mut self) -> Result<(), session::Error> {
        let plan = self.node.route(self.way.as_ref(), clock::now());
        self.go(plan)
    }

    /// Tokens take this way from now on. Without one the session asks about everything itself, and says what is missing.
    fn go(&mut self, plan: Option<Plan>) -> Result<(), session::Error> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        let stages = match &plan {
            Some(plan) => plan
                .legs
                .iter()
                .map(|leg| Stage {
                    layers: leg.layers.clone(),
                    place: match &leg.runner {
                        None => Place::Here,
                        Some(peer) => Place::There(Runner(peer.as_bytes().into())),
                    },
                })
                .collect(),
            None => vec![Stage {
                layers: 0..session.model().hyperparameters().layers,
                place: Place::Here,
            }],
        };
        self.way = plan;
        session.set_stages(&stages)
    }

    /// Tokens came through layers that somebody else runs.
    pub(super) fn through(&mut self, request: swarm::RequestId, peer: PeerId, body: &[u8]) {
        let (Some(session), Some(asking)) = (&mut self.session, &mut self.asking) else {
            return;
        };
        if !asking.calls.remove(&request) {
            return;
        }
        let call = CallId(request.0 & !STAGE);
        match stage::decode_response(body).map(|answer| session.handle_stage(call, answer)) {
            Ok(Ok(())) => {
                asking.route.answered(Worker::Peer(peer), milliseconds());
                self.hear_session();
            }
            Ok(Err(error)) if !is_refused(&error) => self.fail(explain(error)),
            Err(_) | Ok(Err(_)) => {
                self.node.reject_stage(&peer, clock::now());
                self.find_way_again();
            }
        }
    }

    /// They did not: others are asked.
    pub(super) fn stage_lost(&mut self, request: swarm::RequestId) {
        let asking = self.asking.as_mut();
        if asking.is_some_and(|asking| asking.calls.remove(&request)) {
            self.find_way_again();
        }
    }

    fn find_way_again(&mut self) {
        match self.find_way() {
            Ok(()) => self.hear_session(),
            Err(error) => self.fail(explain(error)),
        }
    }

    /// Tells the planner what a token took.
    fn note_pace(&mut self, took: Duration) {
        let now = clock::now();
        let Some(plan) = self.way.clone() else {
            return;
        };
        let pace = self.node.token_took(&plan, took, now);
        if pace.better.is_some() {
            if let Err(error) = self.go(pace.better) {
                self.fail(explain(error));
            }
        } else if let (Some(time), Some(way)) = (pace.next, &mut self.way) {
            way.time = time;
        }
    }

    /// The user has read enough.
    pub(super) fn stop(&mut self) {
        if let Some(answer) = self.drop_elsewhere() {
            let ending = Ending {
                reason: EndReason::Stopped,
                elsewhere: true,
                ..Ending::failed(Problem::NotReady)
            };
            self.tell(&FromEngine::End { answer, ending });
        }
        if let Some(session) = &mut self.session {
            session.cancel();
        }
        self.hear_session();
        self.end(EndReason::Stopped);
    }

    /// Hands the session's requests to the swarm.
    pub(super) fn ask_swarm(&mut self) {
        let (Some(session), Some(asking)) = (&mut self.session, &mut self.asking) else {
            return;
        };
        asking.route.asked(milliseconds());
        while let Some((CallId(id), Runner(peer), request)) = session.poll_stage() {
            let name = swarm::RequestId(id | STAGE);
            asking.calls.insert(name);
            let body = stage::encode_request(&request).into();
            let (peer, layers) = (PeerId::new(&peer), request.layers);
            self.node
                .submit_stage(name, &peer, self.session_id, layers, body, clock::now());
        }
        while let Some((id, request)) = asking.refused.take().or_else(|| session.poll_request()) {
            let index = self.indices.get(&request.fragment).copied();
            // The session asks about fragments of its manifest only.
            let Some(index) = index else { continue };
            let body = compute::encode_request(&request).into();
            let name = swarm::RequestId(id.0);
            match self
                .node
                .submit(name, index, body, Priority::Interactive, clock::now())
            {
                Ok(()) => {
                    asking.open.insert(name, index);
                }
                Err(SubmitError::TooMany) => {
                    // There will be room when others are answered.
                    asking.refused = Some((id, request));
                    return;
                }
                Err(error) => {
                    let problem = Problem::Other(error.to_string());
                    return self.fail(problem);
                }
            }
        }
    }

    /// The swarm has an answer to one of the session's requests.
    pub(super) fn answered(&mut self, request: swarm::RequestId, by: Worker, body: &[u8]) {
        let now = clock::now();
        let (Some(session), Some(asking)) = (&mut self.session, &mut self.asking) else {
            return self.node.cancel(request, now);
        };
        if !asking.open.contains_key(&request) {
            return self.node.cancel(request, now);
        }
        let Ok(response) = compute::decode_response(body) else {
            return self.node.reject(request, now);
        };
        match session.handle_response(RequestId(request.0), response) {
            Ok(()) => {
                asking.open.remove(&request);
                asking.route.answered(by, milliseconds());
                self.node.accept(request, now);
                self.hear_session();
            }
            Err(error) if is_refused(&error) => self.node.reject(request, now),
            Err(error) => {
                self.node.accept(request, now);
                self.fail(explain(error));
            }
        }
    }

    /// Others are before one of the session's requests.
    pub(super) fn queued(&mut self, request: swarm::RequestId, queue: Queue) {
        if let Some(asking) = &self.asking
            && (asking.open.contains_key(&request) || asking.calls.contains(&request))
        {
            self.tell(&FromEngine::Queued {
                answer: asking.answer,
                before: queue.before,
                seconds: queue.wait.as_secs_f64(),
            });
        }
    }

    /// The swarm gives up on one of the session's requests: the answer goes on without, if it can.
    pub(super) fn failed(&mut self, request: swarm::RequestId, failure: &Failure) {
        let (Some(session), Some(asking)) = (&mut self.session, &mut self.asking) else {
            return;
        };
        if asking.open.remove(&request).is_none() {
            return;
        }
        if failure.is_for_want_of_workers() {
            match session.do_without(RequestId(request.0)) {
                Ok(executor::Missing::LeftOut) => return self.hear_session(),
                Ok(executor::Missing::Needed | executor::Missing::TooMany { .. }) => {}
                Err(error) => return self.fail(explain(error)),
            }
        }
        let problem = match failure {
            Failure::NobodyHolds { fragment, .. } => {
                let mut missing = vec![self.missing(*fragment)];
                let others = self.missing_all();
                missing.extend(others.into_iter().filter(|part| part.index != fragment.0));
                Problem::Missing(missing)
            }
            other => Problem::Other(other.to_string()),
        };
        self.fail(problem);
    }

    /// The fragments the answer waits for and nobody in sight holds.
    pub(super) fn waiting_in_vain(&self) -> Vec<FragmentIndex> {
        let open = self.asking.iter().flat_map(|asking| asking.open.values());
        let nobody = |index: &FragmentIndex| {
            self.node.replicas(*index) == 0 && !self.claims.get(index).is_some_and(|c| c.held)
        };
        let waiting: BTreeSet<_> = open.copied().filter(nobody).collect();
        waiting.into_iter().collect()
    }

    fn hear_session(&mut self) {
        while let Some(event) = self.session.as_mut().and_then(Session::poll_event) {
            match event {
                Event::Prompt { read, total } => self.reading(read as u32, total as u32),
                Event::Thinking { token, text } => self.token(token, text, true),
                Event::Token { token, text } => self.token(token, text, false),
                Event::Done(reason) => self.end(match reason {
                    FinishReason::End => EndReason::Complete,
                    FinishReason::Length | FinishReason::ContextFull => EndReason::Length,
                    FinishReason::Cancelled => EndReason::Stopped,
                }),
                Event::Logits { .. } => {}
            }
        }
    }

    fn reading(&mut self, read: u32, total: u32) {
        if let Some(Asking { answer, .. }) = self.asking {
            self.tell(&FromEngine::Reading {
                answer,
                read,
                total,
            });
        }
    }

    fn token(&mut self, token: u32, piece: String, thought: bool) {
        let now = milliseconds();
        let Some(asking) = &mut self.asking else {
            return;
        };
        asking.tokens.push(token);
        let took = asking.first.map(|_| now - asking.last);
        asking.first.get_or_insert(now);
        asking.last = now;
        let answer = asking.answer;
        self.tell(&FromEngine::Text {
            answer,
            token,
            piece,
            thought,
        });
        if let Some(took) = took {
            self.note_pace(Duration::from_secs_f64(took.max(0.0) / 1e3));
        }
    }

    fn fail(&mut self, problem: Problem) {
        self.end(EndReason::Failed(problem));
        if let Some(session) = &mut self.session {
            session.cancel();
        }
        self.hear_session();
    }

    /// The answer under way is not made here any longer, and nobody is told that it is over. Says what it was so far.
    pub(super) fn abandon(&mut self) -> Vec<u32> {
        let asking = self.take_asking();
        if let Some(session) = &mut self.session {
            session.cancel();
        }
        // Nobody hears it.
        self.hear_session();
        asking.map_or_else(Vec::new, |asking| asking.tokens)
    }

    /// Nobody is asked anything for the answer any more.
    fn take_asking(&mut self) -> Option<Asking> {
        let asking = self.asking.take()?;
        let now = clock::now();
        for request in asking.open.keys() {
            self.node.cancel(*request, now);
        }
        for request in &asking.calls {
            self.node.cancel_stage(*request);
        }
        Some(asking)
    }

    /// The answer is over, if one was under way.
    fn end(&mut self, reason: EndReason) {
        let Some(asking) = self.take_asking() else {
            return;
        };
        let first = asking.first.unwrap_or(asking.started);
        let route = asking.route.hops(self.way.as_ref(), &self.names);
        let parts = self.session.as_ref().map(Session::parts);
        let parts = parts.unwrap_or_default();
        let ending = Ending {
            reason,
            tokens: asking.tokens.len() as u32,
            before: asking.before as u32,
            prompt_tokens: asking.prompt,
            first: first - asking.started,
            rest: (asking.last - first).max(0.0),
            devices: route.iter().filter(|hop| hop.requests > 0).count() as u32,
            route,
            ids: asking.tokens,
            parts: parts.total,
            approximate: parts.approximate,
            experts: parts.experts,
            left_out: parts.left_out,
            predicted: self
                .way
                .as_ref()
                .map_or(0.0, |way| way.time.as_secs_f64() * 1e3),
            elsewhere: false,
        };
        let answer = asking.answer;
        self.tell(&FromEngine::End { answer, ending });
    }
}

fn message(turn: &Turn) -> Message {
    Message {
        role: match turn.speaker {
            Speaker::System => Role::System,
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        },
        content: turn.text.clone(),
    }
}

fn sampling(drawing: Drawing) -> Result<Sampling, InvalidSampling> {
    let sampling = Sampling {
        temperature: drawing.temperature,
        top_p: drawing.top_p,
        top_k: drawing.top_k as usize,
        min_p: drawing.min_p,
        repetition_penalty: drawing.repetition_penalty,
        seed: drawing.seed,
        ..Sampling::default()
    };
    sampling.validate().map(|()| sampling)
}

/// What day it is here, for templates that tell the model.
fn today() -> Date {
    let now = js_sys::Date::new_0();
    Date {
        year: now.get_full_year() as u16,
        month: now.get_month() as u8 + 1,
        day: now.get_date() as u8,
    }
}

/// As much context as the keys and values of all layers leave memory for.
fn affordable_context(model: &inference::Model, arithmetic: Arithmetic) -> usize {
    let cache = CacheKind::for_arithmetic(arithmetic);
    let token = model.hyperparameters().cache_bytes_per_token(cache);
    CACHE / token.max(1)
}

fn explain(error: session::Error) -> Problem {
    match error {
        session::Error::Executor(executor::Error::ContextFull { wanted, limit }) => {
            Problem::TooLong {
                tokens: wanted as u32,
                context: limit as u32,
            }
        }
        other => Problem::Other(other.to_string()),
    }
}

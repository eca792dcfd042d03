//! One question and its answer: the session's requests go to the swarm, what comes back goes to the session.

use std::collections::{BTreeMap, BTreeSet};

use inference::{
    RequestId, Sampling, Session,
    compute::{self, Arithmetic},
    executor::{self, CacheKind},
    sampling::InvalidSampling,
    session::{self, Event, FinishReason, Generation},
    template::{Date, Message, Role},
};
use swarm::{Failure, FragmentIndex, Priority, SubmitError, Worker};
use web_bridge::{
    messages::{Drawing, FromEngine, Speaker, Turn},
    status::{EndReason, Ending, Problem},
};

use super::{clock, state::State};

/// Bytes of keys and values a session keeps at most; a worker's memory ends at 4 GiB.
const CACHE: usize = 1 << 30;

/// An answer under way.
pub(super) struct Asking {
    answer: u32,
    prompt: u32,
    tokens: Vec<u32>,
    started: f64,
    /// When the first and the last token came.
    first: Option<f64>,
    last: f64,
    /// Who computed something for it.
    workers: BTreeSet<Worker>,
    /// The session's requests the swarm has not answered yet.
    open: BTreeMap<swarm::RequestId, FragmentIndex>,
    /// One the swarm had no room for.
    refused: Option<(RequestId, compute::Request)>,
}

fn milliseconds() -> f64 {
    clock::now().as_secs_f64() * 1e3
}

impl State {
    /// Begins to answer the last turn of a conversation.
    pub(super) fn ask(&mut self, answer: u32, turns: &[Turn], drawing: Drawing, approximate: bool) {
        let arithmetic = match approximate {
            true => Arithmetic::Approximate,
            false => Arithmetic::Quantised,
        };
        self.stop();
        self.asking = Some(Asking {
            answer,
            prompt: 0,
            tokens: Vec::new(),
            started: milliseconds(),
            first: None,
            last: 0.0,
            workers: BTreeSet::new(),
            open: BTreeMap::new(),
            refused: None,
        });
        match self.begin(turns, drawing, arithmetic) {
            Ok(tokens) => {
                if let Some(asking) = &mut self.asking {
                    asking.prompt = tokens;
                }
                self.hear_session();
            }
            Err(problem) => self.end(EndReason::Failed(problem)),
        }
    }

    fn begin(
        &mut self,
        turns: &[Turn],
        drawing: Drawing,
        arithmetic: Arithmetic,
    ) -> Result<u32, Problem> {
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
        session.begin(&prompt, generation).map_err(explain)?;
        Ok(prompt.len() as u32)
    }

    /// The user has read enough.
    pub(super) fn stop(&mut self) {
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
                asking.workers.insert(by);
                self.node.accept(request, now);
                self.hear_session();
            }
            Err(session::Error::Executor(executor::Error::Response(_))) => {
                self.node.reject(request, now);
            }
            Err(error) => {
                self.node.accept(request, now);
                self.fail(explain(error));
            }
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
        if let Some(asking) = &mut self.asking {
            asking.tokens.push(token);
            asking.first.get_or_insert(now);
            asking.last = now;
            let answer = asking.answer;
            self.tell(&FromEngine::Text {
                answer,
                piece,
                thought,
            });
        }
    }

    fn fail(&mut self, problem: Problem) {
        self.end(EndReason::Failed(problem));
        if let Some(session) = &mut self.session {
            session.cancel();
        }
        self.hear_session();
    }

    /// The answer is over, if one was under way.
    fn end(&mut self, reason: EndReason) {
        let Some(asking) = self.asking.take() else {
            return;
        };
        let now = clock::now();
        for request in asking.open.keys() {
            self.node.cancel(*request, now);
        }
        let first = asking.first.unwrap_or(asking.started);
        let parts = self.session.as_ref().map(Session::parts);
        let parts = parts.unwrap_or_default();
        let ending = Ending {
            reason,
            tokens: asking.tokens.len() as u32,
            prompt_tokens: asking.prompt,
            first: first - asking.started,
            rest: (asking.last - first).max(0.0),
            devices: asking.workers.len() as u32,
            ids: asking.tokens,
            parts: parts.total,
            approximate: parts.approximate,
            experts: parts.experts,
            left_out: parts.left_out,
        };
        let answer = asking.answer;
        self.tell(&FromEngine::End { answer, ending });
    }
}

fn message(turn: &Turn) -> Message {
    Message {
        role: match turn.speaker {
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        },
        content: turn.text.clone(),
    }
}

fn sampling(drawing: Drawing) -> Result<Sampling, InvalidSampling> {
    let sampling = Sampling {
        temperature: drawing.temperature,
        // Keeps a small model from stumbling over one very unlikely word.
        min_p: if drawing.temperature > 0.0 { 0.05 } else { 0.0 },
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

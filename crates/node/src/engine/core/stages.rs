//! Others' tokens that go through layers run here, and own ones that go through others'.

use super::super::content;
use super::super::host::{Hosting, Key, Wanted};
use super::Core;
use bytes::Bytes;
use inference::stage::Limits;
use inference::{Model, SmallTensors};
use std::sync::Arc;
use swarm::{ComputeError, Event, RequestId, Ticket};
use tracing::warn;

/// Marks requests that are asked for somebody else's tokens, beside those of this node's own sessions.
const FOR_OTHERS: u64 = 1 << 63;

/// Requests of the layers run here.
pub(super) fn of_host(request: RequestId) -> Option<inference::RequestId> {
    let id = request.0 & !FOR_OTHERS;
    (id != request.0).then_some(inference::RequestId(id))
}

fn for_others(request: inference::RequestId) -> RequestId {
    RequestId(request.0 | FOR_OTHERS)
}

impl Core {
    /// From now on layers can be run here.
    pub(super) fn host(&mut self, model: Arc<Model>, small: Arc<SmallTensors>, limits: Limits) {
        let now = self.now();
        match Hosting::start(model, small, limits, self.results.clone()) {
            Ok(hosting) => {
                self.hosting = Some(hosting);
                self.node.set_able(true, now);
            }
            Err(error) => warn!("no layers are run for others: {error}"),
        }
    }

    pub(super) fn run_stage(&mut self, ticket: Ticket, key: Key, body: Bytes) {
        let hosting = self.hosting.as_ref().zip(self.node.runs());
        let begun =
            hosting.is_some_and(|(hosting, layers)| hosting.begin(ticket, key, body, layers));
        if !begun {
            let error = ComputeError::Internal("too much to do".into());
            self.stage_done(ticket, Err(error));
        }
    }

    pub(super) fn stop_stage(&self, key: Key) {
        if let Some(hosting) = &self.hosting {
            // What it does not hear of it does for nobody.
            let _ = hosting.stop(key);
        }
    }

    fn stage_done(&mut self, ticket: Ticket, result: Result<Bytes, ComputeError>) {
        let now = self.now();
        let event = Event::StageRun { ticket, result };
        self.node.handle_event(event, now);
    }

    /// One of the requests that are asked for others' tokens is answered, or is not.
    pub(super) fn tell_host(
        &mut self,
        request: inference::RequestId,
        answer: Result<Bytes, String>,
    ) {
        let Some(hosting) = &self.hosting else {
            return;
        };
        let told = match answer {
            Ok(body) => hosting.answer(request, body),
            Err(why) => hosting.do_without(request, why),
        };
        if !told {
            // Whoever waits for these tokens gives them to somebody else before long.
            warn!("the layers run here have fallen behind");
            let now = self.now();
            self.node.cancel(for_others(request), now);
        }
    }

    /// The layers run here want something.
    pub(super) fn wanted(&mut self, wanted: Wanted) {
        let now = self.now();
        match wanted {
            Wanted::Ask {
                request,
                fragment,
                body,
            } => {
                let index = self.node.index_of(&content(&fragment));
                let id = for_others(request);
                let taken = index
                    .ok_or_else(|| "the fragment is not of this model".to_owned())
                    .and_then(|index| {
                        let taken = self.node.submit_of_stage(id, index, body, now);
                        taken.map_err(|error| error.to_string())
                    });
                if let Err(why) = taken {
                    self.tell_host(request, Err(why));
                }
            }
            Wanted::Judge {
                request,
                good: true,
            } => self.node.accept(for_others(request), now),
            Wanted::Judge { request, .. } => self.node.reject(for_others(request), now),
            Wanted::Done { ticket, result } => self.stage_done(ticket, result),
        }
    }
}

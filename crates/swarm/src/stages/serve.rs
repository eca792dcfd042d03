//! Others' tokens that go through layers run here.

use crate::queue::Queue;
use crate::{Action, ComputeError, Node, PeerId, Ticket};
use bytes::Bytes;
use protocol::{
    ErrorCode, Failure, Message, RequestId as WireId, SessionId, StageRequest, StageResponse,
};
use std::time::Duration;

/// Tokens of one peer that are on their way here at a time: those of so many conversations.
const MAX_OF_PEER: usize = 8;
/// The same of all peers together, and their bytes.
const MAX_RUNNING: usize = 128;
const MAX_BYTES: usize = 128 << 20;

/// Tokens on their way through layers run here.
#[derive(Debug)]
pub(crate) struct Running {
    peer: PeerId,
    id: WireId,
    session: SessionId,
    since: Duration,
    bytes: usize,
}

impl Node {
    pub(crate) fn stage_request(&mut self, peer: &PeerId, request: StageRequest, now: Duration) {
        if self.stages.runs.is_none() {
            return self.refuse_stage(peer, request.id, ErrorCode::NotHeld, now);
        }
        // Who asks again does not wait for the first any more.
        self.stages
            .running
            .retain(|_, it| it.peer != *peer || it.session != request.session);
        let running = self.stages.running.values();
        let bytes: usize = running.clone().map(|it| it.bytes).sum();
        let full = running.clone().count() >= MAX_RUNNING
            || bytes + request.body.len() > MAX_BYTES
            || running.filter(|it| it.peer == *peer).count() >= MAX_OF_PEER;
        if full {
            self.totals.refused += 1;
            return self.refuse_stage(peer, request.id, ErrorCode::Busy, now);
        }
        let ticket = Ticket(self.next_number());
        let running = Running {
            peer: peer.clone(),
            id: request.id,
            session: request.session,
            since: now,
            bytes: request.body.len(),
        };
        // They go through one after the other.
        let before = self.stages.running.len();
        self.stages.running.insert(ticket, running);
        if let Some(queue) = Queue::of(before, self.stages.each, 1) {
            self.tell_to_wait(peer, request.id, queue);
        }
        self.actions.push_back(Action::RunStage {
            ticket,
            peer: peer.clone(),
            session: request.session,
            body: request.body,
        });
    }

    fn refuse_stage(&mut self, peer: &PeerId, id: WireId, code: ErrorCode, now: Duration) {
        if self.is_flood(peer, now) {
            return;
        }
        let message = String::new();
        self.answer_stage(peer, id, Err(Failure { code, message }));
    }

    fn answer_stage(&mut self, peer: &PeerId, id: WireId, result: Result<Bytes, Failure>) {
        let response = StageResponse { id, result };
        self.send(peer, Message::StageResponse(response));
    }

    pub(crate) fn stage_run(
        &mut self,
        ticket: Ticket,
        result: Result<Bytes, ComputeError>,
        now: Duration,
    ) {
        let Some(running) = self.stages.running.remove(&ticket) else {
            return;
        };
        if result.is_ok() {
            self.totals.stages_served += 1;
            let begun = running.since.max(self.stages.last_through);
            let each = now.saturating_sub(begun);
            let mean = self.stages.each.map_or(each, |mean| (mean * 7 + each) / 8);
            self.stages.each = Some(mean);
            self.stages.last_through = now;
            // One token, not a prompt.
            if running.bytes <= self.stages.shape.state as usize {
                let took = now.saturating_sub(running.since);
                let mean = self.stages.took.map_or(took, |mean| (mean * 7 + took) / 8);
                self.stages.took = Some(mean);
            }
        }
        self.answer_stage(&running.peer, running.id, result.map_err(Failure::from));
    }

    /// Somebody does not wait for its tokens any more.
    pub(crate) fn stage_cancelled_by(&mut self, peer: &PeerId, id: Option<WireId>) {
        let gone = |it: &Running| it.peer == *peer && id.is_none_or(|id| it.id == id);
        let gone: Vec<_> = self
            .stages
            .running
            .extract_if(.., |_, it| gone(it))
            .collect();
        for (_, Running { peer, session, .. }) in gone {
            self.actions.push_back(Action::StopStage { peer, session });
        }
    }
}

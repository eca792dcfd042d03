//! Own tokens that go through layers which others run.

use crate::latency;
use crate::peers::Unfit;
use crate::timers::Timer;
use crate::{Action, Node, PeerId, RequestId};
use bytes::Bytes;
use protocol::{
    Cancel, ErrorCode, Message, RequestId as WireId, SessionId, StageRequest, StageResponse,
};
use std::ops::Range;
use std::time::Duration;

/// Who runs layers waits for others now and then, and is not given up for that: never before this.
const SHORTEST: Duration = Duration::from_millis(500);
/// What somebody of whom nothing is known may take.
const UNKNOWN: Duration = Duration::from_secs(10);

/// Tokens that are with somebody.
#[derive(Debug)]
pub(crate) struct Asked {
    request: RequestId,
    peer: PeerId,
    layers: Range<u32>,
    sent: Duration,
    deadline: Duration,
    class: usize,
}

impl Node {
    /// Sends tokens through layers that a peer runs, as a [`Plan`](super::Plan) says. What comes of it is an
    /// [`Action::StageAnswer`] or an [`Action::StageLost`]; then others have to be asked: see [`Node::route`].
    pub fn submit_stage(
        &mut self,
        id: RequestId,
        peer: &PeerId,
        session: SessionId,
        layers: Range<u32>,
        body: Bytes,
        now: Duration,
    ) {
        let class = latency::class(body.len());
        let factor = self.config.deadline_factor;
        let Some(known) = self.peers.get(peer) else {
            return self.lose(id, peer.clone(), "it is not connected".into());
        };
        let patience = known.stages.patience(class, 0, factor).unwrap_or(UNKNOWN);
        let deadline = now + patience.clamp(SHORTEST, self.config.give_up);
        let number = self.next_number();
        let asked = Asked {
            request: id,
            peer: peer.clone(),
            layers,
            sent: now,
            deadline,
            class,
        };
        self.stages.asked.insert(number, asked);
        self.timers.set(deadline, Timer::Stage(number));
        let id = WireId(number);
        let request = StageRequest { id, session, body };
        self.send(peer, Message::StageRequest(request));
    }

    fn finish_stage(&mut self, number: u64) -> Option<Asked> {
        let asked = self.stages.asked.remove(&number)?;
        self.timers.clear(asked.deadline, Timer::Stage(number));
        Some(asked)
    }

    /// The tokens with this number, if they are with this peer.
    pub(crate) fn stage_at(&self, peer: &PeerId, number: u64) -> Option<RequestId> {
        let asked = self.stages.asked.get(&number)?;
        (asked.peer == *peer).then_some(asked.request)
    }

    fn lose(&mut self, request: RequestId, peer: PeerId, reason: String) {
        self.totals.stages_lost += 1;
        self.actions.push_back(Action::StageLost {
            request,
            peer,
            reason,
        });
    }

    /// Nobody waits for these tokens any more. Unknown requests are ignored.
    pub fn cancel_stage(&mut self, id: RequestId) {
        let mut asked = self.stages.asked.iter();
        let number = asked.find(|(_, asked)| asked.request == id);
        if let Some(asked) = number.map(|(number, _)| *number) {
            self.tell_to_stop(asked);
        }
    }

    fn tell_to_stop(&mut self, number: u64) -> Option<Asked> {
        let asked = self.finish_stage(number)?;
        let id = WireId(number);
        self.send(&asked.peer, Message::Cancel(Cancel { id }));
        Some(asked)
    }

    /// The answer of somebody who runs layers was none.
    pub fn reject_stage(&mut self, peer: &PeerId, now: Duration) {
        self.ban(peer, "answered a request for a stage with nonsense", now);
    }

    /// Nobody's tokens are sent there for a while.
    fn avoid(&mut self, peer: &PeerId, now: Duration) {
        if let Some(peer) = self.peers.get_mut(peer) {
            let strikes = peer.unfit.map_or(0, |it| it.strikes + 1);
            peer.unfit = Some(Unfit {
                since: now,
                until: now + Duration::from_secs(2 << strikes.min(5)),
                strikes,
            });
        }
    }

    pub(crate) fn stage_response(&mut self, peer: &PeerId, response: StageResponse, now: Duration) {
        let number = response.id.0;
        let theirs = |asked: &Asked| asked.peer == *peer;
        if !self.stages.asked.get(&number).is_some_and(theirs) {
            return;
        }
        let Some(asked) = self.finish_stage(number) else {
            return;
        };
        match response.result {
            Ok(body) => {
                let took = now.saturating_sub(asked.sent);
                if let Some(peer) = self.peers.get_mut(peer) {
                    peer.unfit = None;
                    peer.stages.record(asked.class, took, 0, now);
                    if asked.class == latency::class(self.stages.shape.state as usize) {
                        peer.note_stage(asked.layers.len(), took);
                    }
                }
                self.actions.push_back(Action::StageAnswer {
                    request: asked.request,
                    peer: asked.peer,
                    body,
                });
            }
            Err(failure) => {
                if let (ErrorCode::NotHeld, Some(peer)) = (failure.code, self.peers.get_mut(peer)) {
                    peer.runs = None;
                }
                self.avoid(peer, now);
                self.lose(asked.request, asked.peer, failure.to_string());
            }
        }
    }

    pub(crate) fn stage_late(&mut self, number: u64, now: Duration) {
        if let Some(asked) = self.tell_to_stop(number) {
            self.avoid(&asked.peer, now);
            let waited = now.saturating_sub(asked.sent).as_millis();
            let reason = format!("no answer within {waited} ms");
            self.lose(asked.request, asked.peer, reason);
        }
    }

    /// Whoever ran layers is gone.
    pub(crate) fn stages_lost(&mut self, peer: &PeerId) {
        let theirs = self.stages.asked.iter();
        let theirs = theirs.filter(|(_, asked)| asked.peer == *peer);
        let numbers: Vec<_> = theirs.map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(asked) = self.finish_stage(number) {
                self.lose(asked.request, asked.peer, "it left".into());
            }
        }
    }
}

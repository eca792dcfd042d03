//! Own answers that are finished elsewhere.

use super::key;
use crate::timers::Timer;
use crate::{Action, Node, PeerId, RequestId};
use protocol::{ErrorCode, JobId, JobOrder, JobRequest, JobResponse, Message, RequestId as WireId};
use std::time::Duration;

/// Somebody who does not say anything about an answer for so long will not.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why nothing is known of an answer that is finished elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobFailure {
    /// Whoever was asked does not have it, or not any more.
    #[error("it is not there")]
    Unknown,
    /// Whoever was asked has too much to do.
    #[error("there is too much to do there")]
    Busy,
    /// Whoever was asked says nothing, or something that does not help.
    #[error("{0}")]
    Lost(String),
}

/// An order that is with somebody.
#[derive(Debug)]
pub(crate) struct Asked {
    request: RequestId,
    peer: PeerId,
    deadline: Duration,
}

impl Node {
    /// Connected peers that finish answers of this model for others.
    #[must_use]
    pub fn finishers(&self) -> Vec<PeerId> {
        let model = self.config.model;
        let peers = self.peers.connected.iter();
        let finishers = peers.filter(|(_, peer)| peer.finishes && peer.serves(model));
        finishers.map(|(name, _)| name.clone()).collect()
    }

    /// Gives a peer an order about an own answer. What comes of it is an [`Action::JobAnswer`].
    pub fn order_job(
        &mut self,
        request: RequestId,
        peer: &PeerId,
        job: JobId,
        order: JobOrder,
        now: Duration,
    ) {
        if self.peers.get(peer).is_none() {
            let failure = JobFailure::Lost("it is not connected".into());
            return self.tell_of_job(request, Err(failure));
        }
        let number = self.next_number();
        let deadline = now + PATIENCE;
        self.timers.set(deadline, Timer::Job(number));
        let asked = Asked {
            request,
            peer: peer.clone(),
            deadline,
        };
        self.asked_jobs.insert(number, asked);
        let id = WireId(number);
        let message = JobRequest { id, job, order };
        self.send(peer, Message::JobRequest(message));
    }

    /// Looks for whoever finishes an answer and connects to it.
    pub fn find_job(&mut self, job: JobId, now: Duration) {
        self.find(key(job), now);
    }

    fn tell_of_job(&mut self, request: RequestId, result: Result<bytes::Bytes, JobFailure>) {
        self.actions
            .push_back(Action::JobAnswer { request, result });
    }

    fn finish_job(&mut self, number: u64) -> Option<Asked> {
        let asked = self.asked_jobs.remove(&number)?;
        self.timers.clear(asked.deadline, Timer::Job(number));
        Some(asked)
    }

    /// The order with this number, if it is with this peer.
    pub(crate) fn job_at(&self, peer: &PeerId, number: u64) -> Option<RequestId> {
        let asked = self.asked_jobs.get(&number)?;
        (asked.peer == *peer).then_some(asked.request)
    }

    pub(crate) fn job_response(&mut self, peer: &PeerId, response: JobResponse) {
        let number = response.id.0;
        if self.job_at(peer, number).is_none() {
            return;
        }
        let Some(asked) = self.finish_job(number) else {
            return;
        };
        let result = response.result.map_err(|failure| match failure.code {
            ErrorCode::NotHeld => JobFailure::Unknown,
            ErrorCode::Busy => JobFailure::Busy,
            _ => JobFailure::Lost(failure.to_string()),
        });
        self.tell_of_job(asked.request, result);
    }

    pub(crate) fn job_late(&mut self, number: u64) {
        if let Some(asked) = self.finish_job(number) {
            let seconds = PATIENCE.as_secs();
            let failure = JobFailure::Lost(format!("no answer within {seconds} s"));
            self.tell_of_job(asked.request, Err(failure));
        }
    }

    /// Whoever had orders is gone.
    pub(crate) fn jobs_lost(&mut self, peer: &PeerId) {
        let theirs = self.asked_jobs.iter().filter(|(_, it)| it.peer == *peer);
        let numbers: Vec<_> = theirs.map(|(number, _)| *number).collect();
        for number in numbers {
            if let Some(asked) = self.finish_job(number) {
                let failure = JobFailure::Lost("it left".into());
                self.tell_of_job(asked.request, Err(failure));
            }
        }
    }
}

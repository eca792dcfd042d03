//! An answer that somebody else finishes, so that this page may be closed meanwhile: giving it away, and looking how far it
//! is.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use fragments::ModelId;
use inference::{
    job::{self, End, Job, Progress},
    session::{self, FinishReason},
};
use protocol::{JobId, JobOrder};
use swarm::{JobFailure, PeerId, RequestId};
use web_bridge::{
    messages::FromEngine,
    status::{EndReason, Ending, Problem},
};

use super::{clock, state::State};

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How soon somebody else is asked, or looked for.
const AGAIN: Duration = Duration::from_millis(500);
/// If nobody is known by then who finishes it, nobody does.
const PATIENCE: Duration = Duration::from_secs(15);
/// Marks requests about such answers, beside those about fragments and layers.
const JOB: u64 = 1 << 51;

/// An answer that is with somebody else, or is to be.
pub(super) struct Elsewhere {
    answer: u32,
    id: JobId,
    /// What had been said before.
    said: Vec<u32>,
    /// What to give to whoever will finish it; nothing once somebody does.
    offer: Option<Bytes>,
    /// Who has it.
    with: Option<PeerId>,
    /// Who does not, and does not take it.
    refused: BTreeSet<PeerId>,
    /// What somebody is being asked, and who.
    asked: Option<(RequestId, PeerId)>,
    count: u64,
    /// When to ask next, and until when to look for somebody to ask.
    next: Duration,
    patience: Duration,
}

impl Elsewhere {
    fn new(answer: u32, id: JobId, said: Vec<u32>, offer: Option<Bytes>) -> Self {
        let now = clock::now();
        Self {
            answer,
            id,
            said,
            offer,
            with: None,
            refused: BTreeSet::new(),
            asked: None,
            count: 0,
            next: now,
            patience: now + PATIENCE,
        }
    }

    fn name_request(&mut self, peer: &PeerId) -> RequestId {
        self.count += 1;
        let request = RequestId(JOB | self.count);
        self.asked = Some((request, peer.clone()));
        request
    }

    /// When there is something to do without anything happening.
    pub(super) fn due(&self) -> Option<Duration> {
        self.asked.is_none().then_some(self.next)
    }
}

impl State {
    /// Gives the answer under way to somebody who finishes it.
    pub(super) fn give_away(&mut self, answer: u32, id: JobId) {
        let offer = self.job_of(answer);
        let said = self.abandon();
        match offer {
            Some(job) => {
                let offer = job::encode_job(&job).into();
                self.elsewhere = Some(Elsewhere::new(answer, id, said, Some(offer)));
            }
            None => self.tell(&FromEngine::NotElsewhere { answer }),
        }
    }

    /// Looks for an answer that somebody else finishes.
    pub(super) fn look_for(&mut self, answer: u32, id: JobId, said: Vec<u32>) {
        self.elsewhere = Some(Elsewhere::new(answer, id, said, None));
    }

    /// What somebody has to know to finish the answer under way.
    fn job_of(&self, answer: u32) -> Option<Job> {
        let session = self.session.as_ref()?;
        let asking = self.asking.as_ref().filter(|it| it.answer == answer)?;
        let prompt = session.tokens().get(..asking.prompt as usize)?;
        let generation = asking.generation?;
        Some(Job {
            model: ModelId(self.node.config().model?.0),
            tokens: [prompt, &asking.tokens].concat(),
            prompt: prompt.len(),
            sampling: generation.sampling,
            max_tokens: generation.max_tokens,
            arithmetic: session.arithmetic(),
            least_experts: session::LEAST_EXPERTS,
        })
    }

    /// Gives an order about it, if one is due.
    pub(super) fn see_to_elsewhere(&mut self) {
        let now = clock::now();
        let finishers = self.node.finishers();
        let Some(job) = &mut self.elsewhere else {
            return;
        };
        if job.due().is_none_or(|due| due > now) {
            return;
        }
        let known = job.with.clone().filter(|peer| finishers.contains(peer));
        let mut others = finishers.into_iter();
        let somebody = || others.find(|peer| !job.refused.contains(peer));
        let Some(peer) = known.or_else(somebody) else {
            if now >= job.patience {
                return self.not_elsewhere();
            }
            // Also those who said no: perhaps they have found it, or place for it, by then.
            job.refused.clear();
            job.next = now + AGAIN;
            let id = job.id;
            return self.node.find_job(id, now);
        };
        let order = match &job.offer {
            Some(offer) => JobOrder::Begin(offer.clone()),
            None => JobOrder::Look,
        };
        let (request, id) = (job.name_request(&peer), job.id);
        self.node.order_job(request, &peer, id, order, now);
    }

    /// What came of an order.
    pub(super) fn heard_of_job(&mut self, request: RequestId, result: Result<Bytes, JobFailure>) {
        let now = clock::now();
        let Some(job) = &mut self.elsewhere else {
            return;
        };
        let Some((_, peer)) = job.asked.take_if(|(asked, _)| *asked == request) else {
            return;
        };
        let progress = result.map(|body| job::decode_progress(&body));
        match progress {
            Ok(Ok(progress)) => {
                job.offer = None;
                job.with = Some(peer);
                job.next = now + LOOK;
                job.patience = now + PATIENCE;
                self.elsewhere_so_far(progress);
            }
            Ok(Err(_)) | Err(JobFailure::Unknown | JobFailure::Busy) => {
                job.refused.insert(peer);
                job.with = None;
            }
            // Perhaps it is the network.
            Err(JobFailure::Lost(_)) => job.next = now + AGAIN,
        }
    }

    fn elsewhere_so_far(&mut self, progress: Progress) {
        let Some(job) = &self.elsewhere else {
            return;
        };
        let Progress {
            tokens,
            text,
            thoughts,
            parts,
            end,
        } = progress;
        let (answer, before) = (job.answer, job.said.len() as u32);
        let ids = [&job.said[..], &tokens].concat();
        self.tell(&FromEngine::Elsewhere {
            answer,
            tokens,
            text,
            thoughts,
        });
        let reason = match end {
            None => return,
            Some(End::Finished(FinishReason::End)) => EndReason::Complete,
            Some(End::Finished(FinishReason::Length | FinishReason::ContextFull)) => {
                EndReason::Length
            }
            Some(End::Finished(FinishReason::Cancelled)) => EndReason::Stopped,
            Some(End::Failed(why)) => {
                // What went wrong there need not go wrong here.
                web_sys::console::warn_1(&format!("not finished elsewhere: {why}").into());
                self.drop_elsewhere();
                return self.tell(&FromEngine::NotElsewhere { answer });
            }
        };
        self.drop_elsewhere();
        let ending = Ending {
            tokens: ids.len() as u32,
            before,
            ids,
            parts: parts.total,
            approximate: parts.approximate,
            experts: parts.experts,
            left_out: parts.left_out,
            elsewhere: true,
            reason,
            ..Ending::failed(Problem::NotReady)
        };
        self.tell(&FromEngine::End { answer, ending });
    }

    /// Nobody finishes it: the page goes on by itself.
    fn not_elsewhere(&mut self) {
        if let Some(Elsewhere { answer, .. }) = self.elsewhere.take() {
            self.tell(&FromEngine::NotElsewhere { answer });
        }
    }

    /// Nobody needs to finish it any more. Says which answer it was, if there was one.
    pub(super) fn drop_elsewhere(&mut self) -> Option<u32> {
        let mut job = self.elsewhere.take()?;
        if let Some(peer) = job.with.clone() {
            let request = job.name_request(&peer);
            self.node
                .order_job(request, &peer, job.id, JobOrder::Drop, clock::now());
        }
        Some(job.answer)
    }
}

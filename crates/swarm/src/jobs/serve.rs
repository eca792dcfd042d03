//! Answers that are finished here.

use super::key;
use crate::fair::Fair;
use crate::queue::Queue;
use crate::{Action, Node, PeerId};
use bytes::Bytes;
use protocol::{ErrorCode, Failure, JobId, JobOrder, JobRequest, JobResponse, Message, RequestId};
use std::collections::BTreeMap;
use std::time::Duration;

/// Answers of one peer that wait, are being finished or lie here.
const MAX_OF_PEER: usize = 4;
/// The longest order: a long conversation.
const MAX_BYTES: usize = 512 << 10;
/// What nobody has looked for since is forgotten.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// What is over and lies here, where others want the place, though not before.
const KEPT_AT_LEAST: Duration = Duration::from_secs(3600);

/// One answer.
#[derive(Debug)]
struct Job {
    owner: PeerId,
    over: bool,
    /// When it was last looked for, or has ended.
    touched: Duration,
    /// How far it is.
    progress: Bytes,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Jobs {
    known: BTreeMap<JobId, Job>,
    waiting: Fair<PeerId, (JobId, Bytes)>,
    /// The one that the shell works on, and since when. It may be one that nobody wants any more.
    running: Option<(JobId, Duration)>,
    /// What one takes.
    each: Option<Duration>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            waiting: Fair::new(),
            running: None,
            each: None,
        }
    }
}

impl Jobs {
    /// How many are here, waiting, under way or over.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Forgets what nobody has looked for since long ago, and, if that is not enough, what has been over for longest. Says
    /// what it was.
    fn make_room(&mut self, most: usize, now: Duration) -> Vec<JobId> {
        let untouched = |job: &Job, time: Duration| now >= job.touched.saturating_add(time);
        let old = self
            .known
            .extract_if(.., |_, job| job.over && untouched(job, KEPT));
        let mut gone: Vec<_> = old.map(|(id, _)| id).collect();
        if self.known.len() >= most {
            let over = self.known.iter();
            let over = over.filter(|(_, job)| job.over && untouched(job, KEPT_AT_LEAST));
            let oldest = over.min_by_key(|(_, job)| job.touched);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.known.remove(&oldest);
                gone.push(oldest);
            }
        }
        gone
    }
}

impl Node {
    pub(crate) fn job_request(&mut self, peer: &PeerId, request: JobRequest, now: Duration) {
        let JobRequest { id, job, order } = request;
        let progress = match order {
            _ if self.config.jobs == 0 => Err(ErrorCode::NotHeld),
            JobOrder::Drop => self.drop_job(job),
            JobOrder::Begin(body) if !self.jobs.known.contains_key(&job) => {
                self.begin_job(peer, job, body, now)
            }
            JobOrder::Begin(_) | JobOrder::Look => self.look_at_job(job, now),
        };
        if progress.is_err() && self.is_flood(peer, now) {
            return;
        }
        if let Some(queue) = self.before_job(job, &progress) {
            self.tell_to_wait(peer, id, queue);
        }
        let message = String::new();
        let result = progress.map_err(|code| Failure { code, message });
        self.answer_job(peer, id, result);
    }

    fn answer_job(&mut self, peer: &PeerId, id: RequestId, result: Result<Bytes, Failure>) {
        self.send(peer, Message::JobResponse(JobResponse { id, result }));
    }

    /// What is to be done before a job that waits, or before one for which there is no room.
    fn before_job(&self, job: JobId, progress: &Result<Bytes, ErrorCode>) -> Option<Queue> {
        let running = usize::from(self.jobs.running.is_some());
        let before = match progress {
            Err(ErrorCode::Busy) => self.jobs.waiting.len(),
            Err(_) => return None,
            Ok(_) => {
                let owner = &self.jobs.known.get(&job)?.owner;
                let is_it = |(waiting, _): &(JobId, Bytes)| *waiting == job;
                self.jobs.waiting.before(owner, is_it)?
            }
        };
        Queue::of(before + running, self.jobs.each, 1)
    }

    fn begin_job(
        &mut self,
        peer: &PeerId,
        job: JobId,
        body: Bytes,
        now: Duration,
    ) -> Result<Bytes, ErrorCode> {
        if body.len() > MAX_BYTES {
            return Err(ErrorCode::Invalid);
        }
        for gone in self.jobs.make_room(self.config.jobs, now) {
            self.actions.push_back(Action::Withdraw { key: key(gone) });
        }
        let of_peer = self.jobs.known.values().filter(|it| it.owner == *peer);
        if self.jobs.known.len() >= self.config.jobs || of_peer.count() >= MAX_OF_PEER {
            self.totals.refused += 1;
            return Err(ErrorCode::Busy);
        }
        let owner = peer.clone();
        self.jobs.waiting.push(owner.clone(), (job, body));
        let begun = Job {
            owner,
            over: false,
            touched: now,
            progress: Bytes::new(),
        };
        self.jobs.known.insert(job, begun);
        self.actions.push_back(Action::Announce { key: key(job) });
        self.run_next_job(now);
        Ok(Bytes::new())
    }

    fn look_at_job(&mut self, job: JobId, now: Duration) -> Result<Bytes, ErrorCode> {
        let known = self.jobs.known.get_mut(&job).ok_or(ErrorCode::NotHeld)?;
        known.touched = now;
        Ok(known.progress.clone())
    }

    fn drop_job(&mut self, job: JobId) -> Result<Bytes, ErrorCode> {
        let Some(dropped) = self.jobs.known.remove(&job) else {
            return Err(ErrorCode::NotHeld);
        };
        let is_it = |(waiting, _): &(JobId, Bytes)| *waiting == job;
        self.jobs.waiting.remove(&dropped.owner, is_it);
        if self.jobs.running.is_some_and(|(running, _)| running == job) {
            self.actions.push_back(Action::StopJob { job });
        }
        self.actions.push_back(Action::Withdraw { key: key(job) });
        Ok(dropped.progress)
    }

    fn run_next_job(&mut self, now: Duration) {
        if self.jobs.running.is_some() {
            return;
        }
        if let Some((_, (job, body))) = self.jobs.waiting.pop() {
            self.jobs.running = Some((job, now));
            self.actions.push_back(Action::RunJob { job, body });
        }
    }

    /// The shell says how far a job is, and whether that is all.
    pub(crate) fn job_told(&mut self, job: JobId, progress: Bytes, over: bool, now: Duration) {
        if let Some(known) = self.jobs.known.get_mut(&job) {
            known.progress = progress;
            known.over |= over;
            if over {
                known.touched = now;
            }
        }
        let ran = self
            .jobs
            .running
            .filter(|(running, _)| over && *running == job);
        if let Some((_, since)) = ran {
            let took = now.saturating_sub(since);
            let mean = self.jobs.each.map_or(took, |mean| (mean * 7 + took) / 8);
            self.jobs.each = Some(mean);
            self.jobs.running = None;
            self.totals.jobs_served += 1;
            self.run_next_job(now);
        }
    }
}

//! Answers that are finished here for others.

use super::super::JobOrder;
use super::Core;
use bytes::Bytes;
use inference::job::{self, End, Progress};
use protocol::JobId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use swarm::Event;
use tokio::sync::mpsc;

/// Whoever finishes them, and how the one under way is stopped.
#[derive(Default)]
pub(super) struct Finishing {
    pub(super) orders: Option<mpsc::Sender<JobOrder>>,
    running: Option<(JobId, Arc<AtomicBool>)>,
}

impl Core {
    pub(super) fn run_job(&mut self, job: JobId, body: Bytes) {
        let stop = Arc::new(AtomicBool::new(false));
        let order = JobOrder {
            job,
            body,
            stop: stop.clone(),
        };
        let orders = self.finishing.orders.as_ref();
        if orders.is_some_and(|orders| orders.try_send(order).is_ok()) {
            self.finishing.running = Some((job, stop));
        } else {
            let progress = Progress {
                end: Some(End::Failed("this node is not ready for that".into())),
                ..Progress::default()
            };
            self.job_told(job, job::encode_progress(&progress).into(), true);
        }
    }

    pub(super) fn stop_job(&self, job: JobId) {
        let running = self.finishing.running.as_ref();
        if let Some((_, stop)) = running.filter(|(running, _)| *running == job) {
            stop.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn job_told(&mut self, job: JobId, progress: Bytes, over: bool) {
        let now = self.now();
        let event = Event::JobTold {
            job,
            progress,
            over,
        };
        self.node.handle_event(event, now);
    }
}

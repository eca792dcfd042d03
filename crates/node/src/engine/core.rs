//! The task that owns the swarm's core and carries out what it decides.

mod events;
mod fetches;
mod jobs;
mod stages;

use super::host::{Hosting, Wanted};
use super::outbox::{Outbox, congested};
use super::{Command, Notice, Order, Outcome, network_peer, peer_name};
use bytes::Bytes;
use fragments::{Fragment, FragmentId};
use futures::StreamExt;
use inference::compute;
use network::{Events, Handle, SendError};
use protocol::{ComputeResponse, ContentResponse, JobResponse, Message, StageResponse};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use swarm::{
    Action, ComputeError, Content, ContentId, DownloadId, Event, FragmentIndex, Node, PeerId,
    RequestId, Ticket,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

/// Results that wait for the task. More computations and checks than that never run at one time.
const RESULTS: usize = 1024;

/// What a thread has finished.
pub(super) enum Done {
    Event(Event),
    /// The layers run here want something.
    Host(Wanted),
    /// What is held of this is not what its name says.
    Damaged(ContentId),
    Checked {
        download: DownloadId,
        good: bool,
        bytes: Vec<u8>,
    },
    /// A web server had the whole, or this is what there is of it now.
    FetchedWeb {
        download: DownloadId,
        good: bool,
        bytes: Vec<u8>,
    },
}

pub(super) struct Core {
    node: Node,
    network: Handle,
    /// Answers for peers that are slow.
    outbox: Outbox,
    notices: mpsc::Sender<Notice>,
    started: Instant,
    fragments: BTreeMap<u32, Arc<Fragment<Bytes>>>,
    by_content: HashMap<ContentId, Arc<Content>>,
    replies: HashMap<RequestId, SyncSender<Outcome>>,
    fetches: HashMap<DownloadId, fetches::Fetch>,
    web_seeds: Vec<String>,
    /// Layers run for others.
    hosting: Option<Hosting>,
    /// Whoever sees to it that they can be.
    prepare: Option<mpsc::Sender<()>>,
    /// Answers finished for others.
    finishing: jobs::Finishing,
    /// Whoever has the fragments' files.
    orders: Option<mpsc::Sender<Order>>,
    results: mpsc::Sender<Done>,
    results_end: Option<mpsc::Receiver<Done>>,
}

impl Core {
    pub(super) fn new(
        config: swarm::Config,
        network: Handle,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let (results, results_end) = mpsc::channel(RESULTS);
        Self {
            node: Node::new(config),
            network,
            outbox: Outbox::default(),
            notices,
            started: Instant::now(),
            fragments: BTreeMap::new(),
            by_content: HashMap::new(),
            replies: HashMap::new(),
            fetches: HashMap::new(),
            web_seeds: Vec::new(),
            hosting: None,
            prepare: None,
            finishing: jobs::Finishing::default(),
            orders: None,
            results,
            results_end: Some(results_end),
        }
    }

    pub(super) async fn run(mut self, mut events: Events, mut commands: mpsc::Receiver<Command>) {
        let Some(mut results) = self.results_end.take() else {
            return;
        };
        self.network.set_hello(self.node.introduction());
        loop {
            self.act();
            let wake = self.node.poll_timeout().map(|at| self.started + at);
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.network_event(event),
                    None => return,
                },
                // The engine's handles are gone: nobody needs this node.
                command = commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return self.network.shutdown(),
                },
                Some(done) = results.recv() => self.done(done),
                () = tokio::time::sleep_until(wake.unwrap_or(self.started)), if wake.is_some() => {
                    let now = self.now();
                    self.node.handle_timeout(now);
                }
            }
        }
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn notice(&self, notice: Notice) {
        // Full when nobody listens.
        let _ = self.notices.try_send(notice);
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Submit {
                request,
                fragment,
                body,
                priority,
                reply,
            } => match self.node.submit(request, fragment, body, priority, now) {
                Ok(()) => _ = self.replies.insert(request, reply),
                Err(error) => _ = reply.try_send(Outcome::Refused(error)),
            },
            Command::Accept(request) => {
                self.replies.remove(&request);
                self.node.accept(request, now);
            }
            Command::Reject(request) => self.node.reject(request, now),
            Command::SubmitStage {
                request,
                peer,
                session,
                layers,
                body,
                reply,
            } => {
                self.replies.insert(request, reply);
                self.node
                    .submit_stage(request, &peer, session, layers, body, now);
            }
            Command::RejectStage(peer) => self.node.reject_stage(&peer, now),
            Command::CancelAll(asker) => {
                let asked = self.replies.extract_if(|request, _| asker.asked(*request));
                for (request, _) in asked.collect::<Vec<_>>() {
                    self.node.cancel(request, now);
                    self.node.cancel_stage(request);
                }
            }
            Command::Route {
                present,
                alone,
                reply,
            } => {
                let _ = reply.send(match alone {
                    true => self.node.route_alone(now),
                    false => self.node.route(present.as_ref(), now),
                });
            }
            Command::TokenTook { plan, took, reply } => {
                let _ = reply.send(self.node.token_took(&plan, took, now));
            }
            Command::MayHost(prepare) => {
                self.prepare = Some(prepare);
                self.node.set_memory(spare_memory());
                self.node.set_candidate(true, now);
            }
            Command::Host {
                model,
                small,
                limits,
            } => self.host(model, small, limits),
            Command::MayFinish(orders) => self.finishing.orders = Some(orders),
            Command::JobTold {
                job,
                progress,
                over,
            } => self.job_told(job, progress, over),
            Command::Model(model) => self.node.set_model(model, now),
            Command::Catalogue {
                fragments,
                shape,
                manifest,
                web_seeds,
            } => {
                if let Some(model) = self.node.config().model {
                    let manifest = Arc::new(Content::new(model, manifest));
                    self.by_content.insert(model, manifest);
                }
                self.node.set_catalogue(fragments, now);
                self.node.set_shape(shape, now);
                self.node.set_web_seeds(web_seeds.len(), now);
                self.web_seeds = web_seeds;
            }
            Command::Hold {
                fragments,
                computes,
            } => self.hold(fragments, &computes, now),
            Command::Fetch {
                content,
                have,
                keep,
                done,
            } => self.fetch(content, have, keep, done),
            Command::Assign { count, reply } => {
                _ = reply.send(self.node.assign(count, &Default::default(), now))
            }
            Command::Taking(fragments) => {
                for fragment in fragments {
                    self.node.taking(fragment, now);
                }
            }
            Command::NotTaken(fragment) => self.node.not_taken(fragment, now),
            Command::Capacity { fragments, orders } => {
                self.orders = Some(orders);
                self.node.set_capacity(fragments);
            }
            Command::Stats(reply) => {
                let runtime = tokio::runtime::Handle::current().metrics();
                _ = reply.send((self.node.stats(), runtime.num_alive_tasks()));
            }
        }
    }

    fn hold(
        &mut self,
        fragments: Vec<(u32, Arc<Fragment<Bytes>>)>,
        computes: &std::collections::BTreeSet<u32>,
        now: Duration,
    ) {
        for (index, fragment) in fragments {
            if let Some(info) = self.node.catalogue().get(FragmentIndex(index)) {
                let content = Content::new(info.content, fragment.bytes().clone());
                self.by_content.insert(info.content, Arc::new(content));
                self.fragments.insert(index, fragment);
            }
        }
        let stores: Vec<_> = self.fragments.keys().copied().map(FragmentIndex).collect();
        let computes = computes
            .iter()
            .copied()
            .filter(|index| self.fragments.contains_key(index));
        self.node
            .set_holdings(computes.map(FragmentIndex), stores, now);
    }

    /// Whether somebody will carry it out.
    fn order(&self, order: Order) -> bool {
        let orders = self.orders.as_ref();
        orders.is_some_and(|orders| orders.try_send(order).is_ok())
    }

    /// A fragment is not held any more.
    fn let_go(&mut self, fragment: FragmentIndex) {
        self.fragments.remove(&fragment.0);
        if let Some(info) = self.node.catalogue().get(fragment) {
            self.by_content.remove(&info.content);
        }
        // A file that stays is found when the node starts again.
        let _ = self.order(Order::LetGo(fragment));
    }

    /// Content has changed since it was verified: it is neither given nor computed on any longer.
    fn damaged(&mut self, content: ContentId, now: Duration) {
        if self.by_content.remove(&content).is_none() {
            return;
        }
        let catalogue = self.node.catalogue();
        let index = catalogue.indices().find(|index| {
            let info = catalogue.get(*index);
            info.is_some_and(|info| info.content == content)
        });
        if let Some(index) = index {
            self.fragments.remove(&index.0);
            self.node.remove_holding(index, now);
        }
        let id = FragmentId(content.0).to_string();
        self.notice(Notice::Damaged { id });
    }

    /// Carries out everything the core has decided.
    fn act(&mut self) {
        while let Some(action) = self.node.poll_action() {
            match action {
                Action::Send { peer, message } => self.send(&peer, message),
                Action::Introduce { hello } => self.network.set_hello(hello),
                Action::Disconnect { peer } => {
                    if let Some(peer) = network_peer(&peer) {
                        self.network.disconnect(peer);
                    }
                }
                Action::Ban { peer, reason } => {
                    warn!(peer = peer_name(&peer), reason, "banned");
                    self.notice(Notice::Banned {
                        peer: peer_name(&peer),
                        reason,
                    });
                    if let Some(peer) = network_peer(&peer) {
                        self.network.ban(peer);
                    }
                }
                Action::FindPeers { key } => self.network.find_providers(key.0),
                Action::Announce { key } => self.network.provide(key.0),
                Action::Withdraw { key } => self.network.stop_providing(key.0),
                Action::Watch { model, shards } => self.network.watch(model.0, shards),
                Action::Publish { heartbeat } => {
                    self.network.publish(heartbeat);
                    // For the next.
                    self.node.set_memory(spare_memory());
                }
                Action::TakeUp { fragment } => {
                    if !self.order(Order::TakeUp(fragment)) {
                        let now = self.now();
                        self.node.not_taken(fragment, now);
                    }
                }
                Action::LetGo { fragment } => self.let_go(fragment),
                Action::Compute {
                    ticket,
                    fragment,
                    body,
                } => self.compute(ticket, fragment, body),
                Action::PrepareStages => {
                    if let Some(prepare) = &self.prepare {
                        // Full if it is at it already.
                        let _ = prepare.try_send(());
                    }
                }
                Action::RunStage {
                    ticket,
                    peer,
                    session,
                    body,
                } => self.run_stage(ticket, (peer, session), body),
                Action::RunJob { job, body } => self.run_job(job, body),
                Action::StopJob { job } => self.stop_job(job),
                // Native programs that ask wait for their answers.
                Action::JobAnswer { .. } => {}
                Action::StopStage { peer, session } => self.stop_stage((peer, session)),
                Action::StageAnswer {
                    request,
                    peer,
                    body,
                } => {
                    self.reply(
                        request,
                        Outcome::Stage {
                            request,
                            peer,
                            body,
                        },
                    );
                    self.replies.remove(&request);
                }
                Action::StageLost {
                    request,
                    peer,
                    reason,
                } => {
                    self.reply(request, Outcome::StageLost { peer, reason });
                    self.replies.remove(&request);
                }
                Action::Queued { request, queue } => {
                    // Who waits for tokens that go through layers run here waits for much else, too.
                    if stages::of_host(request).is_none() {
                        self.reply(request, Outcome::Queued(queue));
                    }
                }
                Action::Answer { request, by, body } => {
                    if let Some(request) = stages::of_host(request) {
                        self.tell_host(request, Ok(body));
                        continue;
                    }
                    self.reply(request, Outcome::Answer { request, by, body });
                }
                Action::Failed { request, failure } => {
                    if let Some(request) = stages::of_host(request) {
                        self.tell_host(request, Err(failure.to_string()));
                        continue;
                    }
                    self.reply(request, Outcome::Failed { request, failure });
                    self.replies.remove(&request);
                }
                Action::ReadContent {
                    ticket,
                    content,
                    block,
                } => self.read(ticket, content, block),
                Action::Write {
                    download,
                    offset,
                    bytes,
                } => self.write(download, offset, bytes),
                Action::Complete { download } => self.verify(download),
                Action::FetchWeb {
                    download,
                    content,
                    seed,
                } => self.fetch_web(download, content, seed),
            }
        }
    }

    fn reply(&mut self, request: RequestId, outcome: Outcome) {
        let Some(reply) = self.replies.get(&request) else {
            return;
        };
        // The queue is longer than requests can be under way; it fails when the asker is gone.
        if reply.try_send(outcome).is_err() {
            self.replies.remove(&request);
            let now = self.now();
            self.node.cancel(request, now);
        }
    }

    fn send(&mut self, peer: &PeerId, message: Message) {
        let Some(target) = network_peer(peer) else {
            return;
        };
        if let Message::ComputeResponse(_)
        | Message::StageResponse(_)
        | Message::JobResponse(_)
        | Message::ContentResponse(_) = message
        {
            // They were asked for: they wait until the way is free.
            return self.outbox.send(&self.network, target, message);
        }
        let Err(SendError::Busy(message)) = self.network.send(target, message) else {
            return;
        };
        let answer = match *message {
            // Only saves work, or says what will come. Answers wait above.
            Message::Cancel(_)
            | Message::Queued(_)
            | Message::ComputeResponse(_)
            | Message::StageResponse(_)
            | Message::JobResponse(_)
            | Message::ContentResponse(_) => return,
            Message::ComputeRequest(request) => Message::ComputeResponse(ComputeResponse {
                id: request.id,
                result: Err(congested()),
            }),
            Message::StageRequest(request) => Message::StageResponse(StageResponse {
                id: request.id,
                result: Err(congested()),
            }),
            Message::JobRequest(request) => Message::JobResponse(JobResponse {
                id: request.id,
                result: Err(congested()),
            }),
            Message::ContentRequest(request) => Message::ContentResponse(ContentResponse {
                id: request.id,
                result: Err(congested()),
            }),
            // A peer that does not know what we hold is of no use.
            Message::Hello(_) | Message::HoldingsChanged(_) => {
                return self.network.disconnect(target);
            }
        };
        let now = self.now();
        self.node.handle_event(
            Event::Message {
                peer: peer.clone(),
                message: answer,
            },
            now,
        );
    }

    fn compute(&self, ticket: Ticket, index: FragmentIndex, body: Bytes) {
        let (fragment, results) = (self.fragments.get(&index.0).cloned(), self.results.clone());
        tokio::spawn(async move {
            let Some(fragment) = fragment else {
                let gone = Event::Computed {
                    ticket,
                    result: Err(ComputeError::NotHeld),
                };
                let _ = results.send(Done::Event(gone)).await;
                return;
            };
            let computed = tokio::task::spawn_blocking(move || answer(&fragment, &body)).await;
            let result =
                computed.unwrap_or_else(|error| Err(ComputeError::Internal(error.to_string())));
            // Fails only when the node stops.
            let _ = results
                .send(Done::Event(Event::Computed { ticket, result }))
                .await;
        });
    }

    fn read(&mut self, ticket: Ticket, content: ContentId, block: Option<u32>) {
        let held = self.by_content.get(&content).cloned();
        if let Some(held) = held.clone().filter(|held| !held.is_hashed()) {
            // The first time it is read from the disk and hashed as a whole.
            let results = self.results.clone();
            tokio::spawn(async move {
                let hashed = held.clone();
                let block = tokio::task::spawn_blocking(move || held.block(block)).await;
                let result = block.ok().flatten();
                if hashed.is_damaged() {
                    let _ = results.send(Done::Damaged(content)).await;
                }
                let _ = results
                    .send(Done::Event(Event::ContentRead { ticket, result }))
                    .await;
            });
            return;
        }
        let result = held.and_then(|held| held.block(block));
        let now = self.now();
        self.node
            .handle_event(Event::ContentRead { ticket, result }, now);
    }

    fn done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::FetchedWeb {
                download,
                good,
                bytes,
            } => self.fetched_web(download, good, bytes),
            Done::Event(event) => self.node.handle_event(event, now),
            Done::Host(wanted) => self.wanted(wanted),
            Done::Damaged(content) => self.damaged(content, now),
            Done::Checked {
                download,
                good,
                bytes,
            } => self.checked(download, good, bytes),
        }
    }
}

/// Computes an answer; the request comes from a stranger.
fn answer(fragment: &Fragment<Bytes>, body: &[u8]) -> Result<Bytes, ComputeError> {
    let malformed = |error: String| ComputeError::BadRequest(error);
    let request = compute::decode_request(body).map_err(|error| malformed(error.to_string()))?;
    let response =
        compute::answer(fragment, &request).map_err(|error| malformed(error.to_string()))?;
    Ok(compute::encode_response(&response).into())
}

/// Bytes of memory that programs can still have without pushing others out of it; 0 if the system does not say.
fn spare_memory() -> u64 {
    let memory = sysinfo::MemoryRefreshKind::nothing().with_ram();
    let memory = sysinfo::RefreshKind::nothing().with_memory(memory);
    let system = sysinfo::System::new_with_specifics(memory);
    system.map_or(0, |system| system.available_memory())
}

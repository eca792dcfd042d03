//! What the engine knows, and carrying out what the cores want.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use fragments::{FragmentId, ModelId};
use inference::{Model, Session, SmallTensors};
use protocol::SessionId;
use serde_bytes::ByteBuf;
use swarm::stages::Plan;
use swarm::{Action, Config, DownloadId, FragmentIndex, Node, PeerId, Ticket};
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    locks::Lock,
    messages::{FromEngine, Join, ToCompute, ToNetwork, UseGraphics},
    port::Port,
    status::{Graphics, Problem, Stage},
    store::Store,
    transfer,
};

use super::{
    Engine, asking::Asking, clock, device, elsewhere::Elsewhere, joining::Incoming, lending,
    library::Library, report::Report,
};

/// Requests given to each compute worker at a time: one is computed while the next is on its way.
const SLOTS_PER_WORKER: usize = 2;

/// A fragment this tab lends or is about to.
pub(super) struct Claim {
    /// Keeps other tabs of this browser from lending the same.
    pub(super) _lock: Lock,
    /// It is here, and computed on.
    pub(super) held: bool,
}

/// Everything the engine knows once it has joined.
pub(super) struct State {
    page: Port,
    compute: Vec<Port>,
    /// How many of them may compute.
    employed: usize,
    pub(super) node: Node,
    pub(super) online: bool,
    /// The connected peers' ids as text.
    pub(super) names: BTreeMap<PeerId, String>,
    /// `None` where the browser's storage does not work; then everything stays in memory.
    pub(super) store: Option<Rc<Store>>,
    pub(super) library: Library,
    pub(super) stage: Stage,
    pub(super) problem: Option<Problem>,
    pub(super) id: Option<ModelId>,
    pub(super) model: Option<Arc<Model>>,
    pub(super) small: Option<Arc<SmallTensors>>,
    pub(super) indices: BTreeMap<FragmentId, FragmentIndex>,
    /// Folders on web servers that have the fragments, too.
    pub(super) web_seeds: Vec<String>,
    /// The fragments nobody computes on: not lent, only kept.
    pub(super) not_lent: BTreeSet<FragmentIndex>,
    pub(super) session: Option<Session>,
    /// What those who run layers call it, and the way that its tokens take.
    pub(super) session_id: SessionId,
    pub(super) way: Option<Plan>,
    pub(super) asking: Option<Asking>,
    pub(super) elsewhere: Option<Elsewhere>,
    pub(super) lend: u32,
    /// Storage is full: lend no more than this until the user says otherwise.
    pub(super) lend_at_most: Option<u32>,
    pub(super) claims: BTreeMap<FragmentIndex, Claim>,
    /// Fragments in this browser's storage.
    pub(super) stored: BTreeSet<FragmentIndex>,
    /// Fragments in storage that belong to other models.
    pub(super) strangers: u32,
    pub(super) incoming: BTreeMap<DownloadId, Incoming>,
    /// Which fragment a compute worker is computing on.
    pub(super) computing: BTreeMap<Ticket, FragmentIndex>,
    /// When the graphics processor is to be used, and what the worker that has it says of it.
    pub(super) graphics_wish: UseGraphics,
    pub(super) graphics: Option<Graphics>,
    pub(super) report: Report,
    /// The page knows where in the picture of the model its fragments are.
    rows_told: bool,
}

impl State {
    pub(super) fn new(join: &Join, page: Port, compute: Vec<Port>) -> Self {
        let mut config = Config::new(PeerId::new(&join.peer));
        config.agent = concat!("iap2p-web/", env!("CARGO_PKG_VERSION")).into();
        config.compute_slots = slots(compute.len());
        config.upload_bytes_per_second = join.upload.and_then(|it| NonZeroU64::new(it.into()));
        // As many bits as a number of the browser has.
        config.run = (js_sys::Math::random() * 2_f64.powi(53)) as u64;
        let mut node = Node::new(config);
        node.set_capacity(join.lend as usize);
        node.set_memory(device::memory());
        Self {
            page,
            employed: compute.len(),
            compute,
            node,
            online: true,
            names: BTreeMap::new(),
            store: None,
            library: Library::default(),
            stage: Stage::Connecting,
            problem: None,
            id: None,
            model: None,
            small: None,
            indices: BTreeMap::new(),
            web_seeds: Vec::new(),
            not_lent: BTreeSet::new(),
            session: None,
            session_id: SessionId((js_sys::Math::random() * 2_f64.powi(53)) as u64),
            way: None,
            asking: None,
            elsewhere: None,
            lend: join.lend,
            lend_at_most: None,
            claims: BTreeMap::new(),
            stored: BTreeSet::new(),
            strangers: 0,
            incoming: BTreeMap::new(),
            computing: BTreeMap::new(),
            graphics_wish: join.graphics,
            graphics: None,
            report: Report::default(),
            rows_told: false,
        }
    }

    /// Carries out everything the cores want done.
    pub(super) fn work(&mut self, engine: &Engine) {
        loop {
            self.ask_swarm();
            self.see_to_elsewhere();
            let Some(action) = self.node.poll_action() else {
                break;
            };
            self.act(action, engine);
        }
        self.report.changed();
    }

    /// When something is to be done without anything happening.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.node
            .poll_timeout()
            .into_iter()
            .chain(self.report.due())
            .chain(self.elsewhere.as_ref().and_then(Elsewhere::due))
            .min()
    }

    fn act(&mut self, action: Action, engine: &Engine) {
        match action {
            Action::Send { peer, message } => {
                let Some((channel, body)) = transfer::pack(&message) else {
                    return;
                };
                let peer = ByteBuf::from(peer.as_bytes());
                self.network(ToNetwork::Send { peer, channel }, Some(&body));
            }
            Action::Introduce { hello } => {
                if let Some((_, body)) = transfer::pack(&protocol::Message::Hello(hello)) {
                    self.network(ToNetwork::Introduce, Some(&body));
                }
            }
            Action::Disconnect { peer } => {
                let peer = ByteBuf::from(peer.as_bytes());
                self.network(ToNetwork::Disconnect { peer }, None);
            }
            Action::Ban { peer, reason } => {
                let peer = ByteBuf::from(peer.as_bytes());
                self.network(ToNetwork::Ban { peer, reason }, None);
            }
            Action::FindPeers { key } => {
                let key = ByteBuf::from(key.0);
                self.network(ToNetwork::Find { key }, None);
            }
            Action::Announce { key } => {
                let key = ByteBuf::from(key.0);
                self.network(ToNetwork::Announce { key }, None);
            }
            Action::Watch { model, shards } => {
                let model = ByteBuf::from(model.0);
                self.network(ToNetwork::Watch { model, shards }, None);
            }
            Action::Publish { heartbeat } => {
                self.network(ToNetwork::Publish, Some(&heartbeat.encode()));
            }
            Action::TakeUp { fragment } => {
                spawn_local(lending::take_up(engine.clone(), fragment));
            }
            Action::LetGo { fragment } => {
                spawn_local(lending::let_go(engine.clone(), fragment));
            }
            Action::Compute {
                ticket,
                fragment,
                body,
            } => self.compute(ticket, fragment, &body),
            Action::Answer { request, by, body } => self.answered(request, by, &body),
            Action::JobAnswer { request, result } => self.heard_of_job(request, result),
            // A tab may be closed at any time, and offers to finish nothing; what it provides, it does as long as it is there.
            Action::RunJob { .. } | Action::StopJob { .. } | Action::Withdraw { .. } => {}
            Action::Queued { request, queue } => self.queued(request, queue),
            Action::Failed { request, failure } => self.failed(request, &failure),
            Action::StageAnswer {
                request,
                peer,
                body,
            } => self.through(request, peer, &body),
            Action::StageLost { request, .. } => self.stage_lost(request),
            // A tab runs no layers for others: it may be closed at any time, and says so by being no candidate.
            Action::PrepareStages | Action::RunStage { .. } | Action::StopStage { .. } => {}
            Action::ReadContent {
                ticket,
                content,
                block,
            } => {
                let engine = engine.clone();
                spawn_local(async move { engine.read(ticket, content, block).await });
            }
            Action::Write {
                download,
                offset,
                bytes,
            } => self.write(download, offset, &bytes),
            Action::Complete { download } => self.complete(download),
            Action::FetchWeb {
                download,
                content,
                seed,
            } => {
                let engine = engine.clone();
                spawn_local(async move { engine.fetch_web(download, content, seed).await });
            }
        }
    }

    fn compute(&mut self, ticket: Ticket, fragment: FragmentIndex, body: &[u8]) {
        let id = self.fragment_id(fragment);
        let sent = match (self.worker(fragment), id) {
            (Some(port), Some(id)) => {
                let ticket = ticket.0;
                let fragment = ByteBuf::from(id.0);
                port.send_with(&ToCompute::Compute { ticket, fragment }, body)
                    .is_ok()
            }
            _ => false,
        };
        if sent {
            self.computing.insert(ticket, fragment);
        } else {
            let result = Err(swarm::ComputeError::Internal("no compute worker".into()));
            let event = swarm::Event::Computed { ticket, result };
            self.node.handle_event(event, clock::now());
        }
    }

    /// The compute worker that has the fragment in its memory.
    pub(super) fn worker(&self, fragment: FragmentIndex) -> Option<&Port> {
        self.compute.get(fragment.0 as usize % self.employed.max(1))
    }

    /// There is one more compute worker.
    pub(super) fn hire(&mut self, port: Port) {
        self.compute.push(port);
        if self.compute.len() == 1 {
            self.tell_graphics();
        }
    }

    /// Tells the first compute worker, which is always employed, about the graphics processor. The others never hear of
    /// it: two devices would double what is taken of its memory, and disturb each other's races.
    pub(super) fn tell_graphics(&mut self) {
        if let Some(first) = self.compute.first() {
            log(first.send(&ToCompute::Graphics(self.graphics_wish)));
        }
    }

    /// Others are given at most so many bytes of fragments a second from now on.
    pub(super) fn limit_upload(&mut self, limit: Option<u32>) {
        let limit = limit.and_then(|it| NonZeroU64::new(it.into()));
        self.node.set_upload(limit, clock::now());
    }

    /// At most so many compute workers work from now on. Fragments move to others, who read them when asked.
    pub(super) fn employ(&mut self, most: usize) {
        let employed = most.clamp(1, self.compute.len().max(1));
        if employed == self.employed {
            return;
        }
        self.claims.keys().for_each(|index| self.release(*index));
        self.employed = employed;
        self.node.set_compute_slots(slots(employed), clock::now());
    }

    /// The fragment with this id, as text.
    pub(super) fn index_of(&self, id: &str) -> Option<FragmentIndex> {
        self.indices.get(&id.parse().ok()?).copied()
    }

    pub(super) fn fragment_id(&self, index: FragmentIndex) -> Option<FragmentId> {
        self.node
            .catalogue()
            .get(index)
            .map(|info| FragmentId(info.content.0))
    }

    fn network(&self, wish: ToNetwork, body: Option<&[u8]>) {
        let message = FromEngine::Network(wish);
        let sent = match body {
            Some(body) => self.page.send_with(&message, body),
            None => self.page.send(&message),
        };
        log(sent);
    }

    /// Tells the page something.
    pub(super) fn tell(&self, message: &FromEngine) {
        log(self.page.send(message));
    }

    pub(super) fn report_if_due(&mut self, now: Duration) {
        if !self.report.take(now) {
            return;
        }
        if !self.rows_told && self.model.is_some() {
            self.rows_told = true;
            self.tell(&FromEngine::Rows(self.rows()));
        }
        let status = self.status();
        if self.report.is_new(&status) {
            self.tell(&FromEngine::Status(Box::new(status)));
        }
    }
}

fn slots(workers: usize) -> usize {
    workers.max(1) * SLOTS_PER_WORKER
}

fn log(sent: Result<(), web_bridge::port::SendError>) {
    if let Err(error) = sent {
        web_sys::console::error_1(&error.to_string().into());
    }
}

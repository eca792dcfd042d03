//! The node itself: its state, and where every event goes.

use crate::absence::Absence;
use crate::churn;
use crate::content::Library;
use crate::dispatch::Dispatch;
use crate::download::Downloads;
use crate::heartbeats::Beats;
use crate::jobs::{self, Jobs};
use crate::members::Members;
use crate::membership::Search;
use crate::peers::Peers;
use crate::placement;
use crate::serve::Server;
use crate::stages::Stages;
use crate::timers::{Timer, Timers};
use crate::{
    Action, Catalogue, Config, ContentId, Coverage, Event, FragmentIndex, PeerStats, Stats, Totals,
};
use protocol::{Bitmap, Message};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// One node of the swarm, as a state machine. See the [crate's documentation](crate) for how to drive it.
///
/// The parts live beside this file, each with its state and the methods that change it: membership (who is there),
/// dispatch (own requests), serve (others' requests), content (others' downloads), download (own downloads).
#[derive(Debug)]
pub struct Node {
    pub(crate) config: Config,
    pub(crate) catalogue: Catalogue,
    pub(crate) index_of: BTreeMap<ContentId, FragmentIndex>,
    pub(crate) computes: Bitmap,
    pub(crate) stores: Bitmap,
    pub(crate) peers: Peers,
    pub(crate) timers: Timers,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) dispatch: Dispatch,
    pub(crate) server: Server,
    pub(crate) library: Library,
    pub(crate) downloads: Downloads,
    pub(crate) search: Search,
    pub(crate) absence: Absence,
    pub(crate) members: Members,
    pub(crate) beats: Beats,
    pub(crate) churn: churn::Watch,
    pub(crate) stages: Stages,
    pub(crate) jobs: Jobs,
    /// Orders about own answers that are finished elsewhere.
    pub(crate) asked_jobs: BTreeMap<u64, jobs::Asked>,
    pub(crate) totals: Totals,
    counter: u64,
}

impl Node {
    /// A node that knows nobody and holds nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            catalogue: Catalogue::default(),
            index_of: BTreeMap::new(),
            computes: Bitmap::default(),
            stores: Bitmap::default(),
            peers: Peers::default(),
            timers: Timers::default(),
            actions: VecDeque::new(),
            dispatch: Dispatch::default(),
            server: Server::default(),
            library: Library::default(),
            downloads: Downloads::default(),
            search: Search::default(),
            absence: Absence::default(),
            members: Members::default(),
            beats: Beats::default(),
            churn: churn::Watch::default(),
            stages: Stages::default(),
            jobs: Jobs::default(),
            asked_jobs: BTreeMap::new(),
            totals: Totals::default(),
            counter: 0,
        }
    }

    /// How this node behaves.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tells what happened in the world. Then take the actions with [`Node::poll_action`].
    pub fn handle_event(&mut self, event: Event, now: Duration) {
        match event {
            Event::Connected { peer, relayed } => self.connected(peer, relayed, now),
            Event::Disconnected { peer } => self.drop_peer(&peer, now),
            Event::Violation { peer, reason } => self.ban(&peer, &reason, now),
            Event::Heartbeat { peer, heartbeat } => self.heartbeat(&peer, heartbeat, now),
            Event::Observed { ip, dialled } => self.observed(ip, dialled, now),
            Event::RoundTrip { peer, time } => {
                let peer = self.peers.get_mut(&peer);
                let first = peer.is_some_and(|peer| {
                    peer.heard = now;
                    peer.round_trip.replace(time).is_none()
                });
                if first {
                    // What layers run here take can be said better now.
                    self.tell_time_of_runs(now);
                }
            }
            Event::Computed { ticket, result } => self.computed(ticket, result, now),
            Event::StageRun { ticket, result } => self.stage_run(ticket, result, now),
            Event::JobTold {
                job,
                progress,
                over,
            } => self.job_told(job, progress, over, now),
            Event::ContentRead { ticket, result } => self.content_read(ticket, result, now),
            Event::WebFetched { download, result } => self.web_fetched(download, result, now),
            Event::Verified { download, good } => self.verified(download, good, now),
            Event::Message { peer, message } => {
                // Messages that were on their way when their sender was banned or lost.
                match self.peers.get_mut(&peer) {
                    Some(peer) => peer.heard = now,
                    None => return,
                }
                match message {
                    Message::Hello(hello) => self.hello(&peer, hello, now),
                    Message::HoldingsChanged(changed) => self.holdings_changed(&peer, changed, now),
                    Message::ComputeRequest(request) => self.compute_request(&peer, request, now),
                    Message::ComputeResponse(response) => {
                        self.compute_response(&peer, response, now)
                    }
                    Message::StageRequest(request) => self.stage_request(&peer, request, now),
                    Message::StageResponse(response) => self.stage_response(&peer, response, now),
                    Message::JobRequest(request) => self.job_request(&peer, request, now),
                    Message::JobResponse(response) => self.job_response(&peer, response),
                    Message::Queued(queued) => self.queued(&peer, queued),
                    Message::Cancel(cancel) => {
                        self.cancelled_by(&peer, cancel.id);
                        self.stage_cancelled_by(&peer, Some(cancel.id));
                    }
                    Message::ContentRequest(request) => self.content_request(&peer, request, now),
                    Message::ContentResponse(response) => {
                        self.content_response(&peer, response, now)
                    }
                }
            }
        }
    }

    /// The next thing to do. Call it after every other `&mut` method until it returns nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Node::handle_timeout`] wants to be called. It may change with every event.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.timers.next()
    }

    /// Tells that time has passed; harmless when nothing is due. Then take the actions.
    pub fn handle_timeout(&mut self, now: Duration) {
        while let Some(timer) = self.timers.due(now) {
            match timer {
                Timer::Attempt(attempt) => self.attempt_late(attempt, now),
                Timer::Stage(asked) => self.stage_late(asked, now),
                Timer::Job(asked) => self.job_late(asked),
                Timer::Patience(request) => self.patience_over(request, now),
                Timer::Block(asked) => self.block_late(asked, now),
                Timer::Upload => self.run_reads(now),
                Timer::Retry => {
                    self.wake(None, now);
                    self.pump_downloads(now);
                }
                Timer::Search => self.search(now),
                Timer::Beat => self.beat(now),
            }
        }
    }

    /// Chooses up to `capacity` fragments this node should take: fewest replicas among *other* computing nodes first
    /// (a node that only stores a fragment does not count), none that is held here or in `claimed` (by other tabs of
    /// the same browser, say). Wait for the peers to introduce themselves first: see [`Node::greeted`].
    #[must_use]
    pub fn assign(
        &self,
        capacity: usize,
        claimed: &BTreeSet<FragmentIndex>,
        now: Duration,
    ) -> Vec<FragmentIndex> {
        let replicas = self.replicas_elsewhere();
        let at = |index: FragmentIndex| replicas.get(index.0 as usize).copied();
        placement::assign(
            &self.newcomer(capacity, now),
            &self.catalogue,
            self.replication(),
            |index| at(index).unwrap_or_default(),
            |index| claimed.contains(&index) || self.computes.contains(index.0),
        )
    }

    /// How many other nodes compute on a fragment, connected or heard of. For many fragments, ask for
    /// [all](Self::replicas_of_all) at once.
    #[must_use]
    pub fn replicas(&self, index: FragmentIndex) -> u32 {
        let model = self.config.model;
        let connected = self.peers.connected.values();
        let connected = connected.filter(|peer| peer.computes(model, index));
        let heard = self
            .heard_of()
            .filter(|(computes, _)| computes.contains(index.0));
        u32::try_from(connected.count() + heard.count()).unwrap_or(u32::MAX)
    }

    /// The same for all fragments, in the order of their indices.
    #[must_use]
    pub fn replicas_of_all(&self) -> Vec<u32> {
        let all = self.replicas_elsewhere().into_iter();
        all.map(|replicas| replicas.all).collect()
    }

    /// How many peers are connected, and how many of them have introduced themselves.
    #[must_use]
    pub fn greeted(&self) -> (usize, usize) {
        let greeted = self
            .peers
            .connected
            .values()
            .filter(|peer| peer.greeted)
            .count();
        (self.peers.connected.len(), greeted)
    }

    /// The fragments of the model, once they are known.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The fragment of this name.
    #[must_use]
    pub fn index_of(&self, content: &ContentId) -> Option<FragmentIndex> {
        self.index_of.get(content).copied()
    }

    /// A picture for a dashboard. It walks all peers and fragments: take it a few times a second, not per request.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut coverage = vec![Coverage::default(); self.catalogue.len() as usize];
        // A stranger's bitmap may be longer than the model.
        let in_model = |set: &Bitmap| {
            self.catalogue
                .indices()
                .map(|i| u32::from(set.contains(i.0)))
                .sum()
        };
        let mut peers = Vec::with_capacity(self.peers.connected.len());
        for (name, peer) in &self.peers.connected {
            let same_model = peer.model.is_some() && peer.model == self.config.model;
            if same_model {
                for (index, fragment) in (0..).zip(&mut coverage) {
                    let computes = peer.computes.contains(index);
                    fragment.computing += u32::from(computes);
                    fragment.storing += u32::from(computes || peer.stores.contains(index));
                }
            }
            peers.push(PeerStats {
                peer: name.clone(),
                agent: peer.agent.clone(),
                relayed: peer.relayed,
                model: peer.model,
                same_model,
                computes: if same_model {
                    in_model(&peer.computes)
                } else {
                    0
                },
                stores: if same_model {
                    in_model(&peer.stores)
                } else {
                    0
                },
                round_trip: peer.round_trip,
                latency: peer.latency.headline(),
                in_flight: peer.in_flight,
                answered: peer.answered,
                late: peer.late,
                served: peer.served,
                runs: peer.runs.as_ref().map(|runs| runs.layers.clone()),
                suspect: peer.suspicion.is_some(),
            });
        }
        for (computes, stores) in self.heard_of() {
            let mut note = |index: u32, computing: u32| {
                if let Some(fragment) = coverage.get_mut(index as usize) {
                    fragment.computing += computing;
                    fragment.storing += 1;
                }
            };
            computes.iter().for_each(|index| note(index, 1));
            stores.iter().for_each(|index| note(index, 0));
        }
        for (index, fragment) in (0..).zip(&mut coverage) {
            fragment.ours = self.computes.contains(index);
            fragment.computing += u32::from(fragment.ours);
            fragment.storing += u32::from(fragment.ours || self.stores.contains(index));
        }
        Stats {
            model: self.config.model,
            runs: self.runs(),
            peers,
            membership: self.membership(&coverage),
            coverage,
            downloads: self.downloads.stats(),
            in_flight: self.dispatch.under_way(),
            waiting: self.dispatch.waiting(),
            incoming: self.server.len(),
            jobs: self.jobs.len(),
            totals: self.totals,
        }
    }

    /// A number never used before, for wire ids, tickets and downloads.
    pub(crate) fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(crate) fn send(&mut self, peer: &crate::PeerId, message: Message) {
        self.actions.push_back(Action::Send {
            peer: peer.clone(),
            message,
        });
    }
}

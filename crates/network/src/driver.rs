//! The future that does the work: turns commands and what libp2p reports into streams, dials and events.
//!
//! Everything happens in one task, so that events have one order: a peer is connected before it speaks, and silent
//! after it is gone. While the caller has not taken the events that wait, nothing else is done; peers are slowed down
//! by what they cannot send.

mod bootstrap;
mod connections;
mod discovery;
mod helpers;
mod inbound;
mod known;
mod peer;
mod routing;
mod silence;
mod streams;
mod swarm_events;
#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests;
mod upgrade;
mod watch;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{
    SinkExt, Stream, StreamExt,
    future::poll_fn,
    stream::{FuturesUnordered, SelectAll},
};
use futures_timer::Delay;
use libp2p::{
    Multiaddr, PeerId, Swarm, core::transport::ListenerId, swarm::ConnectionId,
    swarm::dial_opts::DialOpts,
};

use crate::{
    Config, Error, Event, Granter, Reserve,
    behaviour::Behaviour,
    gate::Gate,
    gossip::Gossip,
    handle::{Command, Ends, lock},
    observed::Observed,
    transport::{self, BoxFuture, Built, Signals},
    woken::Woken,
};
use bootstrap::Bootstrap;
use discovery::Discovery;
use helpers::Helpers;
use inbound::Inbound;
use peer::Peer;
use routing::Routing;
use streams::Place;

/// How long closing connections may take at the end.
const GOODBYE: Duration = Duration::from_secs(1);

/// How many are kept out; whoever was longest is forgotten. As many as `swarm` remembers.
const MAX_BANNED: usize = 1024;

/// Steps before other tasks of the same thread get their turn: a browser's main thread also draws.
const STEPS: usize = 128;

pub(crate) struct Driver {
    swarm: Woken<Swarm<Behaviour>>,
    ends: Ends,
    settings: Settings,
    /// Events on their way to the caller. Nothing is added while it is not empty.
    outbox: VecDeque<Event>,
    peers: HashMap<PeerId, Peer>,
    sessions: u64,
    readers: SelectAll<Inbound>,
    tasks: FuturesUnordered<BoxFuture<Done>>,
    bootstrap: Vec<Bootstrap>,
    discovery: Discovery,
    gossip: Gossip,
    observed: Observed,
    routing: Routing,
    signals: Signals,
    helpers: Helpers,
    /// Those who are kept out, in the order in which they were first.
    banned: VecDeque<PeerId>,
    /// Dials of [`crate::Handle::dial`], to report their failure.
    dials: HashMap<ConnectionId, Multiaddr>,
    listeners: HashMap<ListenerId, Multiaddr>,
    /// Others see us by an address that we do not have.
    translated: bool,
    closing: bool,
    /// Which of those that there is something to do for comes first.
    turn: u8,
}

/// What is needed of the configuration later on.
struct Settings {
    listen: Vec<Multiaddr>,
    external: Vec<Multiaddr>,
    reserve: Reserve,
    kad_server: bool,
    direct: bool,
    turn: Option<Granter>,
}

/// A task that has ended.
enum Done {
    /// Messages wait for a stream that is not open.
    Wanted(Place),
    /// The stream to a peer has ended.
    Written {
        place: Place,
        connection: ConnectionId,
    },
    /// Time to try again to open a stream.
    Reopen(Place),
    /// Time to try another way besides, if the dial is still under way.
    DialLater(ConnectionId),
    /// Time to dial a peer ourselves that somebody else has been dialling.
    DialBeside {
        peer: PeerId,
        addresses: [Vec<Multiaddr>; 2],
    },
    /// Time to look whether connections can be closed that are not needed any more.
    Prune { peer: PeerId, session: u64 },
    /// Time to try again to connect directly.
    Upgrade { peer: PeerId, session: u64 },
    /// Time to dial a bootstrap node again.
    Redial { bootstrap: usize, plan: u64 },
    /// Time to ask a bootstrap node again to relay for us.
    Reserve { bootstrap: usize },
    /// Time to look who is near in the DHT.
    Refresh {
        /// And then again and again.
        again: bool,
    },
    /// Time to ask again for credentials for a node's TURN server.
    Turn { peer: PeerId, plan: u64 },
    /// Time to announce everything again.
    Announce,
    /// Time to repeat announcements that have failed.
    Retry,
    /// Time to look who does not go on with what it has begun.
    Watch,
    /// Time to leave without goodbye.
    Leave,
}

impl Driver {
    pub(crate) fn new(config: Config, ends: Ends) -> Result<Self, Error> {
        let Built {
            transport,
            relay_client,
            signals,
            servers,
        } = transport::build(&config)?;
        let gate = {
            let shared = lock(&ends.shared);
            Gate::new(
                config.limits,
                shared.refusals.clone(),
                shared.forwarding.clone(),
            )
        };
        let behaviour = Behaviour::new(&config, relay_client, config.direct, gate)?;
        let swarm_config =
            transport::swarm_config().with_idle_connection_timeout(config.idle_timeout);
        Ok(Self {
            swarm: Woken::new(Swarm::new(
                transport,
                behaviour,
                config.identity.peer_id(),
                swarm_config,
            )),
            ends,
            outbox: VecDeque::new(),
            peers: HashMap::new(),
            sessions: 0,
            readers: SelectAll::new(),
            tasks: FuturesUnordered::new(),
            bootstrap: {
                let named = config.bootstrap.into_iter().map(Bootstrap::new);
                let met = config.remembered.into_iter().take(known::MAX_KNOWN);
                named.chain(met.map(Bootstrap::remembered)).collect()
            },
            discovery: Discovery::default(),
            gossip: Gossip::default(),
            observed: Observed::default(),
            routing: Routing::default(),
            signals,
            helpers: Helpers::new(servers),
            banned: VecDeque::new(),
            dials: HashMap::new(),
            listeners: HashMap::new(),
            translated: false,
            closing: false,
            turn: 0,
            settings: Settings {
                listen: config.listen,
                external: config.external,
                reserve: config.reserve,
                kad_server: config.kad_server,
                direct: config.direct,
                turn: config.turn,
            },
        })
    }

    pub(crate) async fn run(mut self) {
        // Here and not before, because sockets are opened on the runtime that runs the driver.
        self.listen();
        for index in 0..self.bootstrap.len() {
            if !self.bootstrap[index].is_remembered() {
                self.dial_bootstrap(index);
            }
        }
        self.dial_remembered();
        self.plan_watch();
        self.plan_refreshes();
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..STEPS {
            ready!(self.poll_outbox(cx));
            if self.closing && self.peers.is_empty() {
                return Poll::Ready(());
            }
            match self.poll_step(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Hands events to the caller.
    fn poll_outbox(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.outbox.is_empty() {
            match ready!(self.ends.events.poll_ready_unpin(cx)) {
                Ok(()) => {
                    if let Some(event) = self.outbox.pop_front() {
                        // Cannot fail: it was ready.
                        let _ = self.ends.events.start_send_unpin(event);
                    }
                }
                // The caller does not want events any more.
                Err(_) => self.outbox.clear(),
            }
        }
        Poll::Ready(())
    }

    /// Does one thing. `false`: the end.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match self.ends.commands.poll_next_unpin(cx) {
            Poll::Ready(Some(command)) => {
                self.command(command);
                return Poll::Ready(true);
            }
            // Without handles and listener, nobody can tell the difference.
            Poll::Ready(None) if self.ends.events.is_closed() => return Poll::Ready(false),
            Poll::Ready(None) | Poll::Pending => {}
        }
        // Nobody who keeps one of them busy keeps the others waiting: strangers who connect all the time do not delay what
        // acquaintances say.
        self.turn = (self.turn + 1) % 4;
        for source in 0..4 {
            let more = match (self.turn + source) % 4 {
                0 => self.poll_swarm(cx).map(|()| true),
                1 => self.poll_tasks(cx),
                2 => self.poll_readers(cx).map(|()| true),
                _ => self.poll_signals(cx).map(|()| true),
            };
            if more.is_ready() {
                return more;
            }
        }
        Poll::Pending
    }

    fn poll_swarm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(event) = ready!(self.swarm.poll(cx, Swarm::poll_next_unpin)) {
            self.swarm_event(event);
        }
        Poll::Ready(())
    }

    fn poll_tasks(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        match ready!(self.tasks.poll_next_unpin(cx)) {
            Some(done) => Poll::Ready(self.done(done)),
            // There is none; whoever adds one has another step done.
            None => Poll::Pending,
        }
    }

    fn poll_signals(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let wanted = ready!(self.signals.poll_wanted(cx));
        self.open_signalling(wanted);
        Poll::Ready(())
    }

    fn poll_readers(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(Pin::new(&mut self.readers).poll_next(cx)) {
            Some((source, read)) => {
                self.read(source, read);
                Poll::Ready(())
            }
            None => Poll::Pending,
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Dial(address) => self.dial(address),
            Command::Disconnect(peer) => self.part_from(peer),
            Command::Ban(peer) => self.ban(peer),
            Command::Provide(key) => self.provide(key),
            Command::StopProviding(key) => self.stop_providing(key),
            Command::FindProviders(key) => self.find_providers(key),
            Command::Watch { model, shards } => {
                let behaviour = &mut self.swarm.behaviour_mut().gossip;
                self.gossip.watch(behaviour, model, &shards);
            }
            Command::Publish(heartbeat) => {
                Gossip::publish(&mut self.swarm.behaviour_mut().gossip, &heartbeat);
            }
            Command::Shutdown => self.shut_down(),
        }
    }

    fn done(&mut self, done: Done) -> bool {
        match done {
            Done::Wanted(place) => self.stream_wanted(place),
            Done::Written { place, connection } => self.written(place, connection),
            Done::Reopen(place) => self.reopen(place),
            Done::DialLater(id) => self.dial_later(id),
            Done::DialBeside { peer, addresses } => self.dial_beside(peer, addresses),
            Done::Prune { peer, session } => self.prune(peer, session),
            Done::Upgrade { peer, session } => self.upgrade(peer, session),
            Done::Redial { bootstrap, plan } => self.redial(bootstrap, plan),
            Done::Reserve { bootstrap } => self.reserve(bootstrap),
            Done::Turn { peer, plan } => self.ask_again(peer, plan),
            Done::Watch => self.watch(),
            Done::Refresh { again } => self.planned_refresh(again),
            Done::Announce => self.announce_again(),
            Done::Retry => self.retry_announcements(),
            Done::Leave => return false,
        }
        true
    }

    fn listen(&mut self) {
        for address in self.settings.listen.clone() {
            match self.swarm.listen_on(address.clone()) {
                Ok(id) => {
                    self.listeners.insert(id, address);
                }
                Err(error) => self.emit(Event::ListenFailed {
                    address,
                    reason: error.to_string(),
                }),
            }
        }
        if self.settings.direct
            && let Some(address) = transport::listen_direct()
            && let Err(error) = self.swarm.listen_on(address)
        {
            tracing::warn!(%error, "no direct connections");
        }
        for address in self.settings.external.clone() {
            self.swarm.add_external_address(address.clone());
            self.reachable(address);
        }
    }

    fn dial(&mut self, address: Multiaddr) {
        if self.bootstrap.iter_mut().any(|it| it.takes(&address)) {
            return;
        }
        let to_dial = transport::to_dial(address.clone());
        let options = match transport::peer_of(&address) {
            Some(peer) => DialOpts::peer_id(peer).addresses(vec![to_dial]).build(),
            None => DialOpts::unknown_peer_id().address(to_dial).build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(id, address);
            }
            // Connected, or about to be, as somebody whom the DHT asks.
            Err(libp2p::swarm::DialError::DialPeerConditionFalse(_)) => {
                if let Some(peer) = transport::peer_of(&address) {
                    if self.swarm.is_connected(&peer) {
                        self.acquaint(peer);
                    } else {
                        self.discovery.seek(peer);
                    }
                }
            }
            Err(error) => self.emit(Event::DialFailed {
                address,
                reason: describe(&error),
            }),
        }
    }

    fn ban(&mut self, peer: PeerId) {
        let blocked = &mut self.swarm.behaviour_mut().blocked;
        if !blocked.block_peer(peer) {
            return;
        }
        self.banned.push_back(peer);
        if self.banned.len() > MAX_BANNED
            && let Some(oldest) = self.banned.pop_front()
        {
            blocked.unblock_peer(oldest);
        }
    }

    fn shut_down(&mut self) {
        if self.closing {
            return;
        }
        self.closing = true;
        let connected: Vec<_> = self.swarm.connected_peers().copied().collect();
        tracing::debug!(peers = connected.len(), "taking leave of everybody");
        for peer in connected {
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        self.after(GOODBYE, Done::Leave);
    }

    fn emit(&mut self, event: Event) {
        // What peers say is neither short nor anybody's business.
        let said = matches!(event, Event::Message { .. } | Event::Heartbeat { .. });
        if !said && !matches!(event, Event::RoundTrip { .. }) {
            tracing::debug!(?event);
        }
        self.outbox.push_back(event);
    }

    fn after(&mut self, time: Duration, then: Done) {
        self.tasks.push(Box::pin(async move {
            Delay::new(time).await;
            then
        }));
    }

    fn local(&self) -> PeerId {
        *self.swarm.local_peer_id()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut shared = lock(&self.ends.shared);
        for outgoing in shared.peers.drain().map(|(_, outgoing)| outgoing) {
            outgoing.close();
        }
        shared.listening.clear();
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Many errors of libp2p repeat their cause.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::channel::mpsc;
use libp2p::{Multiaddr, PeerId};
use protocol::{Channel, Heartbeat, Hello, Message};

use crate::{
    Circuits, Config, Connection, Event, Events, Forwarded, Key, Outcomes, Path, Traffic,
    Transport, Usage,
    connection::Link,
    forwarded::Forwarding,
    gate::{Refusals, Refused},
    queue::{self, Queue},
};

/// How many events wait for the caller before the network pauses.
const EVENTS: usize = 1024;

/// Says what should happen. Cheap to clone; nothing here blocks.
#[derive(Clone, Debug)]
pub struct Handle {
    local: PeerId,
    commands: mpsc::UnboundedSender<Command>,
    shared: Arc<Mutex<Shared>>,
}

/// Why a message was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is no connection with this peer.
    #[error("not connected")]
    NotConnected,
    /// Too much waits to be sent to this peer already: it, or the way to it, is slower than what it is asked. Try
    /// another peer, or wait ([`Handle::send_when_possible`]).
    #[error("the peer is too slow for what waits to be sent to it")]
    Busy(Box<Message>),
}

#[derive(Debug)]
pub(crate) enum Command {
    Dial(Multiaddr),
    Disconnect(PeerId),
    Ban(PeerId),
    Provide(Key),
    StopProviding(Key),
    FindProviders(Key),
    Watch { model: Key, shards: BTreeSet<u32> },
    Publish(Box<Heartbeat>),
    Shutdown,
}

/// What handles and driver both see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) hello: Hello,
    pub(crate) peers: HashMap<PeerId, Outgoing>,
    /// What went through connections that are closed.
    pub(crate) past: BTreeMap<(Transport, bool), Traffic>,
    /// What was kept off.
    pub(crate) refusals: Arc<Refusals>,
    /// For whom others on this machine make connections.
    pub(crate) forwarding: Forwarding,
    pub(crate) circuits: Circuits,
    pub(crate) hole_punches: Outcomes,
    pub(crate) probes: Outcomes,
    pub(crate) listening: Vec<Multiaddr>,
    /// Where peers were reached, the latest first.
    pub(crate) known: VecDeque<Multiaddr>,
}

/// The queues towards one connected peer.
#[derive(Clone, Debug)]
pub(crate) struct Outgoing {
    pub(crate) compute: Queue,
    pub(crate) content: Queue,
    /// Messages are exchanged with this peer; with others the DHT only has had to do.
    pub(crate) acquainted: bool,
    /// The peer's connections; the one in use first.
    pub(crate) links: Vec<Link>,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self {
            compute: Queue::new(Channel::Compute),
            content: Queue::new(Channel::Content),
            acquainted: false,
            links: Vec::new(),
        }
    }

    pub(crate) fn close(&self) {
        self.compute.close();
        self.content.close();
    }

    pub(crate) fn queue(&self, channel: Channel) -> &Queue {
        match channel {
            Channel::Compute => &self.compute,
            Channel::Content => &self.content,
        }
    }
}

impl Handle {
    /// Who this node is.
    #[must_use]
    pub fn local_peer(&self) -> PeerId {
        self.local
    }

    /// Where this node can be reached now, relayed addresses included, and those where others have reached it when asked
    /// to; each ends in `/p2p/<our id>`.
    #[must_use]
    pub fn listening(&self) -> Vec<Multiaddr> {
        lock(&self.shared).listening.clone()
    }

    /// Where peers were reached that were dialled, the latest first, and then where others say that they listen; at most
    /// 64 addresses, each of another peer and ending in its `/p2p/<id>`. Store them now and then, and give them to [`Config::remembered`] next time: then the
    /// node finds the network again when every bootstrap node is down.
    #[must_use]
    pub fn known(&self) -> Vec<Multiaddr> {
        lock(&self.shared).known.iter().cloned().collect()
    }

    /// The connections with a peer, the one in use first. Normally one; for a moment two, when a better one has come
    /// about; none when the peer is not connected.
    #[must_use]
    pub fn paths(&self, peer: PeerId) -> Vec<Path> {
        let shared = lock(&self.shared);
        shared
            .peers
            .get(&peer)
            .map(|it| it.links.iter().map(|link| link.path.clone()).collect())
            .unwrap_or_default()
    }

    /// All connections, in the order of their peers' names; of one peer, the one in use first.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        let shared = lock(&self.shared);
        let mut connections: Vec<_> = shared
            .peers
            .iter()
            .flat_map(|(peer, outgoing)| {
                let links = outgoing.links.iter().enumerate();
                links.map(|(place, link)| {
                    let usage = match (outgoing.acquainted, place) {
                        (false, _) => Usage::Contact,
                        (true, 0) => Usage::Messages,
                        (true, _) => Usage::Replaced,
                    };
                    link.describe(*peer, usage)
                })
            })
            .collect();
        connections.sort_by_key(|it| (it.peer, it.usage));
        connections
    }

    /// What has gone through connections since the start, by what carries them and whether they are relayed.
    #[must_use]
    pub fn traffic(&self) -> BTreeMap<(Transport, bool), Traffic> {
        let shared = lock(&self.shared);
        let mut traffic = shared.past.clone();
        for link in shared.peers.values().flat_map(|it| &it.links) {
            let kind = (link.path.transport(), link.path.relayed);
            traffic.entry(kind).or_default().add(&link.counters);
        }
        traffic
    }

    /// What was kept off since the start.
    #[must_use]
    pub fn refused(&self) -> Refused {
        lock(&self.shared).refusals.count()
    }

    /// A web server in front of this node has refused a connection because it had too many: counted with those that the node
    /// itself refuses.
    pub fn count_refused(&self) {
        lock(&self.shared).refusals.count_connection();
    }

    /// Connections of others that go through this node, where it is a relay.
    #[must_use]
    pub fn circuits(&self) -> Circuits {
        lock(&self.shared).circuits
    }

    /// How often this node dialled another one while that one dialled it, each behind a router (DCUtR), and whether that
    /// connection came about, since the start.
    #[must_use]
    pub fn hole_punches(&self) -> Outcomes {
        lock(&self.shared).hole_punches
    }

    /// How often others were asked to dial this node at an address by which it is seen (AutoNAT), and reached it there,
    /// since the start.
    #[must_use]
    pub fn probes(&self) -> Outcomes {
        lock(&self.shared).probes
    }

    /// A web server on this machine will connect to this node from that address of its own, for a client of its own:
    /// the connection counts as that client's ([`crate::ConnectionLimits`]) if it is begun while what this returns
    /// exists. Call it before connecting, and keep what it returns as long as the socket; clients that are on this machine
    /// themselves are counted as if they had connected without help.
    pub fn forward(&self, from: SocketAddr, client: IpAddr) -> Forwarded {
        lock(&self.shared).forwarding.add(from, client)
    }

    /// What peers are told first, from the next stream on. Tell those that are connected with
    /// [`protocol::HoldingsChanged`], *after* calling this: then nobody misses the change.
    pub fn set_hello(&self, hello: Hello) {
        lock(&self.shared).hello = hello;
    }

    /// Queues a message for a connected peer. That it is delivered is not certain: answers are what counts.
    ///
    /// # Errors
    /// If the peer is not connected, or its queue is full.
    pub fn send(&self, peer: PeerId, message: Message) -> Result<(), SendError> {
        self.queue(peer, &message)?
            .push(message)
            .map_err(SendError::from)
    }

    /// Like [`Handle::send`], but waits for room in the queue.
    ///
    /// # Errors
    /// If the peer is not connected, or leaves meanwhile.
    pub async fn send_when_possible(
        &self,
        peer: PeerId,
        message: Message,
    ) -> Result<(), SendError> {
        let queue = self.queue(peer, &message)?;
        let mut message = Some(message);
        poll_fn(|cx| queue.poll_push(&mut message, cx))
            .await
            .map_err(SendError::from)
    }

    /// Connects to a node by its address, once. Answered by [`Event::Connected`] or [`Event::DialFailed`]; not at all if
    /// it is connected already.
    pub fn dial(&self, address: Multiaddr) {
        self.command(Command::Dial(address));
    }

    /// Closes all connections with a peer. It may come back.
    pub fn disconnect(&self, peer: PeerId) {
        self.command(Command::Disconnect(peer));
    }

    /// Closes all connections with a peer and refuses new ones as long as this node runs.
    pub fn ban(&self, peer: PeerId) {
        self.command(Command::Ban(peer));
    }

    /// Announces in the DHT that this node serves `key`, and keeps announcing it.
    pub fn provide(&self, key: Key) {
        self.command(Command::Provide(key));
    }

    /// Announces it no longer. What others have noted expires within minutes.
    pub fn stop_providing(&self, key: Key) {
        self.command(Command::StopProviding(key));
    }

    /// Looks for nodes that serve `key` and connects to them. Answered by [`Event::ProvidersFound`]. Call it now and
    /// then: nodes come and go.
    pub fn find_providers(&self, key: Key) {
        self.command(Command::FindProviders(key));
    }

    /// Takes part, from now on, in spreading the heartbeats of these shards of a model, and of no others; each is an
    /// [`Event::Heartbeat`].
    pub fn watch(&self, model: Key, shards: BTreeSet<u32>) {
        self.command(Command::Watch { model, shards });
    }

    /// Spreads a heartbeat, signed, among all who watch its shard. Whether anybody hears it is not certain.
    pub fn publish(&self, heartbeat: Heartbeat) {
        self.command(Command::Publish(Box::new(heartbeat)));
    }

    /// Says goodbye: closes all connections, then the driver and the [`Events`] end. In a browser, call it on
    /// `pagehide`, otherwise peers notice only after a time-out.
    pub fn shutdown(&self) {
        self.command(Command::Shutdown);
    }

    fn queue(&self, peer: PeerId, message: &Message) -> Result<Queue, SendError> {
        let shared = lock(&self.shared);
        let outgoing = shared
            .peers
            .get(&peer)
            .filter(|it| it.acquainted)
            .ok_or(SendError::NotConnected)?;
        Ok(outgoing.queue(message.channel()).clone())
    }

    /// Unbounded, but only this node itself gives commands, and the driver takes all of them each time it runs.
    fn command(&self, command: Command) {
        // Fails only when the driver has ended; then there is nothing left to command.
        let _ = self.commands.unbounded_send(command);
    }
}

impl From<queue::Refused> for SendError {
    fn from(refused: queue::Refused) -> Self {
        match refused {
            queue::Refused::Full(message) => Self::Busy(message),
            queue::Refused::Closed => Self::NotConnected,
        }
    }
}

pub(crate) fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    // No code that can panic runs under the lock.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The driver's ends of what [`Handle`] and [`Events`] hold.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) shared: Arc<Mutex<Shared>>,
}

pub(crate) fn connect(config: &Config) -> (Handle, Events, Ends) {
    let shared = Arc::new(Mutex::new(Shared {
        hello: config.hello.clone(),
        peers: HashMap::new(),
        past: BTreeMap::new(),
        refusals: Arc::default(),
        forwarding: Forwarding::default(),
        circuits: Circuits::default(),
        hole_punches: Outcomes::default(),
        probes: Outcomes::default(),
        listening: Vec::new(),
        known: VecDeque::new(),
    }));
    #[expect(
        clippy::disallowed_methods,
        reason = "only this node itself gives commands, and none may be lost"
    )]
    let (commands, commands_end) = mpsc::unbounded();
    let (events_end, events) = mpsc::channel(EVENTS);
    let handle = Handle {
        local: config.identity.peer_id(),
        commands,
        shared: Arc::clone(&shared),
    };
    (
        handle,
        Events(events),
        Ends {
            commands: commands_end,
            events: events_end,
            shared,
        },
    )
}

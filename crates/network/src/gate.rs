//! Who may connect: so many at a time altogether, from one address, and with one peer.
//!
//! libp2p's own limits know no addresses, so that one stranger who begins connections and leaves them there keeps
//! everybody else out; and they remember every peer that was ever connected.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use crate::{
    forwarded::Forwarding,
    origin::{Origin, Origins},
};

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Altogether; an eighth of them is left for those that this node makes, so that strangers cannot keep it from
    /// connecting, and half of them for those that come through no relay.
    pub established: u32,
    /// That others have begun and that are not encrypted yet, altogether.
    pub pending: u32,
    /// The same, from one address. An address is one of IPv4, or a network of IPv6 as one customer gets it (`/64`).
    pub pending_per_address: u32,
    /// That others have made, from one address: a whole school may be behind it.
    pub established_per_address: u32,
    /// With one peer: two while a relayed connection is replaced, four when both sides dial at once. As many come through
    /// a relay from one of its clients, whatever names that one gives itself here.
    pub per_peer: u32,
    /// Whether those of this machine are counted by their address, too. A web server in front, which forwards those of
    /// others, is on this machine: one that does not say for whom ([`crate::Handle::forward`]) has to limit by itself.
    pub count_loopback: bool,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            established: if cfg!(target_arch = "wasm32") {
                256
            } else {
                4096
            },
            pending: 256,
            pending_per_address: 32,
            established_per_address: 512,
            per_peer: 4,
            count_loopback: false,
        }
    }
}

/// What this node has kept off since its start.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    connections: AtomicU64,
    handshakes: AtomicU64,
    stalled: AtomicU64,
}

/// What a node has kept off since its start ([`crate::Handle::refused`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Connections that others began while there were too many ([`crate::Config::limits`]).
    pub connections: u64,
    /// Connections that others began and that came to nothing: no encryption was agreed on, the secret of a private
    /// swarm was not known, or it took too long.
    pub handshakes: u64,
    /// Peers that were disconnected because they did not go on with what they had begun.
    pub stalled: u64,
}

impl Refusals {
    pub(crate) fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_stalled(&self) {
        self.stalled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> Refused {
        Refused {
            connections: self.connections.load(Ordering::Relaxed),
            handshakes: self.handshakes.load(Ordering::Relaxed),
            stalled: self.stalled.load(Ordering::Relaxed),
        }
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Full {
    Established,
    Pending,
    PendingFromAddress,
    EstablishedFromAddress,
    ThroughRelays,
    FromRelayed,
    WithPeer,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Established => "too many connections",
            Self::Pending => "too many connections have been begun",
            Self::PendingFromAddress => "too many connections have been begun from this address",
            Self::EstablishedFromAddress => "too many connections from this address",
            Self::ThroughRelays => "too many connections through relays",
            Self::FromRelayed => "too many connections from this client of the relay",
            Self::WithPeer => "too many connections with this peer",
        })
    }
}

impl std::error::Error for Full {}

/// How often each key is there; forgets those that are not.
#[derive(Debug)]
struct Counts<K>(HashMap<K, u32>);

impl<K: Eq + Hash> Counts<K> {
    fn of(&self, key: &K) -> u32 {
        self.0.get(key).copied().unwrap_or(0)
    }

    fn add(&mut self, key: K) {
        *self.0.entry(key).or_default() += 1;
    }

    fn remove(&mut self, key: &K) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }
}

/// The behaviour that refuses. It needs no handler and says nothing.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: ConnectionLimits,
    /// Begun by others, with what they are counted by: as long as a connection is there, by the same.
    pending: HashMap<ConnectionId, Option<Origin>>,
    /// All that stand, with whom, and where those come from that others have made.
    established: HashMap<ConnectionId, (PeerId, Option<Origin>)>,
    pending_from: Counts<Origin>,
    established_from: Counts<Origin>,
    /// Those that stand and came through relays.
    relayed: u32,
    with: Counts<PeerId>,
    refusals: Arc<Refusals>,
    origins: Origins,
}

impl Gate {
    pub(crate) fn new(
        limits: ConnectionLimits,
        refusals: Arc<Refusals>,
        forwarding: Forwarding,
    ) -> Self {
        Self {
            limits,
            pending: HashMap::new(),
            established: HashMap::new(),
            pending_from: Counts(HashMap::new()),
            established_from: Counts(HashMap::new()),
            relayed: 0,
            with: Counts(HashMap::new()),
            refusals,
            origins: Origins {
                count_loopback: limits.count_loopback,
                forwarding,
            },
        }
    }

    /// What it counts by.
    pub(crate) fn origins(&self) -> &Origins {
        &self.origins
    }

    fn refuse(&self, why: Full) -> ConnectionDenied {
        self.refusals.count_connection();
        ConnectionDenied::new(why)
    }

    /// Gives what it was counted by.
    fn not_pending(&mut self, id: ConnectionId) -> Option<Origin> {
        let origin = self.pending.remove(&id).flatten()?;
        self.pending_from.remove(&origin);
        Some(origin)
    }

    /// Whether another connection with a peer may stand, besides so many that are left for others.
    fn room(&self, peer: &PeerId, left: u32) -> Result<(), Full> {
        if self.with.of(peer) >= self.limits.per_peer {
            return Err(Full::WithPeer);
        }
        // Bounded by the limit.
        if self.established.len() as u32 + left >= self.limits.established {
            return Err(Full::Established);
        }
        Ok(())
    }

    /// Whether another connection from there may stand.
    fn room_from(&self, origin: &Origin) -> Result<(), Full> {
        let stand = self.established_from.of(origin);
        match origin {
            Origin::Address(_) if stand >= self.limits.established_per_address => {
                Err(Full::EstablishedFromAddress)
            }
            Origin::Relayed(_) if stand >= self.limits.per_peer => Err(Full::FromRelayed),
            Origin::Relayed(_) if self.relayed >= self.limits.established.div_ceil(2) => {
                Err(Full::ThroughRelays)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, id: ConnectionId, from: &Multiaddr) -> Result<(), Full> {
        let origin = self.origins.of(from);
        if let Some(origin) = &origin {
            let begun = self.pending_from.of(origin);
            match origin {
                Origin::Address(_) if begun >= self.limits.pending_per_address => {
                    return Err(Full::PendingFromAddress);
                }
                Origin::Relayed(_) if begun >= self.limits.per_peer => {
                    return Err(Full::FromRelayed);
                }
                _ => {}
            }
            // Before anything is spent on encryption.
            self.room_from(origin)?;
        }
        if self.pending.len() as u32 >= self.limits.pending {
            return Err(Full::Pending);
        }
        self.pending.insert(id, origin);
        if let Some(origin) = origin {
            self.pending_from.add(origin);
        }
        Ok(())
    }

    /// It is pending until it stands, or until libp2p says that it does not.
    fn admit(&self, id: ConnectionId, peer: &PeerId) -> Result<(), Full> {
        if let Some(Some(origin)) = self.pending.get(&id) {
            self.room_from(origin)?;
        }
        self.room(peer, self.limits.established / 8)
    }

    fn stands(&mut self, id: ConnectionId, peer: PeerId) {
        // None of those that this node has made itself.
        let origin = self.not_pending(id);
        self.established.insert(id, (peer, origin));
        self.with.add(peer);
        if let Some(origin) = origin {
            self.relayed += u32::from(matches!(origin, Origin::Relayed(_)));
            self.established_from.add(origin);
        }
    }

    fn closed(&mut self, id: ConnectionId) {
        if let Some((peer, origin)) = self.established.remove(&id) {
            self.with.remove(&peer);
            if let Some(origin) = origin {
                self.relayed -= u32::from(matches!(origin, Origin::Relayed(_)));
                self.established_from.remove(&origin);
            }
        }
    }
}

impl NetworkBehaviour for Gate {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        from: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.begin(id, from).map_err(|why| self.refuse(why))
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(id, &peer).map_err(|why| self.refuse(why))?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.room(&peer, 0).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(new) => self.stands(new.connection_id, new.peer_id),
            FromSwarm::ConnectionClosed(gone) => self.closed(gone.connection_id),
            FromSwarm::ListenFailure(failed) => {
                self.not_pending(failed.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use libp2p::multiaddr::Protocol;

    use super::*;

    fn gate(change: impl FnOnce(&mut ConnectionLimits)) -> Gate {
        let mut limits = ConnectionLimits::default();
        change(&mut limits);
        Gate::new(limits, Arc::default(), Forwarding::default())
    }

    fn from(ip: &str, port: u16) -> Multiaddr {
        let kind = if ip.contains(':') { "ip6" } else { "ip4" };
        format!("/{kind}/{ip}/tcp/{port}").parse().unwrap()
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    /// Nothing is left of what is over.
    fn is_empty(gate: &Gate) -> bool {
        let counts = gate.pending_from.0.len() + gate.established_from.0.len() + gate.with.0.len();
        gate.pending.is_empty() && gate.established.is_empty() && counts == 0 && gate.relayed == 0
    }

    #[test]
    fn who_begins_too_much_keeps_nobody_else_out() {
        let mut gate = gate(|limits| limits.pending_per_address = 3);
        let begun = (0..100).filter(|port| {
            gate.begin(id(*port), &from("9.9.9.9", *port as u16))
                .is_ok()
        });
        assert_eq!(begun.count(), 3);
        assert_eq!(gate.begin(id(200), &from("9.9.9.8", 1)), Ok(()));
        // One fails, another may come.
        gate.not_pending(id(0));
        assert_eq!(gate.begin(id(201), &from("9.9.9.9", 1)), Ok(()));
        for number in 0..300 {
            gate.not_pending(id(number));
        }
        assert!(is_empty(&gate));
    }

    #[test]
    fn connections_that_stand_are_counted_by_peer_by_address_and_altogether() {
        let mut gate = gate(|limits| {
            limits.established = 6;
            limits.established_per_address = 4;
            limits.per_peer = 2;
        });
        let peers: Vec<_> = (0..8).map(|_| PeerId::random()).collect();
        let mut come = |number: usize, peer: PeerId, ip: &str| {
            gate.begin(id(number), &from(ip, number as u16))?;
            gate.admit(id(number), &peer)?;
            gate.stands(id(number), peer);
            Ok(())
        };
        assert_eq!(come(1, peers[0], "9.9.9.9"), Ok(()));
        assert_eq!(come(2, peers[0], "9.9.9.9"), Ok(()));
        assert_eq!(come(3, peers[0], "9.9.9.9"), Err(Full::WithPeer));
        assert_eq!(come(4, peers[1], "9.9.9.9"), Ok(()));
        assert_eq!(come(5, peers[2], "9.9.9.9"), Ok(()));
        assert_eq!(
            come(6, peers[3], "9.9.9.9"),
            Err(Full::EstablishedFromAddress)
        );
        assert_eq!(come(7, peers[3], "9.9.9.8"), Ok(()));
        assert_eq!(come(8, peers[4], "9.9.9.7"), Ok(()));
        assert_eq!(come(9, peers[5], "9.9.9.6"), Err(Full::Established));
        for number in 0..10 {
            gate.not_pending(id(number));
            gate.closed(id(number));
        }
        assert!(is_empty(&gate));
    }

    #[test]
    fn clients_of_relays_with_many_names_leave_room_for_others() {
        let mut gate = gate(|limits| {
            limits.established = 16;
            limits.per_peer = 2;
        });
        let mut come = |number: usize, client: PeerId| {
            let from = Multiaddr::from(Protocol::P2p(client));
            gate.begin(id(number), &from)?;
            let (name, stands) = (PeerId::random(), id(number));
            let admitted = gate.admit(stands, &name);
            if admitted.is_ok() {
                gate.stands(stands, name);
            } else {
                gate.not_pending(stands);
            }
            admitted
        };
        let greedy = PeerId::random();
        assert_eq!((come(0, greedy), come(1, greedy)), (Ok(()), Ok(())));
        assert_eq!(come(2, greedy), Err(Full::FromRelayed));
        for number in 3..9 {
            assert_eq!(come(number, PeerId::random()), Ok(()));
        }
        assert_eq!(come(9, PeerId::random()), Err(Full::ThroughRelays));
        for number in 10..16 {
            gate.begin(id(number), &from("9.9.9.9", 1)).unwrap();
            assert_eq!(gate.admit(id(number), &PeerId::random()), Ok(()));
            gate.stands(id(number), PeerId::random());
        }
        gate.begin(id(16), &from("9.9.9.8", 1)).unwrap();
        let full = gate.admit(id(16), &PeerId::random());
        assert_eq!(full, Err(Full::Established));
        assert_eq!(gate.room(&PeerId::random(), 0), Ok(()), "no room to dial");
        for number in 0..20 {
            gate.not_pending(id(number));
            gate.closed(id(number));
        }
        assert!(is_empty(&gate));
    }

    #[test]
    fn what_a_web_server_forwards_counts_as_its_clients() {
        let mut gate = gate(|limits| {
            limits.pending_per_address = 2;
            limits.established_per_address = 3;
        });
        let forwarding = gate.origins.forwarding.clone();
        let for_client = |port: u16, client: &str| {
            forwarding.add(([127, 0, 0, 1], port).into(), client.parse().unwrap())
        };
        let websocket = |port| from("127.0.0.1", port).with(Protocol::Ws("/".into()));
        let begin = |gate: &mut Gate, port: u16| gate.begin(id(port.into()), &websocket(port));

        let stranger: Vec<_> = (1..=3).map(|port| for_client(port, "9.9.9.9")).collect();
        assert_eq!(begin(&mut gate, 1), Ok(()));
        assert_eq!(begin(&mut gate, 2), Ok(()));
        assert_eq!(begin(&mut gate, 3), Err(Full::PendingFromAddress));
        // Whoever connects without the web server in front has the same address.
        let direct = gate.begin(id(4), &from("9.9.9.9", 3));
        assert_eq!(direct, Err(Full::PendingFromAddress));
        let _other = for_client(5, "::ffff:9.9.9.8");
        assert_eq!(begin(&mut gate, 5), Ok(()));
        let client = Origin::Address([9, 9, 9, 8].into());
        assert_eq!(gate.pending_from.of(&client), 1);
        // Another web server in front of that one, or none that says for whom.
        let _local = for_client(6, "127.0.0.1");
        for port in 6..=9 {
            assert_eq!(begin(&mut gate, port), Ok(()));
        }

        // Counted to the end, even if the web server's end is gone before.
        drop(stranger);
        let peer = PeerId::random();
        for port in [1, 2] {
            assert_eq!(gate.admit(id(port), &peer), Ok(()));
            gate.stands(id(port), peer);
        }
        let _again: Vec<_> = [11, 12, 13].map(|port| for_client(port, "9.9.9.9")).into();
        assert_eq!(begin(&mut gate, 11), Ok(()));
        assert_eq!(begin(&mut gate, 12), Ok(()));
        assert_eq!(gate.admit(id(11), &peer), Ok(()));
        gate.stands(id(11), peer);
        let too_many = gate.admit(id(12), &peer);
        assert_eq!(too_many, Err(Full::EstablishedFromAddress));
        assert_eq!(begin(&mut gate, 13), Err(Full::EstablishedFromAddress));
        for number in 0..20 {
            gate.not_pending(id(number));
            gate.closed(id(number));
        }
        assert!(is_empty(&gate));
    }
}

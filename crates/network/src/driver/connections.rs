//! Peers come and go; of several connections with one peer, one is kept.

use std::time::Duration;

use libp2p::{
    PeerId,
    core::{ConnectedPoint, Endpoint},
    multiaddr::Protocol,
    swarm::ConnectionId,
};
use web_time::Instant;

use super::{
    Done, Driver,
    peer::{Connection, Peer},
};
use crate::{Event, Path, handle::lock, transport};

/// How often connections that are replaced are looked at, and how often before they are closed in any case.
const PRUNE_INTERVAL: Duration = Duration::from_secs(1);
const PRUNE_ROUNDS: u32 = 15;

/// Who parts so soon has no room for us, or no use: it is left alone for a while.
const BRIEF: Duration = Duration::from_secs(3);

impl Driver {
    pub(super) fn connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let dialled = self.dials.remove(&id).is_some();
        if self.peers.is_empty() {
            // What could not be reached before says nothing of those who are there.
            self.discovery.is_back();
            self.routing.is_back();
        }
        let entry = self.bootstrap_connected(peer, id);
        let sought = self.discovery.connected(id, peer);
        self.note_known(peer, endpoint);
        let path = path(endpoint, peer);
        // Of two that dial each other at the same time, one takes the part of the listener.
        let dialler_here = matches!(
            endpoint,
            ConnectedPoint::Dialer {
                role_override: Endpoint::Dialer,
                ..
            }
        );
        let (dialler, other) = if dialler_here {
            (self.local(), peer)
        } else {
            (peer, self.local())
        };
        let connection = Connection::new(id, path.clone(), dialler, other);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.connections.push(connection);
            known.upgrading.take_if(|attempt| *attempt == id);
            self.settle(peer);
        } else {
            self.sessions += 1;
            let mut new = Peer::new(self.sessions, connection);
            new.outgoing.links = new.links();
            lock(&self.ends.shared)
                .peers
                .insert(peer, new.outgoing.clone());
            self.peers.insert(peer, new);
        }
        if dialled || entry || sought {
            self.acquaint(peer);
        }
    }

    /// From now on messages are exchanged with this peer. Until then it is a contact: someone whom the DHT has asked
    /// something, or who asked us. Contacts come and go by the hundred, and nobody needs to hear of them.
    pub(super) fn acquaint(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        if std::mem::replace(&mut known.outgoing.acquainted, true) {
            return;
        }
        let session = known.session;
        let preferred = known.preferred;
        let connection = known.connection(preferred);
        let found = connection.map(|it| (it.path.clone(), it.counters.measured()));
        if let Some(shared) = lock(&self.ends.shared).peers.get_mut(&peer) {
            shared.acquainted = true;
        }
        // A peer is never without a connection.
        let Some((path, round_trip)) = found else {
            return;
        };
        self.emit(Event::Connected { peer, path });
        // Of a contact it may have been measured already.
        if let Some(time) = round_trip {
            self.emit(Event::RoundTrip { peer, time });
        }
        self.start_writers(peer);
        self.settle(peer);
        self.upgrade(peer, session);
    }

    pub(super) fn disconnected(&mut self, peer: PeerId, id: ConnectionId) {
        self.close_readers(peer, id);
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let gone = known.connections.extract_if(.., |it| it.id == id);
        for connection in gone {
            let kind = (connection.path.transport(), connection.path.relayed);
            let mut shared = lock(&self.ends.shared);
            shared
                .past
                .entry(kind)
                .or_default()
                .add(&connection.counters);
        }
        if !known.connections.is_empty() {
            return self.settle(peer);
        }
        known.outgoing.close();
        let (acquainted, brief) = (known.outgoing.acquainted, known.since.elapsed() < BRIEF);
        self.peers.remove(&peer);
        let store = self.swarm.behaviour_mut().kad.store_mut();
        store.left(&peer, Instant::now());
        lock(&self.ends.shared).peers.remove(&peer);
        if acquainted {
            if brief {
                self.discovery.leave_alone(peer);
            }
            self.emit(Event::Disconnected { peer });
        }
        self.bootstrap_disconnected(peer);
    }

    /// The connections with a peer have changed: moves to the best one.
    fn settle(&mut self, peer: PeerId) {
        let lower = self.local() < peer;
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let acquainted = known.outgoing.acquainted;
        let news = known.choose();
        known.stop_writers_elsewhere();
        let links = known.links();
        // Both sides move their streams; one of them closes what is left. Not so with contacts: the DHT's requests would
        // be lost that go this way, and it would wait for their answers. Theirs are closed when they are idle.
        let prune = lower && acquainted && known.connections.len() > 1 && !known.pruning;
        if prune {
            known.pruning = true;
            known.prune_rounds = 0;
            let session = known.session;
            self.after(PRUNE_INTERVAL, Done::Prune { peer, session });
        }
        if let Some(shared) = lock(&self.ends.shared).peers.get_mut(&peer) {
            shared.links = links;
        }
        if let Some(path) = news
            && acquainted
        {
            self.emit(Event::PathChanged { peer, path });
        }
    }

    pub(super) fn prune(&mut self, peer: PeerId, session: u64) {
        let Some(known) = self.peers.get_mut(&peer).filter(|it| it.session == session) else {
            return;
        };
        known.prune_rounds += 1;
        let patient = known.prune_rounds < PRUNE_ROUNDS;
        let preferred = known.preferred;
        let spare: Vec<_> = known
            .connections
            .iter()
            .map(|it| it.id)
            .filter(|id| *id != preferred)
            .collect();
        let spare: Vec<_> = spare
            .into_iter()
            .filter(|id| {
                let relayed = known.connection(*id).is_some_and(|it| it.path.relayed);
                // The DHT may use a direct one, too.
                !patient || (relayed && !known.is_in_use(*id))
            })
            .collect();
        known.pruning = known.connections.len() > 1;
        if known.pruning {
            self.after(PRUNE_INTERVAL, Done::Prune { peer, session });
        }
        for id in spare {
            tracing::debug!(%peer, %id, "closing a connection that was replaced");
            self.close(peer, id);
        }
    }

    /// Closes a connection, which may take a while; others are used meanwhile.
    fn close(&mut self, peer: PeerId, id: ConnectionId) {
        if let Some(connection) = self.peers.get_mut(&peer).and_then(|it| it.connection(id)) {
            connection.closing = true;
        }
        self.swarm.close_connection(id);
        self.settle(peer);
    }

    /// Closes all connections with a peer. Should it come back before they have closed, the new one is used.
    pub(super) fn part_from(&mut self, peer: PeerId) {
        if let Some(known) = self.peers.get_mut(&peer) {
            known
                .connections
                .iter_mut()
                .for_each(|it| it.closing = true);
        }
        // The error says that there is no connection, which is what is wanted.
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    pub(super) fn pinged(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        result: Result<Duration, libp2p::ping::Failure>,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let acquainted = known.outgoing.acquainted;
        let Some(connection) = known.connection(id) else {
            return;
        };
        match result {
            Ok(time) => {
                connection.silence.answered();
                connection.counters.round_trip(time);
                if acquainted {
                    self.emit(Event::RoundTrip { peer, time });
                }
            }
            Err(libp2p::ping::Failure::Unsupported) => {}
            Err(_) => {
                // What carries the connection may know better, but not of who is behind a relay.
                let path = &connection.path;
                if !path.relayed && path.transport().notices_silence() {
                    return;
                }
                let moved = connection.counters.moved();
                if connection.silence.not_answered(moved) {
                    tracing::debug!(%peer, %id, "pings are not answered");
                    self.close(peer, id);
                }
            }
        }
    }
}

/// How the peer at the other end is reached.
fn path(endpoint: &ConnectedPoint, peer: PeerId) -> Path {
    let address = match endpoint {
        // Of one who came through a relay, libp2p knows the name only; the relay is where we listened.
        ConnectedPoint::Listener { local_addr, .. } if transport::is_relayed(local_addr) => {
            local_addr
                .iter()
                .take_while(|part| *part != Protocol::P2pCircuit)
                .chain([Protocol::P2pCircuit])
                .collect()
        }
        other => other.get_remote_address().clone(),
    };
    Path {
        relayed: transport::is_relayed(&address),
        address: transport::with_peer(address, peer),
    }
}

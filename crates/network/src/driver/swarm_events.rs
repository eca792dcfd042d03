//! What libp2p reports, sorted.

use libp2p::{
    Multiaddr, PeerId, gossipsub, identify,
    multiaddr::Protocol,
    relay,
    swarm::{ConnectionId, DialError, ListenError, SwarmEvent},
};

use super::{Driver, describe};
use crate::{
    Event,
    behaviour::BehaviourEvent,
    handle::lock,
    observed,
    transport::{self, MAX_ADDRESSES, is_relayed, with_peer},
};

/// Whoever lies about the addresses by which it sees us does not make us announce more than so many.
const MAX_LISTENING: usize = 64;

impl Driver {
    pub(super) fn swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.behaviour_event(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            } => {
                self.connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                tracing::debug!(%peer_id, %connection_id, ?cause, "connection closed");
                self.disconnected(peer_id, connection_id);
                self.reopen_lost(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                if let Some(peer) = peer_id {
                    self.routing_failed(peer, &error);
                }
                self.dial_failed(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                // Those that were refused are counted where they were.
                if !matches!(error, ListenError::Denied { .. }) {
                    lock(&self.ends.shared).refusals.count_handshake();
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => self.listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.not_listening(&address),
            SwarmEvent::ListenerClosed {
                listener_id,
                addresses,
                reason,
            } => {
                addresses
                    .iter()
                    .for_each(|address| self.not_listening(address));
                let reason = reason.err();
                if self.reservation_lost(listener_id, reason.as_ref()) {
                    return;
                }
                if let Some(address) = self.listeners.remove(&listener_id) {
                    let reason =
                        reason.map_or_else(|| "closed".to_owned(), |error| describe(&error));
                    self.emit(Event::ListenFailed { address, reason });
                }
            }
            SwarmEvent::ListenerError { error, .. } => tracing::debug!(%error, "listener"),
            SwarmEvent::ExternalAddrConfirmed { address } => {
                tracing::debug!(%address, "reachable");
                self.confirmed(address);
                self.plan_announcements();
            }
            SwarmEvent::NewExternalAddrCandidate { address } => {
                if !is_relayed(&address) {
                    self.seen_elsewhere(&address);
                }
            }
            other => tracing::trace!(?other),
        }
    }

    fn behaviour_event(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Streams(event) => self.stream_event(event),
            BehaviourEvent::Kad(event) => self.kad_event(event),
            BehaviourEvent::Gossip(gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            }) => {
                let (acceptance, heard) = self.gossip.read(&message);
                let gossip = &mut self.swarm.behaviour_mut().gossip;
                gossip.0.report_message_validation_result(
                    &message_id,
                    &propagation_source,
                    acceptance,
                );
                if let Some((peer, heartbeat)) = heard {
                    self.emit(Event::Heartbeat { peer, heartbeat });
                }
            }
            BehaviourEvent::Turn(event) => self.turn_event(event),
            BehaviourEvent::RelayServer(event) => {
                tracing::trace!(?event);
                lock(&self.ends.shared).circuits.count(&event);
            }
            #[cfg(not(target_arch = "wasm32"))]
            BehaviourEvent::Probing(event) => {
                tracing::debug!(?event);
                lock(&self.ends.shared).probes.count(&event.result);
            }
            #[cfg(not(target_arch = "wasm32"))]
            BehaviourEvent::Punching(event) => {
                tracing::debug!(?event);
                lock(&self.ends.shared).hole_punches.count(&event.result);
            }
            BehaviourEvent::Ping(event) => self.pinged(event.peer, event.connection, event.result),
            BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                connection_id,
                info,
            }) => self.identified(peer_id, connection_id, &info),
            BehaviourEvent::RelayClient(relay::client::Event::ReservationReqAccepted {
                relay_peer_id,
                ..
            }) => {
                self.reservation_granted(relay_peer_id);
            }
            other => tracing::trace!(?other),
        }
    }

    fn identified(&mut self, peer: PeerId, connection: ConnectionId, info: &identify::Info) {
        if info.protocols.contains(&crate::behaviour::KAD) {
            let usable = info
                .listen_addrs
                .iter()
                .filter(|it| transport::is_dialable(it));
            self.route(peer, usable.take(MAX_ADDRESSES).cloned());
            self.note_listener(peer, info);
        }
        let listens = info.listen_addrs.iter();
        let listens = listens.filter(|it| transport::is_dialable(it));
        let store = self.swarm.behaviour_mut().kad.store_mut();
        store.listens(peer, listens.take(MAX_ADDRESSES).cloned());
        self.observed_by(peer, connection, &info.observed_addr);
        self.bootstrap_identified(peer, connection, info);
        self.upgrade_identified(peer, info);
    }

    /// A peer sees this node by that address; through a relay it would see the relay's.
    fn observed_by(&mut self, peer: PeerId, connection: ConnectionId, address: &Multiaddr) {
        let connections = self.peers.get(&peer).map(|it| &it.connections);
        let connection = connections.and_then(|all| all.iter().find(|it| it.id == connection));
        if connection.is_none_or(|it| it.path.relayed) {
            return;
        }
        if let Some(ip) = self.observed.note(peer, address) {
            let is_here =
                |address: &Multiaddr| !is_relayed(address) && observed::ip(address) == Some(ip);
            let dialled = self.swarm.external_addresses().any(is_here);
            self.emit(Event::Observed { ip, dialled });
        }
    }

    fn dial_failed(&mut self, id: ConnectionId, error: &DialError) {
        tracing::debug!(%id, error = describe(error), "dial failed");
        if let Some(address) = self.dials.remove(&id) {
            self.emit(Event::DialFailed {
                address,
                reason: describe(error),
            });
        } else if !self.bootstrap_dial_failed(id, error) && !self.provider_dial_failed(id) {
            self.upgrade_failed(id);
        }
    }

    fn listening(&mut self, address: Multiaddr) {
        // The relay client announces its addresses itself, once the relay has agreed.
        if !is_relayed(&address) && self.is_announced(&address) {
            self.swarm.add_external_address(address.clone());
        }
        self.reachable(address);
    }

    /// Somebody has reached us here, or says so.
    fn confirmed(&mut self, address: Multiaddr) {
        // A relay's is one that is listened on.
        if is_relayed(&address) {
            return;
        }
        let known = lock(&self.ends.shared).listening.len();
        if known < MAX_LISTENING {
            self.reachable(address);
        } else {
            self.swarm.remove_external_address(&address);
        }
    }

    /// Others can reach us here.
    pub(super) fn reachable(&mut self, address: Multiaddr) {
        let address = with_peer(address, self.local());
        {
            let listening = &mut lock(&self.ends.shared).listening;
            if listening.contains(&address) {
                return;
            }
            listening.push(address.clone());
        }
        self.emit(Event::Listening { address });
    }

    /// Who has an address in the world does not tell the world that of its own machine.
    fn is_announced(&self, address: &Multiaddr) -> bool {
        let is_loopback = match address.iter().next() {
            Some(Protocol::Ip4(ip)) => ip.is_loopback(),
            Some(Protocol::Ip6(ip)) => ip.is_loopback(),
            _ => false,
        };
        self.settings.external.is_empty() || !is_loopback
    }

    fn not_listening(&mut self, address: &Multiaddr) {
        if !self.settings.external.contains(address) {
            self.swarm.remove_external_address(address);
        }
        let address = with_peer(address.clone(), self.local());
        lock(&self.ends.shared)
            .listening
            .retain(|it| *it != address);
    }
}

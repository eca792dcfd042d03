//! Who serves a model: announced in the DHT, looked up there, and dialled.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::Endpoint,
    kad::{self, store::RecordStore as _},
    swarm::{
        ConnectionId, NetworkBehaviour as _,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use web_time::Instant;

use super::Driver;
use crate::{Event, Key, transport};

/// New connections per search: a large network is met bit by bit.
const MAX_DIALS: usize = 32;

/// How long a peer that could not be reached is left alone.
const UNREACHABLE: Duration = Duration::from_secs(60);

/// How many of those are remembered.
const MAX_UNREACHABLE: usize = 4096;

#[derive(Default)]
pub(super) struct Discovery {
    providing: HashSet<Key>,
    searches: HashMap<kad::QueryId, Search>,
    /// Dials that are under way, with what to try next should they fail.
    dials: HashMap<ConnectionId, (PeerId, Vec<Multiaddr>)>,
    unreachable: HashMap<PeerId, Instant>,
}

struct Search {
    key: Key,
    found: HashSet<PeerId>,
    dialled: usize,
}

impl Discovery {
    pub(super) fn connected(&mut self, id: ConnectionId, peer: PeerId) {
        self.dials.remove(&id);
        self.unreachable.remove(&peer);
    }

    fn is_unreachable(&self, peer: PeerId) -> bool {
        self.unreachable
            .get(&peer)
            .is_some_and(|since| since.elapsed() < UNREACHABLE)
    }

    fn note_unreachable(&mut self, peer: PeerId) {
        if self.unreachable.len() >= MAX_UNREACHABLE {
            self.unreachable.clear();
        }
        self.unreachable.insert(peer, Instant::now());
    }

    fn is_dialling(&self, peer: PeerId) -> bool {
        self.dials.values().any(|(dialled, _)| *dialled == peer)
    }
}

impl Driver {
    pub(super) fn provide(&mut self, key: Key) {
        self.discovery.providing.insert(key);
        self.announce(key);
    }

    fn announce(&mut self, key: Key) {
        if let Err(error) = self
            .swarm
            .behaviour_mut()
            .kad
            .start_providing(key.to_vec().into())
        {
            tracing::warn!(%error, "cannot announce");
        }
    }

    /// New addresses, or somebody new to announce to.
    pub(super) fn announce_again(&mut self) {
        for key in self.discovery.providing.clone() {
            self.announce(key);
        }
    }

    pub(super) fn stop_providing(&mut self, key: Key) {
        self.discovery.providing.remove(&key);
        self.swarm
            .behaviour_mut()
            .kad
            .stop_providing(&key.to_vec().into());
    }

    pub(super) fn find_providers(&mut self, key: Key) {
        if self
            .discovery
            .searches
            .values()
            .any(|search| search.key == key)
        {
            return; // its answer is on the way
        }
        let id = self
            .swarm
            .behaviour_mut()
            .kad
            .get_providers(key.to_vec().into());
        self.discovery.searches.insert(
            id,
            Search {
                key,
                found: HashSet::new(),
                dialled: 0,
            },
        );
    }

    pub(super) fn kad_event(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed {
            id,
            result: kad::QueryResult::GetProviders(result),
            step,
            ..
        } = event
        else {
            return;
        };
        if let Ok(kad::GetProvidersOk::FoundProviders { providers, .. }) = result {
            for peer in providers {
                self.provider_found(id, peer);
            }
        }
        if step.last
            && let Some(search) = self.discovery.searches.remove(&id)
        {
            self.emit(Event::ProvidersFound {
                key: search.key,
                providers: search.found.into_iter().collect(),
            });
        }
    }

    fn provider_found(&mut self, id: kad::QueryId, peer: PeerId) {
        let local = self.local();
        let Some(search) = self.discovery.searches.get_mut(&id) else {
            return;
        };
        if peer == local || !search.found.insert(peer) || search.dialled >= MAX_DIALS {
            return;
        }
        let key = search.key;
        let known = self.swarm.is_connected(&peer) || self.discovery.is_dialling(peer);
        if known || self.discovery.is_unreachable(peer) {
            return;
        }
        if let Some(search) = self.discovery.searches.get_mut(&id) {
            search.dialled += 1;
        }
        let (direct, relayed) = self.addresses_of(key, peer);
        self.dial_in_turn(peer, direct, relayed);
    }

    /// What is known of a provider's addresses while the search goes on: direct ones, and those through a relay.
    fn addresses_of(&mut self, key: Key, peer: PeerId) -> (Vec<Multiaddr>, Vec<Multiaddr>) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        // The DHT tells addresses only to those who dial; so we ask as they would.
        let asked = kad.handle_pending_outbound_connection(
            ConnectionId::new_unchecked(0),
            Some(peer),
            &[],
            Endpoint::Dialer,
        );
        let mut addresses = asked.unwrap_or_default();
        let stored = kad.store_mut().providers(&key.to_vec().into());
        addresses.extend(
            stored
                .into_iter()
                .filter(|it| it.provider == peer)
                .flat_map(|it| it.addresses),
        );
        addresses.sort();
        addresses.dedup();
        addresses.retain(transport::is_dialable);
        let (mut relayed, direct): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(transport::is_relayed);
        if relayed.is_empty() {
            // Its announcement may be older than its relay's promise. Most peers use the same bootstrap nodes.
            relayed.extend(self.bootstrap.iter().filter_map(|it| it.circuit_to(peer)));
        }
        (direct, relayed)
    }

    /// Direct addresses first: the quickest of all would often be the relay.
    fn dial_in_turn(&mut self, peer: PeerId, first: Vec<Multiaddr>, then: Vec<Multiaddr>) {
        let (now, later) = if first.is_empty() {
            (then, Vec::new())
        } else {
            (first, then)
        };
        if now.is_empty() {
            return self.discovery.note_unreachable(peer);
        }
        let options = DialOpts::peer_id(peer)
            .addresses(now)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .build();
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.discovery.dials.insert(id, (peer, later));
            }
            Err(libp2p::swarm::DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "cannot dial");
                self.discovery.note_unreachable(peer);
            }
        }
    }

    /// Says whether the failed dial was one of these.
    pub(super) fn provider_dial_failed(&mut self, id: ConnectionId) -> bool {
        let Some((peer, later)) = self.discovery.dials.remove(&id) else {
            return false;
        };
        if !self.swarm.is_connected(&peer) {
            self.dial_in_turn(peer, later, Vec::new());
        }
        true
    }
}

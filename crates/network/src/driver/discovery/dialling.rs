//! Those who were found are dialled: directly first, and besides where that takes long.

use std::time::Duration;

use libp2p::{
    Multiaddr, PeerId,
    core::Endpoint,
    kad::store::RecordStore as _,
    swarm::{
        ConnectionId, NetworkBehaviour as _,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use web_time::Instant;

use super::{Discovery, Done, Driver};
use crate::{
    Key,
    transport::{self, MAX_ADDRESSES},
};

/// When a peer is dialled in another way, too, that does not answer yet. It may have been started again elsewhere, and to
/// find out that nobody is there any more takes ten times as long.
const BESIDE_AFTER: Duration = Duration::from_secs(1);

/// How long a peer that could not be reached is left alone, and the longest when that happens again and again: its
/// announcements are in the DHT for a quarter of an hour after it has gone.
pub(super) const UNREACHABLE: Duration = Duration::from_secs(60);
pub(super) const MAX_UNREACHABLE_FOR: Duration = Duration::from_secs(4 * 60);

/// How many of those are remembered.
const MAX_UNREACHABLE: usize = 4096;

/// How many addresses of such a peer are remembered.
const MAX_TRIED: usize = 32;

/// A dial that is under way.
pub(super) struct Dial {
    peer: PeerId,
    /// What to try next should it fail or take long.
    later: Vec<Multiaddr>,
    /// What was tried by then.
    tried: Vec<Multiaddr>,
}

/// Somebody who is left alone for a while.
pub(super) struct Unreachable {
    pub(super) since: Instant,
    pub(super) how_long: Duration,
    /// Where it was not found: it may be elsewhere by now. Nothing if that does not matter.
    tried: Option<Vec<Multiaddr>>,
}

impl Unreachable {
    fn is_left_alone(&self) -> bool {
        self.since.elapsed() < self.how_long
    }

    /// How long it is left alone should it not be reached again. Elsewhere is no second time.
    fn next_time(&self) -> Duration {
        if self.is_left_alone() {
            self.how_long
        } else {
            (2 * self.how_long).min(MAX_UNREACHABLE_FOR)
        }
    }
}

impl Discovery {
    /// Those of a peer's addresses where it is worth looking for it.
    pub(super) fn untried(&self, peer: PeerId, mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
        let left_alone = self.unreachable.get(&peer);
        if let Some(Unreachable { tried, .. }) = left_alone.filter(|it| it.is_left_alone()) {
            let tried = |it: &Multiaddr| tried.as_ref().is_none_or(|tried| tried.contains(it));
            addresses.retain(|address| !tried(address));
        }
        let dials = self.dials.values().filter(|dial| dial.peer == peer);
        for Dial { later, tried, .. } in dials {
            addresses.retain(|address| !tried.contains(address) && !later.contains(address));
        }
        addresses
    }

    /// This node has connections again.
    pub(in crate::driver) fn is_back(&mut self) {
        self.unreachable.clear();
    }

    /// Leaves a peer alone for a while, wherever it is.
    pub(in crate::driver) fn leave_alone(&mut self, peer: PeerId) {
        self.note_unreachable(peer, None);
    }

    fn note_unreachable(&mut self, peer: PeerId, tried: Option<Vec<Multiaddr>>) {
        self.sought.remove(&peer);
        if self.unreachable.len() >= MAX_UNREACHABLE {
            self.unreachable.clear();
        }
        let mut noted = Unreachable {
            since: Instant::now(),
            how_long: UNREACHABLE,
            tried,
        };
        if let Some(before) = self.unreachable.remove(&peer) {
            noted.how_long = before.next_time();
            if let Some(tried) = &mut noted.tried {
                tried.extend(before.tried.unwrap_or_default());
                tried.truncate(MAX_TRIED);
            }
        }
        self.unreachable.insert(peer, noted);
    }

    pub(super) fn is_dialling(&self, peer: PeerId) -> bool {
        self.dials.values().any(|dial| dial.peer == peer)
    }
}

impl Driver {
    /// What is known of a provider's addresses while the search goes on: direct ones, and those through a relay. Whoever
    /// answers may name thousands; what the provider itself has told this node comes first.
    pub(super) fn addresses_of(
        &mut self,
        key: Key,
        peer: PeerId,
    ) -> (Vec<Multiaddr>, Vec<Multiaddr>) {
        let kad = &mut self.swarm.behaviour_mut().kad;
        // The DHT tells addresses only to those who dial; so we ask as they would.
        let asked = kad.handle_pending_outbound_connection(
            ConnectionId::new_unchecked(0),
            Some(peer),
            &[],
            Endpoint::Dialer,
        );
        let stored = kad.store_mut().providers(&key.to_vec().into());
        let told = stored.into_iter().filter(|it| it.provider == peer);
        let all = told
            .flat_map(|it| it.addresses)
            .chain(asked.unwrap_or_default());
        let (mut direct, mut relayed) = (Vec::new(), Vec::new());
        for address in all.filter(transport::is_dialable) {
            let kind = match transport::is_relayed(&address) {
                true => &mut relayed,
                false => &mut direct,
            };
            if kind.len() < MAX_ADDRESSES && !kind.contains(&address) {
                kind.push(address);
            }
        }
        if relayed.is_empty() {
            // Its announcement may be older than its relay's promise. Most peers use the same bootstrap nodes.
            relayed.extend(self.bootstrap.iter().filter_map(|it| it.circuit_to(peer)));
        }
        (direct, relayed)
    }

    /// Direct addresses first, with a head start: the quickest of all would often be the relay.
    pub(super) fn dial_in_turn(
        &mut self,
        peer: PeerId,
        [first, then]: [Vec<Multiaddr>; 2],
        mut tried: Vec<Multiaddr>,
        condition: PeerCondition,
    ) {
        let (now, later) = if first.is_empty() {
            (then, Vec::new())
        } else {
            (first, then)
        };
        if now.is_empty() {
            return self.discovery.note_unreachable(peer, Some(tried));
        }
        tried.extend(now.iter().cloned());
        let options = DialOpts::peer_id(peer)
            .addresses(now.clone())
            .condition(condition)
            .build();
        let id = options.connection_id();
        // The DHT may be dialling it, too.
        self.discovery.seek(peer);
        match self.swarm.dial(options) {
            Ok(()) => {
                if !later.is_empty() {
                    self.after(BESIDE_AFTER, Done::DialLater(id));
                }
                let dial = Dial { peer, later, tried };
                self.discovery.dials.insert(id, dial);
            }
            Err(libp2p::swarm::DialError::DialPeerConditionFalse(_)) => {
                // The DHT may be dialling it where it was before.
                let addresses = [now, later];
                self.after(BESIDE_AFTER, Done::DialBeside { peer, addresses });
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "cannot dial");
                self.discovery.note_unreachable(peer, Some(tried));
            }
        }
    }

    /// Somebody else's dial takes long, if it has not succeeded: the peer is dialled besides.
    pub(in crate::driver) fn dial_beside(&mut self, peer: PeerId, addresses: [Vec<Multiaddr>; 2]) {
        if !self.swarm.is_connected(&peer) && !self.discovery.is_dialling(peer) {
            self.dial_in_turn(peer, addresses, Vec::new(), PeerCondition::Disconnected);
        }
    }

    /// A dial takes long: what is to be tried next is tried besides.
    pub(in crate::driver) fn dial_later(&mut self, id: ConnectionId) {
        let Some(dial) = self.discovery.dials.get_mut(&id) else {
            return;
        };
        let (peer, addresses) = (dial.peer, std::mem::take(&mut dial.later));
        if !addresses.is_empty() {
            let addresses = [addresses, Vec::new()];
            self.dial_in_turn(peer, addresses, Vec::new(), PeerCondition::Disconnected);
        }
    }

    /// Says whether the failed dial was one of these.
    pub(in crate::driver) fn provider_dial_failed(&mut self, id: ConnectionId) -> bool {
        let Some(Dial { peer, later, tried }) = self.discovery.dials.remove(&id) else {
            return false;
        };
        let mut others = self.discovery.dials.values_mut();
        if self.swarm.is_connected(&peer) {
            self.acquaint(peer);
        } else if let Some(other) = others.find(|it| it.peer == peer && later.is_empty()) {
            // It may succeed yet.
            other.tried.extend(tried);
        } else {
            let condition = PeerCondition::Disconnected;
            self.dial_in_turn(peer, [later, Vec::new()], tried, condition);
        }
        true
    }
}

//! How much a relay does for others, and how often they may ask.

use std::{collections::HashMap, hash::Hash, time::Duration};

use libp2p::{PeerId, relay};
use web_time::Instant;

use crate::origin::Origins;

/// How much a relay does for others.
#[derive(Clone, Debug)]
pub struct RelayLimits {
    /// Nodes that can be reached through it at a time.
    pub reservations: usize,
    /// Connections through it at a time.
    pub circuits: usize,
    /// Those of one node, beyond which it does not get others by asking.
    pub circuits_per_peer: usize,
    /// Bytes through one connection, both directions together, before it is cut.
    pub circuit_bytes: u64,
    /// Age of a connection before it is cut.
    pub circuit_duration: Duration,
    /// Connections that one node may ask for in a minute, whether it gets them or not, and as often to be reachable.
    pub requests_per_peer: u32,
    /// The same for all nodes at one address ([`crate::ConnectionLimits`]).
    pub requests_per_address: u32,
}

/// Room for some hundred tabs that compute for each other through one relay, all of which may be behind one address and
/// have lost their connections at the same time: what libp2p would allow by itself, one request a minute, is for nodes
/// that hardly ever need a relay.
impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            reservations: 1024,
            circuits: 4096,
            circuits_per_peer: 256,
            circuit_bytes: 1 << 30,
            circuit_duration: Duration::from_secs(24 * 3600),
            requests_per_peer: 512,
            requests_per_address: 4096,
        }
    }
}

impl RelayLimits {
    pub(crate) fn config(&self, origins: &Origins) -> relay::Config {
        relay::Config {
            max_reservations: self.reservations,
            max_reservations_per_peer: 4,
            max_circuits: self.circuits,
            // libp2p refuses when there are more than that, not when there are as many.
            max_circuits_per_peer: self.circuits_per_peer.saturating_sub(1),
            max_circuit_bytes: self.circuit_bytes,
            max_circuit_duration: self.circuit_duration,
            reservation_rate_limiters: self.rates(origins),
            circuit_src_rate_limiters: self.rates(origins),
            ..Default::default()
        }
    }

    fn rates(&self, origins: &Origins) -> Vec<Box<dyn relay::RateLimiter>> {
        let mut of_peer = Rate::per_minute(self.requests_per_peer);
        let mut of_address = Rate::per_minute(self.requests_per_address);
        let origins = origins.clone();
        // Each goes on only with what the one before allows.
        vec![
            Box::new(move |peer: PeerId, _: &_, now| of_peer.allows(peer, now)),
            Box::new(move |_, address: &_, now| {
                let origin = origins.of(address);
                origin.is_none_or(|origin| of_address.allows(origin, now))
            }),
        ]
    }
}

/// Connections of others that go through a relay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circuits {
    /// Now.
    pub open: u64,
    /// Since the start.
    pub opened: u64,
}

impl Circuits {
    pub(crate) fn count(&mut self, event: &relay::Event) {
        match event {
            relay::Event::CircuitReqAccepted { .. } => {
                self.open += 1;
                self.opened += 1;
            }
            // Told of each that was accepted, however it ends.
            relay::Event::CircuitClosed { .. } => self.open = self.open.saturating_sub(1),
            _ => {}
        }
    }
}

/// How many are remembered for what they have asked for. One is forgotten as soon as that makes no difference.
const MAX_REMEMBERED: usize = 16_384;

/// When there are that many: how often those are looked for who can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Each of them may ask so often in a minute, at one time or spread over it (the generic cell rate algorithm).
#[derive(Debug)]
struct Rate<K> {
    most: u32,
    /// When what was asked for would have been asked for, spread evenly: in the past for those who are not here.
    due: HashMap<K, Instant>,
    /// When those were looked for last who can be forgotten.
    swept: Option<Instant>,
}

impl<K: Eq + Hash> Rate<K> {
    fn per_minute(most: u32) -> Self {
        Self {
            most,
            due: HashMap::new(),
            swept: None,
        }
    }

    fn allows(&mut self, key: K, now: Instant) -> bool {
        const MINUTE: Duration = Duration::from_secs(60);
        let Some(each) = MINUTE.checked_div(self.most) else {
            return false;
        };
        let due = self.due.get(&key).map_or(now, |due| now.max(*due)) + each;
        if due.duration_since(now) > MINUTE || !self.has_room(&key, now) {
            return false;
        }
        self.due.insert(key, due);
        true
    }

    /// When there are too many, strangers have to wait until somebody can be forgotten.
    fn has_room(&mut self, key: &K, now: Instant) -> bool {
        if self.due.len() < MAX_REMEMBERED || self.due.contains_key(key) {
            return true;
        }
        // Not for each of those who have to wait.
        if self.swept.is_none_or(|last| now >= last + SWEEP) {
            self.swept = Some(now);
            self.due.retain(|_, due| *due > now);
        }
        self.due.len() < MAX_REMEMBERED
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use libp2p::Multiaddr;

    use super::*;
    use crate::forwarded::Forwarding;

    #[test]
    fn one_may_ask_so_often_in_a_minute_and_nobody_else_is_kept_waiting() {
        let now = Instant::now();
        let mut rate = Rate::per_minute(6);
        let allowed =
            |rate: &mut Rate<_>, key, now| (0..20).filter(|_| rate.allows(key, now)).count();
        assert_eq!(allowed(&mut rate, 1, now), 6);
        assert_eq!(allowed(&mut rate, 2, now), 6);
        let later = now + Duration::from_secs(20);
        assert_eq!(allowed(&mut rate, 1, later), 2);
        assert_eq!(allowed(&mut rate, 1, later + Duration::from_secs(600)), 6);
        assert_eq!(allowed(&mut Rate::per_minute(0), 1, now), 0);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let now = Instant::now();
        let mut rate = Rate::per_minute(60);
        let asked = (0..2 * MAX_REMEMBERED).filter(|it| rate.allows(*it, now));
        assert_eq!(asked.count(), MAX_REMEMBERED);
        // Who is known goes on, and everybody when the others have been forgotten.
        assert!(rate.allows(0, now));
        assert!(rate.allows(MAX_REMEMBERED, now + Duration::from_secs(1)));
        assert_eq!(rate.due.len(), 2);
    }

    #[test]
    fn all_nodes_at_one_address_share_what_it_may_ask_for() {
        let now = Instant::now();
        let origins = Origins {
            count_loopback: false,
            forwarding: Forwarding::default(),
        };
        let _forwarded = origins
            .forwarding
            .add(([127, 0, 0, 1], 7).into(), [9, 9, 9, 9].into());
        let limits = RelayLimits {
            requests_per_peer: 2,
            requests_per_address: 5,
            ..RelayLimits::default()
        };
        let mut limiters = limits.config(&origins).circuit_src_rate_limiters;
        let mut asks = |peer, address: &str| {
            let address: Multiaddr = address.parse().unwrap();
            limiters
                .iter_mut()
                .all(|it| it.try_next(peer, &address, now))
        };
        let address = "/ip4/9.9.9.9/udp/1/quic-v1";
        let peers: Vec<_> = (0..4).map(|_| PeerId::random()).collect();
        let asked = (0..12).map(|it| asks(peers[it / 3], address));
        let expected = [1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0].map(|it| it == 1);
        assert_eq!(asked.collect::<Vec<_>>(), expected);
        // Through the web server in front, too; others through it are others.
        assert!(!asks(PeerId::random(), "/ip4/127.0.0.1/tcp/7/ws"));
        assert!(asks(PeerId::random(), "/ip4/127.0.0.1/tcp/8/ws"));
        assert!(asks(PeerId::random(), "/ip4/9.9.9.8/tcp/1"));
    }
}

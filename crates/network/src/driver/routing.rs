//! Whom the DHT's routing table holds.
//!
//! libp2p would look, whenever it meets a node whose bucket is full, whether the one that was quiet longest is still
//! there, and connect with it; that makes two new contacts, whose buckets are full, too. Where connections are closed
//! when they are idle this never ends. So a node stays in its bucket until it could not be reached when it was needed,
//! and somebody else is there to take its place, or it could not be reached again a while later. A device without
//! network forgets nobody.

use std::{collections::HashMap, time::Duration};

use libp2p::{Multiaddr, PeerId, kad::KBucketKey, swarm::DialError};
use web_time::Instant;

use super::Driver;
use crate::behaviour::BUCKET;

/// How many that could not be reached are remembered.
const MAX_FAILED: usize = 4096;

/// How long after it could not be reached a node is given up that cannot be reached again, and did not come by itself:
/// every search would wait for it. In that time everybody looks at its neighbourhood once. Sooner, a machine with much to do
/// gives up others that are there.
pub(super) const GIVE_UP_AFTER: Duration = Duration::from_secs(5 * 60);

#[derive(Default)]
pub(super) struct Routing {
    /// Since when they could not be reached.
    pub(super) failed: HashMap<PeerId, Instant>,
}

impl Routing {
    /// This node has connections again.
    pub(super) fn is_back(&mut self) {
        self.failed.clear();
    }
}

impl Driver {
    /// A node of the DHT is there.
    pub(super) fn route(&mut self, peer: PeerId, addresses: impl Iterator<Item = Multiaddr>) {
        self.routing.failed.remove(&peer);
        let kad = &mut self.swarm.behaviour_mut().kad;
        let Some(bucket) = kad.kbucket(peer) else {
            return; // this node itself
        };
        let key = KBucketKey::from(peer);
        let entries = || bucket.iter().map(|entry| *entry.node.key);
        if bucket.num_entries() >= BUCKET.get() && !entries().any(|it| it == key) {
            let failed = entries()
                .map(KBucketKey::into_preimage)
                .find(|it| self.routing.failed.contains_key(it));
            let Some(failed) = failed else {
                return;
            };
            kad.remove_peer(&failed);
            self.routing.failed.remove(&failed);
        }
        for address in addresses {
            kad.add_address(&peer, address);
        }
    }

    /// It could not be reached.
    pub(super) fn routing_failed(&mut self, peer: PeerId, error: &DialError) {
        let tried = matches!(
            error,
            DialError::Transport(_) | DialError::WrongPeerId { .. } | DialError::NoAddresses
        );
        if !tried || self.swarm.is_connected(&peer) {
            return;
        }
        if self.routing.failed.len() >= MAX_FAILED {
            self.routing.failed.clear();
        }
        let since = *self.routing.failed.entry(peer).or_insert_with(Instant::now);
        // Without any other connection it is this node that cannot be reached.
        if since.elapsed() >= GIVE_UP_AFTER && !self.peers.is_empty() {
            self.swarm.behaviour_mut().kad.remove_peer(&peer);
            self.routing.failed.remove(&peer);
        }
    }
}

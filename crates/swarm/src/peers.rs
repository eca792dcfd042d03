//! What is known of every peer, bounded by what is connected.

use crate::download::{Window, WindowLimits};
use crate::latency::Latency;
use crate::{ContentId, FragmentIndex, PeerId};
use protocol::{Bitmap, Role, Runs};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Banned names remembered; the oldest are forgotten first. A name costs nothing to make, so remembering more would
/// not keep anybody out, it would only cost memory.
const MAX_BANNED: usize = 1024;

/// Content a peer said it has not; kept per peer so that it is not asked again and again.
const MAX_LACKING: usize = 1024;

/// A peer that lets requests lie gets no new ones before this is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Suspicion {
    pub(crate) until: Duration,
    pub(crate) strikes: u32,
}

/// A peer that lost tokens of ours gets no new ones before this is over, and before something was heard of it again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unfit {
    pub(crate) since: Duration,
    pub(crate) until: Duration,
    pub(crate) strikes: u32,
}

/// One connected peer.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    pub(crate) relayed: bool,
    /// It has introduced itself.
    pub(crate) greeted: bool,
    /// Nobody knows what its messages mean to it: it is asked nothing. What it asks and can be read is answered.
    pub(crate) other_version: bool,
    pub(crate) agent: String,
    pub(crate) role: Role,
    pub(crate) model: Option<ContentId>,
    pub(crate) computes: Bitmap,
    pub(crate) stores: Bitmap,

    /// It finishes answers for others.
    pub(crate) finishes: bool,

    pub(crate) round_trip: Option<Duration>,
    pub(crate) latency: Latency,
    pub(crate) in_flight: usize,
    /// When it was last given work, as a number that only grows: who waited longest comes first.
    pub(crate) given: u64,
    pub(crate) last_answer: Option<Duration>,
    /// The latest of our requests it has answered, by its number: earlier ones still open were overtaken.
    pub(crate) newest_answer: u64,
    /// It said it was busy: no work before this.
    pub(crate) busy_until: Duration,
    pub(crate) busy_strikes: u32,
    pub(crate) suspicion: Option<Suspicion>,

    /// The layers that it runs for others.
    pub(crate) runs: Option<Runs>,
    /// What tokens of ours took through them: by how many they were, and one through each layer without the way there and
    /// back.
    pub(crate) stages: Latency,
    pub(crate) stage_each: Option<Duration>,
    pub(crate) unfit: Option<Unfit>,
    /// When anything was last heard of it.
    pub(crate) heard: Duration,

    /// Blocks of content under way here.
    pub(crate) asked: usize,
    /// How many of them may be.
    pub(crate) window: Window,
    /// The latest of them it has sent, by its number.
    pub(crate) newest_block: u64,
    /// It let a block of content lie: others are preferred until then.
    pub(crate) slow_until: Duration,
    lacking: BTreeSet<ContentId>,

    pub(crate) answered: u64,
    pub(crate) late: u64,
    pub(crate) served: u64,
    /// Requests of its refused lately; see [`Peer::strike`].
    refused: Strikes,
    /// How often it has said lately what it holds; see [`Peer::holdings_flood`].
    told: Strikes,
}

/// How often something has happened lately that should be rare.
#[derive(Debug, Default)]
struct Strikes {
    count: u32,
    at: Duration,
}

impl Strikes {
    /// Once more; gives how often that makes. One is forgiven every 20 ms.
    fn strike(&mut self, now: Duration) -> u32 {
        const FORGIVEN_EVERY: u128 = 20;
        let forgiven = now.saturating_sub(self.at).as_millis() / FORGIVEN_EVERY;
        self.count = self
            .count
            .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        if forgiven > 0 {
            self.at = now;
        }
        self.count = self.count.saturating_add(1);
        self.count
    }
}

impl Peer {
    pub(crate) fn new(relayed: bool, window: WindowLimits) -> Self {
        Self {
            relayed,
            window: Window::new(window),
            ..Self::default()
        }
    }

    /// Whether it computes on a fragment of `model`.
    pub(crate) fn computes(&self, model: Option<ContentId>, index: FragmentIndex) -> bool {
        self.serves(model) && self.computes.contains(index.0)
    }

    /// Whether it stores a fragment of `model`.
    pub(crate) fn stores(&self, model: Option<ContentId>, index: FragmentIndex) -> bool {
        self.serves(model) && self.stores.contains(index.0)
    }

    pub(crate) fn serves(&self, model: Option<ContentId>) -> bool {
        self.model.is_some() && self.model == model && !self.other_version
    }

    pub(crate) fn lacks(&self, content: &ContentId) -> bool {
        self.lacking.contains(content)
    }

    pub(crate) fn note_lacking(&mut self, content: ContentId) {
        if self.lacking.len() < MAX_LACKING {
            self.lacking.insert(content);
        }
    }

    /// New holdings were told: what it lacked it may have now.
    pub(crate) fn set_holdings(
        &mut self,
        model: Option<ContentId>,
        computes: Bitmap,
        stores: Bitmap,
        runs: Option<Runs>,
    ) {
        self.runs = runs;
        self.model = model;
        self.computes = computes;
        self.stores = stores;
        self.lacking.clear();
    }

    /// Whether tokens can be sent through its layers.
    pub(crate) fn is_fit(&self, now: Duration) -> bool {
        let back = |unfit: &Unfit| unfit.until <= now && self.heard > unfit.since;
        self.runs.is_some() && self.unfit.as_ref().is_none_or(back)
    }

    /// One token took so long through so many layers, with the way there and back.
    pub(crate) fn note_stage(&mut self, layers: usize, took: Duration) {
        let way = self.round_trip.unwrap_or_default();
        let each = took.saturating_sub(way) / u32::try_from(layers.max(1)).unwrap_or(u32::MAX);
        let mean = self.stage_each.unwrap_or(each);
        self.stage_each = Some((mean * 7 + each) / 8);
    }

    /// Counts a request refused; true when it goes on so fast that it can only be meant badly.
    pub(crate) fn strike(&mut self, now: Duration) -> bool {
        const TOO_MANY: u32 = 1000;
        self.refused.strike(now) > TOO_MANY
    }

    /// Counts that it says what it holds; true when it goes on so fast that it can only be meant badly: each time, all
    /// that waits is looked through. A page that gives back all it lends says so twice for each fragment, at once.
    pub(crate) fn holdings_flood(&mut self, now: Duration) -> bool {
        const TOO_MANY: u32 = 4096;
        self.told.strike(now) > TOO_MANY
    }
}

/// Everybody connected, and who may not come back.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    pub(crate) connected: BTreeMap<PeerId, Peer>,
    banned: BTreeSet<PeerId>,
    banned_order: VecDeque<PeerId>,
}

impl Peers {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.connected.get(peer)
    }

    pub(crate) fn get_mut(&mut self, peer: &PeerId) -> Option<&mut Peer> {
        self.connected.get_mut(peer)
    }

    pub(crate) fn ban(&mut self, peer: PeerId) {
        if self.banned.insert(peer.clone()) {
            self.banned_order.push_back(peer);
        }
        while self.banned_order.len() > MAX_BANNED {
            if let Some(oldest) = self.banned_order.pop_front() {
                self.banned.remove(&oldest);
            }
        }
    }

    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.banned.contains(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_banned_peers_is_bounded() {
        let mut peers = Peers::default();
        for i in 0..3000u32 {
            peers.ban(PeerId::new(&i.to_be_bytes()));
        }
        assert_eq!(peers.banned.len(), MAX_BANNED);
        assert!(peers.is_banned(&PeerId::new(&2999u32.to_be_bytes())));
        assert!(!peers.is_banned(&PeerId::new(&0u32.to_be_bytes())));
    }

    #[test]
    fn impatience_is_forgiven_and_floods_are_not() {
        let mut patient = Peer::default();
        let mut flood = Peer::default();
        let patient_banned = (0..5000).any(|i| patient.strike(Duration::from_millis(20 * i)));
        let flood_banned = (0..5000).any(|i| flood.strike(Duration::from_micros(20 * i)));
        assert!(!patient_banned && flood_banned);
    }
}

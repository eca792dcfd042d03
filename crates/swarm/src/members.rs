//! Who takes part, as heartbeats tell it: also those with whom there is no connection.
//!
//! A large model is heard of in [shards](protocol::SHARD_FRAGMENTS), of which a node watches a few. Nothing here believes
//! a clock: a heartbeat says when the next one comes, and whoever has missed three is gone.

use crate::PeerId;
use protocol::{FragmentSet, Heartbeat, Place, Reach};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// Members remembered of one shard; beyond it newcomers are not noted. Five replicas of everything by nodes that hold one
/// fragment each are 1,280.
const MAX_MEMBERS: usize = 4096;

/// Nobody is believed that it will not be heard of for longer, nor that it comes much oftener than is of use.
const INTERVALS: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(15 * 60)];

/// Heartbeats that may be missed.
const MISSED: u32 = 3;

/// What a node has said of itself last.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    run: u64,
    number: u32,
    heard: Duration,
    /// It is gone, if it is not heard of by then.
    expires: Duration,
    pub(crate) computes: FragmentSet,
    pub(crate) stores: FragmentSet,
    pub(crate) taking: FragmentSet,
    pub(crate) up: Duration,
    pub(crate) place: Option<Place>,
    pub(crate) waiting: u32,
    pub(crate) reach: Reach,
    pub(crate) runs: Option<Range<u32>>,
    pub(crate) speed: u32,
    pub(crate) sends: u32,
    pub(crate) memory: u32,
}

impl Member {
    fn new(heartbeat: Heartbeat, now: Duration) -> Self {
        let [shortest, longest] = INTERVALS;
        let interval = heartbeat.interval.clamp(shortest, longest);
        Self {
            run: heartbeat.run,
            number: heartbeat.number,
            heard: now,
            // With some time to arrive.
            expires: now + interval * MISSED + interval / 4,
            computes: heartbeat.computes,
            stores: heartbeat.stores,
            taking: heartbeat.taking,
            up: heartbeat.up,
            place: heartbeat.place,
            waiting: heartbeat.waiting,
            reach: heartbeat.reach,
            runs: heartbeat.runs,
            speed: heartbeat.speed,
            sends: heartbeat.sends,
            memory: heartbeat.memory,
        }
    }
}

impl Member {
    /// For how long it has been there by now.
    pub(crate) fn up_by(&self, now: Duration) -> Duration {
        self.up + now.saturating_sub(self.heard)
    }
}

/// Everybody heard of, by the shards that are watched.
#[derive(Debug, Default)]
pub(crate) struct Members {
    shards: BTreeMap<u32, BTreeMap<PeerId, Member>>,
}

impl Members {
    /// From now on these shards are watched, and no others.
    pub(crate) fn watch(&mut self, shards: impl Iterator<Item = u32>) {
        let mut before = std::mem::take(&mut self.shards);
        self.shards = shards
            .map(|shard| (shard, before.remove(&shard).unwrap_or_default()))
            .collect();
    }

    pub(crate) fn watched(&self) -> impl Iterator<Item = u32> + '_ {
        self.shards.keys().copied()
    }

    /// Takes in a heartbeat of a shard that is watched, unless it was overtaken on its way.
    pub(crate) fn hear(&mut self, peer: &PeerId, heartbeat: Heartbeat, now: Duration) {
        let Some(shard) = self.shards.get_mut(&heartbeat.shard) else {
            return;
        };
        let room = shard.len() < MAX_MEMBERS;
        match shard.get_mut(peer) {
            Some(known) if known.run == heartbeat.run && known.number >= heartbeat.number => {}
            Some(known) => *known = Member::new(heartbeat, now),
            None if room => _ = shard.insert(peer.clone(), Member::new(heartbeat, now)),
            None => {}
        }
    }

    /// Forgets who has not been heard of for too long, and says what they said last.
    pub(crate) fn expire(&mut self, now: Duration) -> Vec<Member> {
        let gone = self
            .shards
            .values_mut()
            .flat_map(|shard| shard.extract_if(.., |_, member| now >= member.expires));
        gone.map(|(_, member)| member).collect()
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        for shard in self.shards.values_mut() {
            shard.remove(peer);
        }
    }

    /// Each with what it has said of each shard.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.shards.values().flatten()
    }

    /// What somebody has said of itself, wherever it said so.
    pub(crate) fn get(&self, peer: &PeerId) -> Option<&Member> {
        self.shards.values().find_map(|shard| shard.get(peer))
    }

    /// How many there are in the largest shard.
    pub(crate) fn most(&self) -> usize {
        self.shards.values().map(BTreeMap::len).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn heartbeat(run: u64, number: u32, computes: u32) -> Heartbeat {
        Heartbeat {
            version: protocol::VERSION,
            model: [0; 32],
            shard: 0,
            run,
            number,
            interval: 30 * S,
            up: Duration::ZERO,
            computes: [computes].into_iter().collect(),
            stores: FragmentSet::default(),
            taking: FragmentSet::default(),
            waiting: 0,
            reach: Reach::default(),
            runs: None,
            speed: 0,
            speed_many: 0,
            sends: 0,
            memory: 0,
            place: None,
        }
    }

    fn watching() -> Members {
        let mut members = Members::default();
        members.watch([0].into_iter());
        members
    }

    fn held(members: &Members, peer: &PeerId) -> Vec<u32> {
        let member = members.get(peer);
        member.map_or_else(Vec::new, |it| it.computes.iter().collect())
    }

    #[test]
    fn what_was_overtaken_on_its_way_changes_nothing() {
        let (mut members, peer) = (watching(), PeerId::new(b"a"));
        for (number, computes) in [(1, 10), (3, 30), (2, 20), (3, 31)] {
            members.hear(&peer, heartbeat(1, number, computes), S);
        }
        assert_eq!(held(&members, &peer), [30]);
        // It was started again.
        members.hear(&peer, heartbeat(2, 0, 7), S);
        assert_eq!(held(&members, &peer), [7]);
    }

    #[test]
    fn who_misses_three_is_gone() {
        let (mut members, peer) = (watching(), PeerId::new(b"a"));
        members.hear(&peer, heartbeat(1, 1, 1), S);
        members.expire(91 * S);
        assert_eq!(members.most(), 1);
        members.expire(99 * S);
        assert_eq!(members.most(), 0);
    }

    #[test]
    fn nobody_is_believed_that_it_will_be_silent_for_long() {
        let (mut members, peer) = (watching(), PeerId::new(b"a"));
        let patient = Heartbeat {
            interval: Duration::MAX / 8,
            ..heartbeat(1, 1, 1)
        };
        members.hear(&peer, patient, S);
        members.expire(3600 * S);
        assert_eq!(members.most(), 0);
    }

    #[test]
    fn what_is_not_watched_is_not_noted_and_there_is_an_end_to_what_is() {
        let mut members = watching();
        let elsewhere = Heartbeat {
            shard: 1,
            ..heartbeat(1, 1, 300)
        };
        members.hear(&PeerId::new(b"a"), elsewhere, S);
        assert_eq!(members.iter().count(), 0);
        for number in 0..MAX_MEMBERS as u32 + 10 {
            let peer = PeerId::new(&number.to_be_bytes());
            members.hear(&peer, heartbeat(1, 1, 1), S);
        }
        assert_eq!(members.most(), MAX_MEMBERS);
        // Those who are known are heard all the same.
        let known = PeerId::new(&0_u32.to_be_bytes());
        members.hear(&known, heartbeat(1, 2, 5), S);
        assert_eq!(held(&members, &known), [5]);
    }
}

//! Who is there, what they hold, and whom to look for.

use crate::absence::Absence;
use crate::peers::Peer;
use crate::placement::Orders;
use crate::stages::Stages;
use crate::timers::Timer;
use crate::{Action, Catalogue, ContentId, FragmentIndex, Node, PeerId};
use protocol::{Bitmap, Hello, HoldingsChanged, Message, Role};
use std::collections::BTreeMap;
use std::time::Duration;

/// Searches remembered, so that none is repeated too soon.
const MAX_SEARCHED: usize = 1024;
/// Missing fragments looked for in one round.
const MAX_SEARCHES: usize = 8;
/// What is announced to the network by name, the model first and then fragments. Who holds more announces others than the
/// next one that does, so that among some each fragment is found, and is found through the model in any case.
const MAX_ANNOUNCED: usize = 256;

/// What was looked for and announced.
#[derive(Debug, Default)]
pub(crate) struct Search {
    armed: bool,
    searched: BTreeMap<ContentId, Duration>,
    announced: std::collections::BTreeSet<ContentId>,
}

impl Node {
    /// Says which model is asked and served. Another model than before drops all holdings; own requests under way
    /// are then for fragments that do not exist any more and should be [cancelled](Node::cancel) first.
    pub fn set_model(&mut self, model: ContentId, now: Duration) {
        if self.config.model != Some(model) {
            self.config.model = Some(model);
            self.catalogue = Catalogue::default();
            self.index_of.clear();
            self.computes = Bitmap::default();
            self.stores = Bitmap::default();
            self.search.announced.clear();
            self.stages = Stages::default();
            self.forget_members();
            self.tell_holdings();
        }
        self.search(now);
        self.pump_downloads(now);
    }

    /// Says which fragments the model has, once its manifest is here.
    pub fn set_catalogue(&mut self, catalogue: Catalogue, now: Duration) {
        self.index_of = catalogue
            .indices()
            .zip(&catalogue.fragments)
            .map(|(index, info)| (info.content, index))
            .collect();
        self.computes = Bitmap::new(catalogue.len());
        self.stores = Bitmap::new(catalogue.len());
        self.catalogue = catalogue;
        self.absence = Absence::default();
        self.begin_to_beat(now);
        self.wake(None, now);
        self.pump_downloads(now);
    }

    /// Says which fragments this node computes on and which it offers to others; replaces what was said before.
    /// Indices the model does not have are ignored.
    pub fn set_holdings(
        &mut self,
        computes: impl IntoIterator<Item = FragmentIndex>,
        stores: impl IntoIterator<Item = FragmentIndex>,
        now: Duration,
    ) {
        let mut holdings = (
            Bitmap::new(self.catalogue.len()),
            Bitmap::new(self.catalogue.len()),
        );
        computes
            .into_iter()
            .for_each(|index| _ = holdings.0.insert(index.0));
        stores
            .into_iter()
            .for_each(|index| _ = holdings.1.insert(index.0));
        if holdings == (self.computes.clone(), self.stores.clone()) {
            return;
        }
        (self.computes, self.stores) = holdings;
        self.holdings_are_new(now);
    }

    /// Adds one fragment to what is offered and, if `computes`, computed on.
    pub fn add_holding(&mut self, index: FragmentIndex, computes: bool, now: Duration) {
        let stored = self.stores.insert(index.0);
        if (computes && self.computes.insert(index.0)) | stored {
            self.holdings_are_new(now);
        }
    }

    /// A fragment is gone from here.
    pub fn remove_holding(&mut self, index: FragmentIndex, now: Duration) {
        if self.computes.remove(index.0) | self.stores.remove(index.0) {
            self.holdings_are_new(now);
        }
    }

    fn holdings_are_new(&mut self, now: Duration) {
        self.find_runs(now);
        self.tell_holdings();
        self.announce();
        self.note_taken(now);
        self.beat_soon(now);
        self.wake(None, now);
    }

    /// What a new peer has to be told first: who we are and what we hold. An [`Action::Introduce`] follows whenever
    /// it changes; a shell needs this for the time before the first one.
    #[must_use]
    pub fn introduction(&self) -> Hello {
        let role = match (&self.config.role, self.config.model) {
            (Some(role), _) => *role,
            (None, Some(_)) => Role::Participant,
            (None, None) => Role::Bootstrap,
        };
        Hello {
            agent: self.config.agent.clone(),
            version: protocol::VERSION,
            role,
            model: self.config.model.map(|model| model.0),
            computes: self.computes.clone(),
            stores: self.stores.clone(),
            runs: self.runs_and_time(),
            finishes: self.config.jobs > 0,
        }
    }

    pub(crate) fn tell_holdings(&mut self) {
        let hello = self.introduction();
        self.actions.push_back(Action::Introduce { hello });
        let message = Message::HoldingsChanged(HoldingsChanged {
            model: self.config.model.map(|model| model.0),
            computes: self.computes.clone(),
            stores: self.stores.clone(),
            runs: self.runs_and_time(),
        });
        let peers: Vec<_> = self.peers.connected.keys().cloned().collect();
        for peer in peers {
            self.send(&peer, message.clone());
        }
    }

    fn announce(&mut self) {
        if self.computes.is_empty() && self.stores.is_empty() {
            return;
        }
        let held = self.catalogue.indices().zip(&self.catalogue.fragments);
        let held = held
            .filter(|(index, _)| self.computes.contains(index.0) || self.stores.contains(index.0));
        let mut held: Vec<_> = held.map(|(_, info)| info.content).collect();
        if held.len() >= MAX_ANNOUNCED {
            let orders = Orders::of(&self.config.me);
            held.sort_unstable_by_key(|content| orders.place(content, 0));
        }
        let keys = self.config.model.into_iter().chain(held);
        let new: Vec<_> = keys
            .take(MAX_ANNOUNCED)
            .filter(|key| !self.search.announced.contains(key))
            .collect();
        for key in new {
            if self.search.announced.len() < MAX_ANNOUNCED && self.search.announced.insert(key) {
                self.actions.push_back(Action::Announce { key });
            }
        }
    }

    pub(crate) fn connected(&mut self, peer: PeerId, relayed: bool, now: Duration) {
        if self.peers.is_banned(&peer) {
            self.actions.push_back(Action::Disconnect { peer });
            return;
        }
        if let Some(known) = self.peers.get_mut(&peer) {
            let direct = known.relayed && !relayed;
            known.relayed = relayed;
            if direct {
                // What it has can be fetched from now on.
                self.pump_downloads(now);
            }
            return;
        }
        if self.peers.connected.len() >= self.config.max_peers {
            self.actions.push_back(Action::Disconnect { peer });
            return;
        }
        self.peers.connected.insert(
            peer.clone(),
            Peer::new(relayed, self.config.blocks_per_peer),
        );
        self.arm_search(now);
    }

    pub(crate) fn hello(&mut self, peer: &PeerId, hello: Hello, now: Duration) {
        if let Some(known) = self.peers.get_mut(peer) {
            known.greeted = true;
            known.agent = hello.agent;
            known.role = hello.role;
            known.finishes = hello.finishes;
            let same = hello.version == protocol::VERSION;
            self.totals.other_versions += u64::from(!same && !known.other_version);
            known.other_version = !same;
            known.set_holdings(
                hello.model.map(ContentId),
                hello.computes,
                hello.stores,
                hello.runs,
            );
        }
        self.holdings_of_peer_are_new(peer, now);
    }

    pub(crate) fn holdings_changed(
        &mut self,
        peer: &PeerId,
        changed: HoldingsChanged,
        now: Duration,
    ) {
        if let Some(known) = self.peers.get_mut(peer) {
            if known.holdings_flood(now) {
                self.ban(peer, "flood of holdings", now);
                return;
            }
            known.set_holdings(
                changed.model.map(ContentId),
                changed.computes,
                changed.stores,
                changed.runs,
            );
        }
        self.holdings_of_peer_are_new(peer, now);
    }

    fn holdings_of_peer_are_new(&mut self, peer: &PeerId, now: Duration) {
        if self.peers.get(peer).is_some_and(|peer| peer.runs.is_some()) {
            self.stages.note_runner();
        }
        self.wake(Some(peer), now);
        self.pump_downloads(now);
    }

    /// Forgets a peer: what it was computing or sending for us goes elsewhere, what it wanted from us is dropped.
    pub(crate) fn drop_peer(&mut self, peer: &PeerId, now: Duration) {
        if self.peers.connected.remove(peer).is_none() {
            return;
        }
        self.server.forget(peer);
        self.library.forget(peer);
        self.attempts_lost(peer, now);
        self.stage_cancelled_by(peer, None);
        self.stages_lost(peer);
        self.jobs_lost(peer);
        self.blocks_lost(peer, now);
        self.run_jobs(now);
        self.run_reads(now);
    }

    pub(crate) fn ban(&mut self, peer: &PeerId, reason: &str, now: Duration) {
        if self.peers.is_banned(peer) {
            return;
        }
        self.totals.banned += 1;
        self.peers.ban(peer.clone());
        self.members.forget(peer);
        self.actions.push_back(Action::Ban {
            peer: peer.clone(),
            reason: reason.into(),
        });
        self.drop_peer(peer, now);
    }

    pub(crate) fn arm_search(&mut self, now: Duration) {
        if !self.search.armed {
            self.search.armed = true;
            self.timers
                .set(now + self.config.search_interval, Timer::Search);
        }
    }

    /// The regular round: looks for peers while there are too few, and for holders of what is missing.
    pub(crate) fn search(&mut self, now: Duration) {
        let interval = self.config.search_interval;
        self.search.searched.retain(|_, at| now < *at + interval);
        self.note_absent(now);
        let missed = self.absence.take_missed();
        let thin = self.thinly_held(MAX_SEARCHES, now);
        let missing: Vec<_> = self
            .dispatch
            .fragments_waited_for()
            .chain(missed)
            .chain(thin)
            .filter_map(|i| self.catalogue.get(i))
            .collect();
        let missing: Vec<_> = missing
            .iter()
            .map(|info| info.content)
            .take(MAX_SEARCHES)
            .collect();
        let few = self.peers.connected.len() < self.config.wanted_peers;
        if let Some(model) = self.config.model
            && (few || !missing.is_empty() || self.downloads.starving())
        {
            self.find(model, now);
        }
        missing
            .into_iter()
            .for_each(|content| self.find(content, now));
        self.seek_web(now);
        self.tell_time_of_runs(now);
        self.search.armed = false;
        self.arm_search(now);
    }

    /// Asks the network who has `content`, unless that was asked a moment ago.
    pub(crate) fn find(&mut self, content: ContentId, now: Duration) {
        let recent = self
            .search
            .searched
            .get(&content)
            .is_some_and(|at| now < *at + self.config.search_interval);
        if !recent && self.search.searched.len() < MAX_SEARCHED {
            self.search.searched.insert(content, now);
            self.actions.push_back(Action::FindPeers { key: content });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, FragmentInfo};
    use std::collections::BTreeSet;

    const MODEL: ContentId = ContentId([255; 32]);

    /// What somebody announces who holds all of a model of so many fragments.
    fn announced(who: u8, fragments: u32) -> Vec<ContentId> {
        let info = |index: u32| FragmentInfo {
            content: ContentId(*blake3::hash(&index.to_le_bytes()).as_bytes()),
            bytes: 100,
            always_active: true,
        };
        let mut node = Node::new(Config::new(PeerId::new(&[who])));
        node.set_model(MODEL, Duration::ZERO);
        let catalogue = Catalogue {
            fragments: (0..fragments).map(info).collect(),
        };
        node.set_catalogue(catalogue, Duration::ZERO);
        let all = || (0..fragments).map(FragmentIndex);
        node.set_holdings(all(), all(), Duration::ZERO);
        std::iter::from_fn(|| node.poll_action())
            .filter_map(|action| match action {
                Action::Announce { key } => Some(key),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn what_is_held_is_announced_by_its_name() {
        let keys = announced(1, 3);
        assert_eq!(keys.len(), 4);
        assert_eq!(keys[0], MODEL);
        let third = ContentId(*blake3::hash(&2u32.to_le_bytes()).as_bytes());
        assert!(keys.contains(&third));
    }

    #[test]
    fn among_some_that_hold_too_much_every_fragment_is_announced() {
        let mut all = BTreeSet::new();
        for who in 0..12 {
            let keys = announced(who, 600);
            assert_eq!(keys.len(), MAX_ANNOUNCED);
            assert_eq!(keys[0], MODEL);
            all.extend(keys);
        }
        // Each leaves out 345 of 600: twelve leave out the same one with a probability of a thousandth.
        assert!(all.len() > 595, "{}", all.len());
    }
}

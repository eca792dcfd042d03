//! Who serves a model: announced in the DHT, looked up there, and dialled.

mod dialling;
#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use dialling::{Dial, Unreachable};
use libp2p::{
    PeerId, kad,
    swarm::{ConnectionId, dial_opts::PeerCondition},
};
use protocol::Message;

use super::{Done, Driver};
use crate::{Event, Key};

/// New connections per search: a large network is met bit by bit.
const MAX_DIALS: usize = 32;

/// How many of those are spent on what one answer names: who makes providers up leaves room for what others know.
const MAX_DIALS_OF_ONE: usize = MAX_DIALS / 2;

/// Providers that a search remembers.
const MAX_FOUND: usize = 1024;

/// So many have to answer before a search ends early, and to say what others have said.
const ENOUGH: u32 = 2;

/// New addresses come several at a time; they are announced together.
const ANNOUNCE_AFTER: Duration = Duration::from_secs(1);

/// When the neighbourhood is looked at again after the network was entered, and then how often. Announcements are
/// repeated each time.
const REFRESH_SOON: Duration = Duration::from_secs(45);
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// Announcements at a time. Each of them is some twenty connections, and a large node has hundreds to make.
const MAX_ANNOUNCEMENTS: usize = 2;

/// When announcements are repeated that took too long: not at once, others have as much to do.
const RETRY: Duration = Duration::from_secs(30);

/// How many peers are sought at a time.
const MAX_SOUGHT: usize = 1024;

#[derive(Default)]
pub(super) struct Discovery {
    providing: HashSet<Key>,
    /// The neighbourhood will soon be looked at.
    refresh_soon: bool,
    /// What is to be announced, in turn.
    to_announce: VecDeque<Key>,
    /// What is being announced.
    announcements: HashSet<kad::QueryId>,
    /// What could not be announced; a time is set to try it again.
    unannounced: HashSet<Key>,
    /// A time is set to announce all of it again.
    announcing: bool,
    searches: HashMap<kad::QueryId, Search>,
    dials: HashMap<ConnectionId, Dial>,
    /// Peers to get to know as soon as they are connected, whoever dials them.
    sought: HashSet<PeerId>,
    unreachable: HashMap<PeerId, Unreachable>,
}

struct Search {
    key: Key,
    found: HashSet<PeerId>,
    dialled: usize,
    /// Those found who were connected already.
    present: usize,
    /// Nodes that named providers.
    answers: u32,
    /// Nodes that named providers, but none that was new.
    repeated: u32,
}

impl Search {
    fn new(key: Key) -> Self {
        Self {
            key,
            found: HashSet::new(),
            dialled: 0,
            present: 0,
            answers: 0,
            repeated: 0,
        }
    }

    /// Everybody would be asked otherwise who might know more. Who cannot be reached does not count, and one who answers
    /// does not decide it alone: whoever is near may make providers up.
    fn is_over(&self) -> bool {
        let many = self.dialled + self.present >= MAX_DIALS;
        self.repeated >= ENOUGH || (many && self.answers >= ENOUGH)
    }
}

impl Discovery {
    /// Says whether it was sought.
    pub(super) fn connected(&mut self, id: ConnectionId, peer: PeerId) -> bool {
        self.dials.remove(&id);
        self.unreachable.remove(&peer);
        self.sought.remove(&peer)
    }

    pub(super) fn seek(&mut self, peer: PeerId) {
        if self.sought.len() >= MAX_SOUGHT {
            self.sought.clear();
        }
        self.sought.insert(peer);
    }
}

impl Driver {
    /// What a peer says it holds is true of its model, too: whoever asks this node who serves that is told at once.
    pub(super) fn note_serving(&mut self, peer: PeerId, message: &Message) {
        let (model, computes, stores) = match message {
            Message::Hello(it) => (it.model, &it.computes, &it.stores),
            Message::HoldingsChanged(it) => (it.model, &it.computes, &it.stores),
            _ => return,
        };
        let holds = !(computes.is_empty() && stores.is_empty());
        let key = model.filter(|_| holds).map(|key| key.to_vec().into());
        let kad = &mut self.swarm.behaviour_mut().kad;
        kad.store_mut().serves(peer, key);
    }

    pub(super) fn provide(&mut self, key: Key) {
        self.discovery.providing.insert(key);
        self.announce(key);
    }

    fn announce(&mut self, key: Key) {
        if !self.discovery.to_announce.contains(&key) {
            self.discovery.to_announce.push_back(key);
        }
        self.announce_next();
    }

    fn announce_next(&mut self) {
        while self.discovery.announcements.len() < MAX_ANNOUNCEMENTS
            && let Some(key) = self.discovery.to_announce.pop_front()
        {
            let kad = &mut self.swarm.behaviour_mut().kad;
            match kad.start_providing(key.to_vec().into()) {
                Ok(query) => _ = self.discovery.announcements.insert(query),
                Err(error) => tracing::warn!(%error, "cannot announce"),
            }
        }
    }

    /// An announcement took too long and came to few or none.
    fn announcement_failed(&mut self, key: &kad::RecordKey) {
        // All that we announce have such names.
        let Ok(key) = Key::try_from(key.as_ref()) else {
            return;
        };
        if self.discovery.unannounced.is_empty() {
            self.after(RETRY, Done::Retry);
        }
        self.discovery.unannounced.insert(key);
    }

    pub(super) fn retry_announcements(&mut self) {
        for key in std::mem::take(&mut self.discovery.unannounced) {
            if self.discovery.providing.contains(&key) {
                self.announce(key);
            }
        }
    }

    /// New addresses, or somebody new to announce to: everything will be announced again.
    pub(super) fn plan_announcements(&mut self) {
        if !std::mem::replace(&mut self.discovery.announcing, true) {
            self.after(ANNOUNCE_AFTER, Done::Announce);
        }
    }

    /// Has the neighbourhood looked at now and then from now on.
    pub(super) fn plan_refreshes(&mut self) {
        self.discovery.refresh_soon = true;
        self.after(REFRESH_SOON, Done::Refresh { again: true });
    }

    /// Has it looked at once more soon: where many have just come, as after a failure of the network, it is another one
    /// by then.
    pub(super) fn refresh_soon(&mut self) {
        if !std::mem::replace(&mut self.discovery.refresh_soon, true) {
            self.after(REFRESH_SOON, Done::Refresh { again: false });
        }
    }

    /// The time of such a look has come.
    pub(super) fn planned_refresh(&mut self, again: bool) {
        self.discovery.refresh_soon = false;
        self.refresh();
        if again {
            self.after(REFRESH, Done::Refresh { again });
        }
    }

    /// Looks who is near, and then announces everything again, to the right ones.
    pub(super) fn refresh(&mut self) {
        if self.settings.kad_server {
            // Fails only without any known peer, and then there is nobody to announce to.
            let _ = self.swarm.behaviour_mut().kad.bootstrap();
        } else {
            self.plan_announcements();
        }
    }

    pub(super) fn announce_again(&mut self) {
        self.discovery.announcing = false;
        for key in self.discovery.providing.clone() {
            self.announce(key);
        }
    }

    pub(super) fn stop_providing(&mut self, key: Key) {
        self.discovery.providing.remove(&key);
        self.discovery.to_announce.retain(|it| *it != key);
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
        self.discovery.searches.insert(id, Search::new(key));
    }

    pub(super) fn kad_event(&mut self, event: kad::Event) {
        let kad::Event::OutboundQueryProgressed {
            id,
            result,
            step,
            stats,
        } = event
        else {
            return;
        };
        if step.last {
            tracing::debug!(%id, requests = stats.num_requests(), failures = stats.num_failures(), took = ?stats.duration(), kind = query_kind(&result), "query has ended");
        }
        if step.last && self.discovery.announcements.remove(&id) {
            if let kad::QueryResult::StartProviding(Err(error)) = &result {
                self.announcement_failed(error.key());
            }
            return self.announce_next();
        }
        let result = match result {
            kad::QueryResult::GetProviders(result) => result,
            kad::QueryResult::Bootstrap(_) if step.last => return self.plan_announcements(),
            _ => return,
        };
        if let Ok(kad::GetProvidersOk::FoundProviders { providers, .. }) = result
            && !providers.is_empty()
        {
            self.providers_named(id, providers);
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

    /// A node has answered. Ends the search when it has found what it can.
    pub(super) fn providers_named(
        &mut self,
        id: kad::QueryId,
        providers: impl IntoIterator<Item = PeerId>,
    ) {
        let count = |driver: &Self| driver.discovery.searches.get(&id).map(|it| it.found.len());
        let before = count(self);
        let mut dials = MAX_DIALS_OF_ONE;
        for peer in providers {
            let dialled = self.provider_found(id, peer, dials > 0);
            dials -= usize::from(dialled);
        }
        let repeated = before == count(self);
        let Some(search) = self.discovery.searches.get_mut(&id) else {
            return;
        };
        search.answers += 1;
        search.repeated += u32::from(repeated);
        if search.is_over()
            && let Some(mut query) = self.swarm.behaviour_mut().kad.query_mut(&id)
        {
            query.finish();
        }
    }

    /// Says whether it is dialled.
    fn provider_found(&mut self, id: kad::QueryId, peer: PeerId, may_dial: bool) -> bool {
        let local = self.local();
        let Some(search) = self.discovery.searches.get_mut(&id) else {
            return false;
        };
        // Who was named before may be named with other addresses now: it was started again, and not everybody knows yet.
        let is_new = search.found.len() < MAX_FOUND && search.found.insert(peer);
        if peer == local || search.dialled >= MAX_DIALS {
            return false;
        }
        let key = search.key;
        if self.swarm.is_connected(&peer) {
            if is_new {
                search.present += 1;
                self.acquaint(peer);
            }
            return false;
        }
        if !may_dial {
            return false;
        }
        let (direct, relayed) = self.addresses_of(key, peer);
        let direct = self.discovery.untried(peer, direct);
        let relayed = self.discovery.untried(peer, relayed);
        if direct.is_empty() && relayed.is_empty() {
            return false;
        }
        if let Some(search) = self.discovery.searches.get_mut(&id) {
            search.dialled += 1;
        }
        // Somewhere else than where it is being dialled: where it was before, perhaps.
        let condition = if self.discovery.is_dialling(peer) {
            PeerCondition::Disconnected
        } else {
            PeerCondition::DisconnectedAndNotDialing
        };
        self.dial_in_turn(peer, [direct, relayed], Vec::new(), condition);
        true
    }
}

/// What a query was for.
fn query_kind(result: &kad::QueryResult) -> &'static str {
    match result {
        kad::QueryResult::Bootstrap(_) => "bootstrap",
        kad::QueryResult::GetProviders(_) => "find providers",
        kad::QueryResult::StartProviding(_) => "announce",
        _ => "other",
    }
}

//! Saying what this node holds, and hearing what others do.

use crate::churn::Watch;
use crate::members::{Member, Members};
use crate::placement::{Newcomer, Orders, Replicas};
use crate::timers::Timer;
use crate::{Action, Catalogue, ContentId, Coverage, FragmentIndex, Membership, Node, PeerId};
use protocol::{FragmentSet, Heartbeat, Place, Reach, Role, SHARD_FRAGMENTS};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

/// Shards that a node watches besides those of which it holds something: those that come first in an order of its own.
const WATCHED: usize = 8;

/// If there are more in a shard, each says something less often, so that everybody hears as much as from so many.
const TALKATIVE: usize = 1024;

/// What changes is said after this long, with what else changes by then.
const SOON: Duration = Duration::from_secs(1);

/// Beats in which only others are heard: what nobody seems to have may be with somebody who has not said so yet.
const LISTENS: u32 = 3;

/// What this node says and has in mind.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    /// When the next one is due.
    next: Option<Duration>,
    /// When it first took part.
    since: Option<Duration>,
    number: u32,
    /// Of which shards the last beat had something to say.
    said: BTreeSet<u32>,
    /// When it was last looked for what is lacking. What is said besides, because something has changed, is no round.
    repaired: Option<Duration>,
    /// For how many rounds each fragment has been lacking.
    pub(crate) lacking: BTreeMap<FragmentIndex, u32>,
    /// What is being fetched, and what is let go when it is here.
    pub(crate) taking: BTreeMap<FragmentIndex, Option<FragmentIndex>>,
    pub(crate) capacity: usize,
    /// The address by which the world sees this node.
    seen_at: Option<IpAddr>,
    reach: Reach,
    memory: u64,
}

/// In units of a power of two.
fn rounded(bytes: u64, unit: u32) -> u32 {
    u32::try_from(bytes >> unit).unwrap_or(u32::MAX)
}

/// What a node has for others, in the units of [`Heartbeat`]s; 0 what is not known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Means {
    pub(crate) speed: u32,
    pub(crate) sends: u32,
    pub(crate) memory: u32,
}

impl From<&Member> for Means {
    fn from(member: &Member) -> Self {
        Self {
            speed: member.speed,
            sends: member.sends,
            memory: member.memory,
        }
    }
}

fn shard_of(index: u32) -> u32 {
    index / SHARD_FRAGMENTS
}

pub(crate) fn within(shard: u32, catalogue: &Catalogue) -> Range<u32> {
    let start = shard.saturating_mul(SHARD_FRAGMENTS);
    start..start.saturating_add(SHARD_FRAGMENTS).min(catalogue.len())
}

/// Which line an address belongs to, and which provider's network: what households and providers usually get as a whole.
/// Salted, so that nobody reads addresses out of heartbeats of models he has not to do with.
fn place_of(ip: IpAddr, model: ContentId) -> Place {
    let (bytes, line, network) = match ip {
        IpAddr::V4(ip) => (ip.octets().to_vec(), 4, 2),
        IpAddr::V6(ip) => (ip.octets().to_vec(), 8, 4),
    };
    let hash = |length: usize| {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&model.0).update(&bytes[..length]);
        let mut first = [0; 8];
        hasher.finalize_xof().fill(&mut first);
        u64::from_le_bytes(first)
    };
    Place {
        line: hash(line),
        network: hash(network),
    }
}

/// Who else holds a fragment or is about to, and where.
#[derive(Debug, Default, Clone)]
pub(crate) struct Held {
    pub(crate) replicas: Replicas,
    lines: BTreeSet<u64>,
    networks: BTreeSet<u64>,
    /// Somebody can be asked for it.
    pub(crate) offered: bool,
}

impl Node {
    /// How many fragments this node may compute on at most. What lacks replicas is taken up as far as there is room for it,
    /// or something that has more than are wanted can be let go; see [`Action::TakeUp`]. 0, as it is at the beginning: none.
    pub fn set_capacity(&mut self, fragments: usize) {
        self.beats.capacity = fragments;
    }

    /// The shell has begun to fetch a fragment in order to compute on it: others need not. It ends with
    /// [`Node::add_holding`] or [`Node::not_taken`].
    pub fn taking(&mut self, index: FragmentIndex, now: Duration) {
        if !self.computes.contains(index.0) && !self.beats.taking.contains_key(&index) {
            self.beats.taking.insert(index, None);
            self.beat_soon(now);
        }
    }

    /// The shell does not fetch it any more.
    pub fn not_taken(&mut self, index: FragmentIndex, now: Duration) {
        if self.beats.taking.remove(&index).is_some() {
            self.beat_soon(now);
        }
    }

    /// How much memory this node has to spare, in bytes: who has too little runs no layers for others.
    pub fn set_memory(&mut self, bytes: u64) {
        self.beats.memory = bytes;
    }

    /// What this node has, in the units of heartbeats.
    pub(crate) fn own_means(&self) -> Means {
        Means {
            speed: rounded(self.server.speed().unwrap_or(0), 20),
            sends: rounded(self.library.sends(), 10),
            memory: rounded(self.beats.memory, 20),
        }
    }

    pub(crate) fn observed(&mut self, ip: IpAddr, dialled: bool, now: Duration) {
        self.beats.seen_at = Some(ip);
        self.beats.reach = if dialled {
            Reach::Dialled
        } else {
            Reach::Arranged
        };
        self.beat_soon(now);
    }

    fn place(&self) -> Option<Place> {
        Some(place_of(self.beats.seen_at?, self.config.model?))
    }

    /// Whether this node says what it holds.
    fn takes_part(&self) -> bool {
        self.config.model.is_some()
            && self.config.role != Some(Role::Client)
            && !self.catalogue.is_empty()
    }

    /// Whether it has been there for so long that it will probably stay.
    fn stays(&self, now: Duration) -> bool {
        self.up(now) >= self.config.stays_after
    }

    /// Whether others reach it at an address of its own.
    pub(crate) fn is_dialled(&self) -> bool {
        self.beats.reach == Reach::Dialled
    }

    pub(crate) fn up(&self, now: Duration) -> Duration {
        let since = self.beats.since.unwrap_or(now);
        now.saturating_sub(since)
    }

    /// A beat comes soon, because something has changed.
    pub(crate) fn beat_soon(&mut self, now: Duration) {
        self.beat_at(now + SOON);
    }

    /// The next beat comes at this time, if none does before.
    fn beat_at(&mut self, at: Duration) {
        if !self.takes_part() || self.beats.next.is_some_and(|next| next <= at) {
            return;
        }
        if let Some(later) = self.beats.next.replace(at) {
            self.timers.clear(later, Timer::Beat);
        }
        self.timers.set(at, Timer::Beat);
    }

    /// It is another model's swarm from now on.
    pub(crate) fn forget_members(&mut self) {
        self.members = Members::default();
        self.churn = Watch::default();
        self.beats.since = None;
        self.beats.repaired = None;
        self.beats.said.clear();
        self.beats.lacking.clear();
        self.beats.taking.clear();
    }

    /// The model's fragments are known: from now on the node says what it has of them.
    pub(crate) fn begin_to_beat(&mut self, now: Duration) {
        self.forget_members();
        self.watch();
        self.beat_at(now);
    }

    pub(crate) fn beat(&mut self, now: Duration) {
        self.beats.next = None;
        if !self.takes_part() {
            return;
        }
        self.beats.since.get_or_insert(now);
        let gone = self.members.expire(now);
        let interval = self.interval();
        self.note_churn(&gone, interval, now);
        let listened = self.up(now) >= interval * LISTENS;
        let round = self.beats.repaired.is_none_or(|at| now >= at + interval);
        if listened && round {
            self.beats.repaired = Some(now);
            self.repair(now);
        }
        self.watch();
        self.say(interval, now);
        self.beat_at(now + interval);
    }

    fn interval(&self) -> Duration {
        let times = self.members.most().div_ceil(TALKATIVE).max(1);
        self.config.heartbeat * u32::try_from(times).unwrap_or(u32::MAX)
    }

    /// The shards that concern this node.
    fn watch(&mut self) {
        let shards = self.catalogue.len().div_ceil(SHARD_FRAGMENTS);
        let held = self.computes.iter().chain(self.stores.iter());
        let held = held.chain(self.beats.taking.keys().map(|index| index.0));
        let mut watched: BTreeSet<_> = held.map(shard_of).collect();
        let mut others: Vec<_> = (0..shards).collect();
        let me = Orders::of(&self.config.me);
        others.sort_by_key(|shard| me.rank(&[u64::from(*shard)]));
        watched.extend(others.into_iter().take(WATCHED));
        if !self.members.watched().eq(watched.iter().copied()) {
            self.members.watch(watched.iter().copied());
            if let Some(model) = self.config.model {
                let shards = watched;
                self.actions.push_back(Action::Watch { model, shards });
            }
        }
    }

    fn say(&mut self, interval: Duration, now: Duration) {
        let Some(model) = self.config.model else {
            return;
        };
        self.beats.number = self.beats.number.wrapping_add(1);
        let me = self.own_means();
        let taking = |index: &u32| self.beats.taking.contains_key(&FragmentIndex(*index));
        let mut said = BTreeSet::new();
        for shard in self.members.watched() {
            let fragments = within(shard, &self.catalogue);
            let set = |held: &dyn Fn(&u32) -> bool| -> FragmentSet {
                fragments.clone().filter(held).collect()
            };
            let heartbeat = Heartbeat {
                version: protocol::VERSION,
                model: model.0,
                shard,
                run: self.config.run,
                number: self.beats.number,
                interval,
                up: self.up(now),
                computes: set(&|index| self.computes.contains(*index)),
                stores: set(&|index| {
                    self.stores.contains(*index) && !self.computes.contains(*index)
                }),
                taking: set(&taking),
                waiting: u32::try_from(self.server.len()).unwrap_or(u32::MAX),
                reach: self.beats.reach,
                place: self.place(),
                runs: self.runs_before_long(),
                speed: me.speed,
                speed_many: rounded(self.server.speed_many().unwrap_or(0), 20),
                sends: me.sends,
                memory: me.memory,
            };
            let sets = [&heartbeat.computes, &heartbeat.stores, &heartbeat.taking];
            let something = sets.iter().any(|set| !set.is_empty());
            if something {
                said.insert(shard);
            }
            // That there is nothing any more is said once.
            if something || self.beats.said.contains(&shard) {
                self.actions.push_back(Action::Publish { heartbeat });
            }
        }
        self.beats.said = said;
    }

    /// Somebody has said what it holds.
    pub(crate) fn heartbeat(&mut self, peer: &PeerId, heartbeat: Heartbeat, now: Duration) {
        let concerns_us = self.config.model.is_some_and(|it| it.0 == heartbeat.model)
            && heartbeat.version == protocol::VERSION
            && *peer != self.config.me
            && !self.peers.is_banned(peer);
        if concerns_us {
            self.members.hear(peer, heartbeat, now);
        }
    }

    /// What others hold or are about to, as seen from here. With whom there is a connection says it there, and sooner.
    pub(crate) fn held_by_others(&self) -> Vec<Held> {
        let mut held = vec![Held::default(); self.catalogue.len() as usize];
        let (model, here) = (self.config.model, self.place());
        let mut add = |peer: &PeerId, index: u32| {
            let Some(held) = held.get_mut(index as usize) else {
                return;
            };
            let member = self.members.get(peer);
            let replicas = &mut held.replicas;
            replicas.all += 1;
            replicas.stable += u32::from(member.is_some_and(|it| it.up >= self.config.stays_after));
            if let Some(place) = member.and_then(|it| it.place) {
                replicas.same_network += u32::from(here.is_some_and(|it| it.line == place.line));
                replicas.same_region +=
                    u32::from(here.is_some_and(|it| it.network == place.network));
                held.lines.insert(place.line);
                held.networks.insert(place.network);
            } else {
                // It may be anywhere: where nothing is known, nothing is concluded.
                held.lines.extend([0, 1]);
                held.networks.extend([0, 1]);
            }
        };
        let greeted = |peer: &PeerId| {
            let known = self.peers.get(peer);
            known.filter(|it| it.greeted && it.serves(model))
        };
        for (name, peer) in &self.peers.connected {
            if peer.serves(model) {
                peer.computes.iter().for_each(|index| add(name, index));
            }
        }
        for (name, member) in self.members.iter() {
            let connected = greeted(name);
            let told = |index: &u32| connected.is_some_and(|it| it.computes.contains(*index));
            if connected.is_none() {
                member.computes.iter().for_each(|index| add(name, index));
            }
            let taking = member.taking.iter().filter(|index| !told(index));
            taking.for_each(|index| add(name, index));
        }
        for held in &mut held {
            held.replicas.networks = u32::try_from(held.lines.len()).unwrap_or(u32::MAX);
            held.replicas.regions = u32::try_from(held.networks.len()).unwrap_or(u32::MAX);
        }
        let mut offer = |index: u32| {
            if let Some(held) = held.get_mut(index as usize) {
                held.offered = true;
            }
        };
        for peer in self.peers.connected.values().filter(|it| it.serves(model)) {
            peer.stores.iter().for_each(&mut offer);
        }
        for (_, member) in self.members.iter() {
            let offered = member.computes.iter().chain(member.stores.iter());
            offered.for_each(&mut offer);
        }
        held
    }

    /// How many others compute on each fragment or are about to, and where they are.
    pub(crate) fn replicas_elsewhere(&self) -> Vec<Replicas> {
        let held = self.held_by_others();
        held.into_iter().map(|it| it.replicas).collect()
    }

    /// Everybody else who takes part, connected or heard of.
    pub(crate) fn others(&self) -> BTreeSet<&PeerId> {
        let connected = self.peers.connected.iter();
        let connected = connected
            .filter(|(_, peer)| peer.serves(self.config.model) && peer.role != Role::Client);
        let heard = self.members.iter().map(|(name, _)| name);
        connected.map(|(name, _)| name).chain(heard).collect()
    }

    pub(crate) fn newcomer(&self, capacity: usize, now: Duration) -> Newcomer<'_> {
        Newcomer {
            me: &self.config.me,
            capacity,
            stable: self.stays(now),
        }
    }

    /// Who takes part; `coverage` is that of all fragments.
    pub(crate) fn membership(&self, coverage: &[Coverage]) -> Membership {
        let others = self.others();
        let heard: BTreeMap<_, _> = self.members.iter().collect();
        let fragments = coverage.iter().zip(&self.catalogue.fragments);
        let wanted = self.replication();
        let lacking = fragments.filter(|(held, info)| held.computing < wanted.of(info));
        Membership {
            members: others.len(),
            heard: heard.len(),
            dialled: heard
                .values()
                .filter(|it| it.reach == Reach::Dialled)
                .count(),
            waiting: heard.values().map(|it| u64::from(it.waiting)).sum(),
            wanted,
            lacking: lacking.count(),
            taking: self.beats.taking.len(),
        }
    }

    /// What those hold who are heard of only.
    pub(crate) fn heard_of(&self) -> impl Iterator<Item = (&FragmentSet, &FragmentSet)> {
        let heard = self.members.iter();
        let heard = heard.filter(|(name, _)| self.peers.get(name).is_none());
        heard.map(|(_, member)| (&member.computes, &member.stores))
    }
}

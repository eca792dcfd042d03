//! A swarm whose nodes come and go, heartbeat by heartbeat: who has gone is missed after three, and what is lacking is taken
//! up, and let go, by the rules of real nodes.

use std::time::Duration;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use swarm::{
    FragmentIndex, PeerId, Replication,
    churn::Held,
    placement::{self, Newcomer},
    repair::{Lacking, may_let_go, take_up},
};

use crate::{Device, Member, Model, counts::Counts};

/// A heartbeat: how often everybody says what it holds.
pub(crate) const ROUND: Duration = Duration::from_secs(30);

/// So many heartbeats have to be missed until somebody is taken for gone.
pub(crate) const MISSED: u32 = 3;

/// What fetching may take of a device's line, in bytes a second: up and down. Half of what it has: phones 4 and 20 Mbit/s,
/// computers at home 20 and 100, servers 500.
fn line(device: Device) -> (u64, u64) {
    match device {
        Device::Phone => (250_000, 1_250_000),
        Device::Home => (1_250_000, 6_250_000),
        Device::Server => (31_250_000, 31_250_000),
    }
}

/// A node, there or not.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) member: Member,
    /// What it holds or fetches.
    pub(crate) holds: Vec<FragmentIndex>,
    pub(crate) there: bool,
    /// Whether others take it for somebody who is there.
    known: bool,
    /// Until when its line is in use, both ways.
    sends_until: Duration,
    receives_until: Duration,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

struct Fetch {
    done: Duration,
    /// Which node fetches it.
    by: usize,
    fragment: FragmentIndex,
}

/// What a node does in a round.
struct Decision {
    takes: FragmentIndex,
    instead_of: Option<FragmentIndex>,
}

/// All of them.
pub(crate) struct Rounds<'a> {
    model: &'a Model,
    pub(crate) wanted: Replication,
    pub(crate) nodes: Vec<Node>,
    /// What everybody knows: who has gone is in it until it is missed.
    pub(crate) counts: Counts,
    /// Who is known to hold or fetch each fragment.
    holders: Vec<Vec<u32>>,
    /// Which nodes that are there have each fragment.
    pub(crate) has: Vec<Vec<usize>>,
    fetches: Vec<Fetch>,
    /// Who has gone, and in which round it is missed, unless it is back by then.
    going: Vec<(u32, usize)>,
    /// For how many rounds each fragment has been lacking.
    lacking_for: Vec<u32>,
    round: u32,
}

impl<'a> Rounds<'a> {
    /// A swarm in which everybody is there and has what `holders` say.
    pub(crate) fn new(
        model: &'a Model,
        wanted: Replication,
        members: &[Member],
        holders: &[Vec<u32>],
    ) -> Self {
        let mut nodes: Vec<_> = members.iter().map(Node::new).collect();
        let mut counts = Counts::new(holders.len());
        let mut has = vec![Vec::new(); holders.len()];
        for (index, holders) in holders.iter().enumerate() {
            let fragment = FragmentIndex(index as u32);
            for number in holders {
                let node = &mut nodes[*number as usize];
                counts.add(&node.member, fragment);
                node.holds.push(fragment);
                has[index].push(*number as usize);
            }
        }
        Self {
            model,
            wanted,
            nodes,
            counts,
            holders: holders.to_vec(),
            has,
            fetches: Vec::new(),
            going: Vec::new(),
            lacking_for: vec![0; holders.len()],
            round: 0,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        ROUND * self.round
    }

    /// A node goes without a word.
    pub(crate) fn leave(&mut self, place: usize) {
        self.nodes[place].there = false;
        for fragment in self.nodes[place].holds.clone() {
            self.has[fragment.0 as usize].retain(|it| *it != place);
        }
        // What it was fetching it has not.
        let mut lost = Vec::new();
        self.fetches.retain(|fetch| {
            let own = fetch.by == place;
            if own {
                lost.push(fetch.fragment);
            }
            !own
        });
        for fragment in lost {
            self.forget(place, fragment);
        }
        self.going.push((self.round + MISSED, place));
    }

    /// Somebody who was not there yet.
    pub(crate) fn add(&mut self, member: &Member) -> usize {
        let mut node = Node::new(member);
        (node.there, node.known) = (false, false);
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A node comes with nothing, or is back before anybody has missed it, and takes what is lacking, as far as it has room.
    pub(crate) fn come(&mut self, place: usize) {
        self.going.retain(|(_, it)| *it != place);
        let node = &mut self.nodes[place];
        (node.there, node.known) = (true, true);
        for fragment in &node.holds {
            self.has[fragment.0 as usize].push(place);
        }
        let now = self.now();
        for fragment in self.choose(place) {
            self.take(place, fragment, now);
        }
    }

    /// What somebody takes who has just come.
    fn choose(&self, place: usize) -> Vec<FragmentIndex> {
        let node = &self.nodes[place];
        let room = node.member.capacity.saturating_sub(node.holds.len());
        let newcomer = Newcomer {
            capacity: room,
            ..node.newcomer()
        };
        let seen = self.counts.seen_by(&node.member, true);
        let catalogue = &self.model.catalogue;
        let enough = |index: FragmentIndex| {
            let wanted = self.wanted.of(&catalogue.fragments[index.0 as usize]);
            // The first says the same of nearly all, and is quicker.
            self.counts.is_enough(index.0 as usize, wanted, true)
                || !placement::lacks(wanted, &seen(index))
                || node.holds.contains(&index)
        };
        placement::assign(&newcomer, catalogue, self.wanted, &seen, enough)
    }

    /// A heartbeat: what was fetched is there, and who has missed three is gone. Says how much was known to be there, and
    /// what of it is not any more.
    pub(crate) fn beat(&mut self) -> (Held, Held) {
        self.round += 1;
        self.finish_fetches();
        let (held, mut lost) = (self.held(), Held::default());
        let (due, going): (Vec<_>, Vec<_>) = std::mem::take(&mut self.going)
            .into_iter()
            .partition(|(round, _)| *round <= self.round);
        self.going = going;
        for (_, place) in due {
            self.nodes[place].known = false;
            for fragment in std::mem::take(&mut self.nodes[place].holds) {
                let index = fragment.0 as usize;
                self.counts.remove(&self.nodes[place].member, fragment);
                self.holders[index].retain(|it| *it as usize != place);
                count(self.model, fragment, &mut lost);
            }
        }
        (held, lost)
    }

    fn held(&self) -> Held {
        let mut held = Held::default();
        for (all, info) in self.counts.all.iter().zip(&self.model.catalogue.fragments) {
            let class = if info.always_active {
                &mut held.always_active
            } else {
                &mut held.conditional
            };
            *class += u64::from(*all);
        }
        held
    }

    fn finish_fetches(&mut self) {
        let now = self.now();
        let (done, going_on): (Vec<_>, Vec<_>) = std::mem::take(&mut self.fetches)
            .into_iter()
            .partition(|fetch| fetch.done <= now);
        self.fetches = going_on;
        for Fetch { by, fragment, .. } in done {
            // Unless it has been let go in the meantime.
            if !self.nodes[by].holds.contains(&fragment) {
                continue;
            }
            if self.has[fragment.0 as usize].is_empty() {
                // Nobody is left who could have given the rest of it.
                self.forget(by, fragment);
            } else {
                self.has[fragment.0 as usize].push(by);
            }
        }
    }

    /// A node does not hold a fragment any more, as everybody knows.
    fn forget(&mut self, place: usize, fragment: FragmentIndex) {
        let index = fragment.0 as usize;
        let node = &mut self.nodes[place];
        node.holds.retain(|it| *it != fragment);
        if node.known {
            self.counts.remove(&node.member, fragment);
        }
        self.holders[index].retain(|it| *it as usize != place);
        self.has[index].retain(|it| *it != place);
    }

    fn take(&mut self, place: usize, fragment: FragmentIndex, now: Duration) {
        self.counts.add(&self.nodes[place].member, fragment);
        self.holders[fragment.0 as usize].push(place as u32);
        self.nodes[place].holds.push(fragment);
        self.fetch(place, fragment, now);
    }

    /// Everybody there decides by what was known before the round; then it is done. Says how many fragments are fetched.
    pub(crate) fn repair(&mut self) -> usize {
        let now = self.now();
        let fragments = &self.model.catalogue.fragments;
        let mut lacking = Vec::new();
        for (index, info) in fragments.iter().enumerate() {
            let lacks = !self.counts.is_enough(index, self.wanted.of(info), true);
            self.lacking_for[index] = if lacks {
                self.lacking_for[index] + 1
            } else {
                0
            };
            if lacks && !self.has[index].is_empty() {
                lacking.push(FragmentIndex(index as u32));
            }
        }
        if lacking.is_empty() {
            return 0;
        }
        let known = self.nodes.iter().filter(|node| node.known).count();
        let decisions: Vec<_> = (0..self.nodes.len())
            .into_par_iter()
            .map(|place| self.decide(place, known, &lacking))
            .collect();
        let mut fetched = 0;
        for (place, decisions) in decisions.into_iter().enumerate() {
            for Decision { takes, instead_of } in decisions {
                if let Some(gone) = instead_of {
                    self.forget(place, gone);
                }
                self.take(place, takes, now);
                fetched += 1;
            }
        }
        fetched
    }

    fn decide(&self, place: usize, known: usize, lacking: &[FragmentIndex]) -> Vec<Decision> {
        let node = &self.nodes[place];
        if !node.there {
            return Vec::new();
        }
        let newcomer = node.newcomer();
        let seen = self.counts.seen_by(&node.member, true);
        let candidates = lacking
            .iter()
            .filter(|fragment| !node.holds.contains(fragment))
            .map(|fragment| Lacking {
                fragment: *fragment,
                replicas: seen(*fragment),
                rounds: self.lacking_for[fragment.0 as usize] - 1,
            });
        let catalogue = &self.model.catalogue;
        let taken = take_up(&newcomer, catalogue, self.wanted, known, candidates);
        if taken.is_empty() {
            return Vec::new();
        }
        let mut room = node.member.capacity.saturating_sub(node.holds.len());
        let mut spare = node.holds.iter().copied().filter(|held| {
            // Those that have it, as far as is known: not those that only fetch it.
            let has = &self.has[held.0 as usize];
            let has_it = |place: usize| !self.nodes[place].there || has.contains(&place);
            let others = self.holders[held.0 as usize].iter();
            let others = others.filter(|it| **it as usize != place && has_it(**it as usize));
            let names =
                others.map(|number| -> &PeerId { &self.nodes[*number as usize].member.peer });
            let info = &catalogue.fragments[held.0 as usize];
            may_let_go(&node.member.peer, *held, self.wanted.of(info), names)
        });
        let mut decisions = Vec::new();
        for takes in taken {
            let instead_of = if room > 0 {
                room -= 1;
                None
            } else {
                match spare.next() {
                    Some(spare) => Some(spare),
                    None => break,
                }
            };
            decisions.push(Decision { takes, instead_of });
        }
        decisions
    }

    /// Of those who have it, whoever's line is free first gives it, as fast as both lines let it.
    fn fetch(&mut self, by: usize, fragment: FragmentIndex, now: Duration) {
        let index = fragment.0 as usize;
        let sources = self.has[index].iter().copied();
        let Some(source) = sources.min_by_key(|it| (self.nodes[*it].sends_until, *it)) else {
            // Nobody has it now. It is tried again in the next round.
            let done = now + ROUND;
            return self.fetches.push(Fetch { done, by, fragment });
        };
        let device = |it: usize| self.nodes[it].member.device;
        let bytes = self.model.catalogue.fragments[index].bytes;
        let rate = line(device(source)).0.min(line(device(by)).1);
        let begin = now
            .max(self.nodes[source].sends_until)
            .max(self.nodes[by].receives_until);
        let done = begin + Duration::from_micros(bytes * 1_000_000 / rate);
        self.nodes[source].sends_until = done;
        self.nodes[source].sent += bytes;
        self.nodes[by].receives_until = done;
        self.nodes[by].received += bytes;
        self.fetches.push(Fetch { done, by, fragment });
    }
}

impl Node {
    fn new(member: &Member) -> Self {
        Self {
            member: member.clone(),
            holds: Vec::new(),
            there: true,
            known: true,
            sends_until: Duration::ZERO,
            receives_until: Duration::ZERO,
            sent: 0,
            received: 0,
        }
    }

    fn newcomer(&self) -> Newcomer<'_> {
        Newcomer {
            me: &self.member.peer,
            capacity: self.member.capacity,
            stable: self.member.is_stable(),
        }
    }
}

fn count(model: &Model, fragment: FragmentIndex, held: &mut Held) {
    if model.catalogue.fragments[fragment.0 as usize].always_active {
        held.always_active += 1;
    } else {
        held.conditional += 1;
    }
}

//! Taking up what has too few replicas, and letting go of what has enough: in each beat, by the rules of
//! [`repair`](crate::repair).

use crate::heartbeats::within;
use crate::placement::lacks;
use crate::repair::{Lacking, may_let_go, take_up};
use crate::{Action, FragmentIndex, Node};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

impl Node {
    /// Takes up what has too few replicas, if it is this node's turn.
    pub(crate) fn repair(&mut self, now: Duration) {
        let free = self.config.repairs.saturating_sub(self.beats.taking.len());
        let held = self.held_by_others();
        let wanted = self.replication();
        let web = self.downloads.has_web_seeds();
        let mut lacking = BTreeMap::new();
        let mut candidates = Vec::new();
        for shard in self.members.watched() {
            for index in within(shard, &self.catalogue) {
                let fragment = FragmentIndex(index);
                let Some((info, held)) = self.catalogue.get(fragment).zip(held.get(index as usize))
                else {
                    continue;
                };
                let ours =
                    self.computes.contains(index) || self.beats.taking.contains_key(&fragment);
                let is_lacking = lacks(wanted.of(info), &held.replicas);
                // What nobody has cannot be fetched.
                if ours || !is_lacking || !(held.offered || web) {
                    continue;
                }
                let rounds = self.beats.lacking.get(&fragment).map_or(0, |it| it + 1);
                lacking.insert(fragment, rounds);
                candidates.push(Lacking {
                    fragment,
                    replicas: held.replicas,
                    rounds,
                });
            }
        }
        self.beats.lacking = lacking;
        let mut spare = self.spare(now).into_iter();
        let holds = self.computes.count() as usize + self.beats.taking.len();
        let mut room = self.beats.capacity.saturating_sub(holds);
        self.elect(room + spare.len(), now);
        let mut taken = self.missing_of_layers(&held);
        taken.truncate(free);
        let capacity = (free - taken.len()).min(self.beats.capacity);
        let nodes = self.others().len() + 1;
        let others = take_up(
            &self.newcomer(capacity, now),
            &self.catalogue,
            wanted,
            nodes,
            candidates.into_iter(),
        );
        taken.extend(others);
        for fragment in taken {
            if self.beats.taking.contains_key(&fragment) {
                continue;
            }
            let instead_of = match room.checked_sub(1) {
                Some(less) => {
                    room = less;
                    None
                }
                None => match spare.next() {
                    Some(spare) => Some(spare),
                    None => break,
                },
            };
            self.beats.taking.insert(fragment, instead_of);
            self.actions.push_back(Action::TakeUp { fragment });
        }
    }

    /// What this node may let go of, because enough others hold it, and is not to let go of already. Where none of them is
    /// connected, so that they may all have gone since they said so, one is looked for.
    fn spare(&mut self, now: Duration) -> Vec<FragmentIndex> {
        let held = self.computes.iter().map(FragmentIndex);
        let promised: BTreeSet<_> = self.beats.taking.values().flatten().collect();
        let enough =
            held.filter(|fragment| !promised.contains(fragment) && self.is_held_enough(*fragment));
        let enough = enough.filter(|fragment| !self.is_of_own_layers(*fragment));
        let (spare, unseen): (Vec<_>, Vec<_>) =
            enough.partition(|fragment| self.is_held_in_sight(*fragment));
        for fragment in unseen.into_iter().take(self.config.repairs) {
            if let Some(content) = self.catalogue.get(fragment).map(|info| info.content) {
                self.find(content, now);
            }
        }
        spare
    }

    /// Whether somebody who is connected computes on a fragment.
    fn is_held_in_sight(&self, fragment: FragmentIndex) -> bool {
        let mut peers = self.peers.connected.values();
        peers.any(|peer| peer.computes(self.config.model, fragment))
    }

    /// Whether so many others hold a fragment that it is for this node to let it go.
    fn is_held_enough(&self, fragment: FragmentIndex) -> bool {
        let Some(info) = self.catalogue.get(fragment) else {
            return false;
        };
        let model = self.config.model;
        let connected = self.peers.connected.iter();
        let connected = connected.filter(|(_, peer)| peer.computes(model, fragment));
        let heard = self.members.iter();
        let heard = heard.filter(|(name, member)| {
            // Who is connected says it there.
            let connected = self.peers.get(name).is_some_and(|it| it.greeted);
            !connected && member.computes.contains(fragment.0)
        });
        let others = connected
            .map(|(name, _)| name)
            .chain(heard.map(|(name, _)| name));
        let wanted = self.replication().of(info);
        may_let_go(&self.config.me, fragment, wanted, others)
    }

    /// Of what was being fetched something may be computed on now: what it came in place of is let go, if it still may be.
    pub(crate) fn note_taken(&mut self, now: Duration) {
        let here = |index: &FragmentIndex| self.computes.contains(index.0);
        let taken: Vec<_> = self.beats.taking.keys().copied().filter(here).collect();
        let gone = taken
            .iter()
            .filter_map(|index| self.beats.taking.remove(index));
        for gone in gone.flatten().collect::<Vec<_>>() {
            if self.computes.contains(gone.0)
                && self.is_held_enough(gone)
                && self.is_held_in_sight(gone)
                && !self.is_of_own_layers(gone)
            {
                self.actions.push_back(Action::LetGo { fragment: gone });
                self.remove_holding(gone, now);
            }
        }
    }
}

//! Which fragments a node that has room should take.
//!
//! There is no coordinator: everybody decides from what it sees, by a rule that two nodes which see the same can both
//! follow to its end, and that sends nodes which decide at the same moment to different fragments. In this order:
//!
//! 1. The fewest replicas, in proportion to how many are [wanted](Replication). If all lie in one place, one is still
//!    lacking, as those in other places see it: replicas that share a line or a power plant are lost together.
//! 2. None in one's own network yet, then as few as possible in one's own region.
//! 3. A weighted rendezvous hash of (own name, fragment), which orders the fragments differently for everybody.
//!
//! Who takes several takes *runs* of adjacent fragments that are equally wanted, because work on adjacent fragments
//! then needs fewer round trips; and what every token needs goes to nodes that stay, as long as there are such.

use crate::{Catalogue, ContentId, FragmentIndex, FragmentInfo, PeerId, Replication};
use std::{cmp::Reverse, collections::BTreeSet};

/// Who decides.
#[derive(Debug, Clone, Copy)]
pub struct Newcomer<'a> {
    /// Its name.
    pub me: &'a PeerId,
    /// How many fragments it has room for.
    pub capacity: usize,
    /// It has been seen to stay.
    pub stable: bool,
}

/// Who else computes on a fragment, as far as the one who decides knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replicas {
    /// All of them.
    pub all: u32,
    /// Those of them that have been seen to stay.
    pub stable: u32,
    /// Those of them in the network (the provider's, the household's) of the one who decides.
    pub same_network: u32,
    /// Those of them in its region.
    pub same_region: u32,
    /// The networks that they are in.
    pub networks: u32,
    /// The regions that they are in.
    pub regions: u32,
}

impl Replicas {
    /// Whether the one who decides would be the first in another place.
    fn would_spread(&self) -> bool {
        (self.networks == 1 && self.same_network == 0)
            || (self.regions == 1 && self.same_region == 0)
    }
}

/// Whether a fragment of which `wanted` replicas should be has too few, as the one who decides sees it.
#[must_use]
pub fn lacks(wanted: u32, replicas: &Replicas) -> bool {
    counted(wanted, replicas) < wanted
}

/// Replicas; at most all but one where one more would be the first in another place.
fn counted(wanted: u32, replicas: &Replicas) -> u32 {
    if replicas.would_spread() {
        replicas.all.min(wanted.max(2) - 1)
    } else {
        replicas.all
    }
}

/// How much a fragment lacks: the smaller, the more urgent.
pub(crate) type Need = (u32, u32, u32);

/// Chooses up to `newcomer.capacity` fragments, in order of their index. `replicas` tells who *else* computes on a
/// fragment, `taken` what is held already, here or by a sibling on the same machine (two replicas on one machine leave
/// together). There is no end to it: where all are held as often as wanted, more replicas make the network faster.
pub fn assign(
    newcomer: &Newcomer<'_>,
    catalogue: &Catalogue,
    wanted: Replication,
    replicas: impl Fn(FragmentIndex) -> Replicas,
    taken: impl Fn(FragmentIndex) -> bool,
) -> Vec<FragmentIndex> {
    let me = Orders::of(newcomer.me);
    let need = |at: u32, chosen: &BTreeSet<u32>| {
        let index = FragmentIndex(at);
        if chosen.contains(&at) || taken(index) {
            return None;
        }
        let info = catalogue.get(index)?;
        Some(need(newcomer.stable, wanted, info, &replicas(index)))
    };
    let mut chosen = BTreeSet::new();
    while chosen.len() < newcomer.capacity {
        let Some((most, equal)) = neediest(catalogue.len(), |at| need(at, &chosen)) else {
            break;
        };
        let room = newcomer.capacity - chosen.len();
        for at in first(room, equal, |at| urgency(me, catalogue, at)) {
            // With its neighbours that are wanted as much: first those behind it, then those before it.
            let as_much = |at: &u32| need(*at, &chosen) == Some(most);
            let behind = (at..catalogue.len()).take_while(as_much);
            let before = (0..at).rev().take_while(as_much);
            let room = newcomer.capacity - chosen.len();
            let run: Vec<_> = behind.chain(before).take(room).collect();
            chosen.extend(run);
        }
    }
    chosen.into_iter().map(FragmentIndex).collect()
}

/// The greatest need, and which fragments have it.
fn neediest(fragments: u32, need: impl Fn(u32) -> Option<Need>) -> Option<(Need, Vec<u32>)> {
    let mut found: Option<(Need, Vec<u32>)> = None;
    for at in 0..fragments {
        let Some(need) = need(at) else { continue };
        match &mut found {
            Some((most, _)) if need > *most => {}
            Some((most, equal)) if need == *most => equal.push(at),
            _ => found = Some((need, vec![at])),
        }
    }
    found
}

/// The `count` first of them, in this order.
fn first<K: Ord>(count: usize, of: Vec<u32>, key: impl Fn(u32) -> K) -> impl Iterator<Item = u32> {
    let mut keyed: Vec<_> = of.into_iter().map(|at| (key(at), at)).collect();
    if count > 0 && keyed.len() > count {
        keyed.select_nth_unstable(count - 1);
        keyed.truncate(count);
    }
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, at)| at)
}

/// Which of several that are equally rare goes first: different for everybody.
fn urgency(me: Orders, catalogue: &Catalogue, at: u32) -> Reverse<u64> {
    let info = catalogue.get(FragmentIndex(at));
    // Every token needs an always-active fragment: of two equally rare ones it is the more urgent. Two draws instead of
    // one, rather than a strict preference, or simultaneous joiners would all take the same few.
    let rank = info.map_or(0, |info| {
        let draws = if info.always_active { 2 } else { 1 };
        let ranks = (0..draws).map(|draw| me.place(&info.content, draw));
        ranks.max().unwrap_or(0)
    });
    Reverse(rank)
}

pub(crate) fn need(
    stable: bool,
    wanted: Replication,
    fragment: &FragmentInfo,
    replicas: &Replicas,
) -> Need {
    let wanted = wanted.of(fragment);
    // To nodes that come and go, what every token needs looks better off by one where those that stay have begun with
    // it, so that the others of these get it.
    let seen = counted(wanted, replicas)
        + u32::from(!stable && fragment.always_active && replicas.stable > 0);
    // In 256ths of what is wanted.
    let share = seen.saturating_mul(256) / wanted;
    (share, replicas.same_network, replicas.same_region)
}

/// Orders that belong to a node: a hash of its name with something else puts that in an order that is different for
/// everybody, and the same for all who ask.
#[derive(Clone, Copy)]
pub(crate) struct Orders(u64);

impl Orders {
    /// FNV-1a of the name: the same everywhere, and nobody gains by finding collisions with itself.
    pub(crate) fn of(me: &PeerId) -> Self {
        let bytes = me.as_bytes().iter();
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        }))
    }

    /// Where something that these numbers name stands.
    pub(crate) fn rank(self, numbers: &[u64]) -> u64 {
        numbers
            .iter()
            .fold(self.0, |hash, number| mix(hash ^ number))
    }

    /// Where a fragment stands in one of several orders, by the hash that is its name.
    pub(crate) fn place(self, content: &ContentId, draw: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = content.0;
        let name = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        mix((self.0 ^ name).wrapping_add(draw.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }
}

/// The finisher of SplitMix64, by which every bit of the input moves half of the output's.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn catalogue(fragments: u8, always_active: u8) -> Catalogue {
        let info = |i| FragmentInfo {
            content: ContentId(*blake3::hash(&[i]).as_bytes()),
            bytes: 10,
            always_active: i < always_active,
        };
        Catalogue {
            fragments: (0..fragments).map(info).collect(),
        }
    }

    /// What a node that comes and goes takes if nobody holds anything but as `replicas` says.
    fn choice(
        name: &[u8],
        capacity: usize,
        catalogue: &Catalogue,
        replicas: impl Fn(u32) -> Replicas,
    ) -> Vec<u32> {
        let me = PeerId::new(name);
        let newcomer = Newcomer {
            me: &me,
            capacity,
            stable: false,
        };
        let replicas = |index: FragmentIndex| replicas(index.0);
        let chosen = assign(&newcomer, catalogue, Replication::THREE, replicas, |_| {
            false
        });
        chosen.iter().map(|index| index.0).collect()
    }

    fn held(all: u32) -> Replicas {
        Replicas {
            all,
            ..Replicas::default()
        }
    }

    #[test]
    fn the_rarest_fragment_goes_first() {
        let replicas = |index| held(if index == 7 { 0 } else { 3 });
        assert_eq!(choice(b"me", 1, &catalogue(10, 5), replicas), [7]);
    }

    #[test]
    fn what_a_sibling_claims_is_left_to_it() {
        let me = PeerId::new(b"me");
        let newcomer = Newcomer {
            me: &me,
            capacity: 9,
            stable: true,
        };
        let chosen = assign(
            &newcomer,
            &catalogue(4, 4),
            Replication::THREE,
            |_| held(0),
            |index| index.0 == 2,
        );
        assert_eq!(chosen.iter().map(|i| i.0).collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn nodes_that_join_at_the_same_moment_spread() {
        let catalogue = catalogue(40, 20);
        let mut taken = BTreeMap::new();
        for joiner in 0..400u32 {
            for index in choice(&joiner.to_be_bytes(), 1, &catalogue, |_| held(0)) {
                *taken.entry(index).or_insert(0) += 1;
            }
        }
        assert_eq!(taken.len(), 40, "some fragment was taken by nobody");
        let always: u32 = (0..20).map(|i| taken[&i]).sum();
        assert!(
            (200..330).contains(&always),
            "{always} of 400 took an always-active fragment"
        );
        assert!(taken.values().all(|n| *n <= 40));
    }

    #[test]
    fn who_takes_several_takes_adjacent_ones() {
        for name in 0..50u32 {
            let chosen = choice(&name.to_be_bytes(), 8, &catalogue(200, 20), |_| held(0));
            assert_eq!(chosen.len(), 8);
            assert!(
                chosen.windows(2).all(|pair| pair[1] == pair[0] + 1),
                "{chosen:?}"
            );
        }
    }

    #[test]
    fn what_is_wanted_oftener_goes_before_what_is_held_as_often() {
        let catalogue = catalogue(2, 1);
        let me = PeerId::new(b"me");
        let newcomer = Newcomer {
            me: &me,
            capacity: 1,
            stable: true,
        };
        let wanted = Replication {
            always_active: 10,
            conditional: 2,
        };
        // Four of ten are less than one of two.
        let always = |index: FragmentIndex| held(if index.0 == 0 { 4 } else { 1 });
        let chosen = assign(&newcomer, &catalogue, wanted, always, |_| false);
        assert_eq!(chosen, [FragmentIndex(0)]);
        let conditional = |index: FragmentIndex| held(if index.0 == 0 { 6 } else { 1 });
        let chosen = assign(&newcomer, &catalogue, wanted, conditional, |_| false);
        assert_eq!(chosen, [FragmentIndex(1)]);
    }

    #[test]
    fn replicas_go_to_other_places() {
        let replicas = |index| Replicas {
            all: 1,
            same_network: u32::from(index != 3),
            same_region: 1,
            ..Replicas::default()
        };
        assert_eq!(choice(b"me", 1, &catalogue(6, 6), replicas), [3]);
        let replicas = |index| Replicas {
            all: 1,
            same_region: u32::from(index != 5),
            ..Replicas::default()
        };
        assert_eq!(choice(b"me", 1, &catalogue(6, 6), replicas), [5]);
    }

    #[test]
    fn replicas_that_are_all_in_one_place_are_one_too_few_elsewhere() {
        let in_one_region = Replicas {
            all: 3,
            networks: 3,
            regions: 1,
            ..Replicas::default()
        };
        let seen_from_there = Replicas {
            same_region: 3,
            ..in_one_region
        };
        let spread = Replicas {
            regions: 2,
            ..in_one_region
        };
        assert!(lacks(3, &in_one_region));
        assert!(!lacks(3, &seen_from_there));
        assert!(!lacks(3, &spread));
        // One that is wanted once is wanted there no more than here.
        let one = Replicas {
            all: 1,
            ..in_one_region
        };
        assert!(!lacks(1, &one));
        let replicas = |index| if index == 4 { in_one_region } else { spread };
        assert_eq!(choice(b"me", 1, &catalogue(6, 6), replicas), [4]);
    }

    #[test]
    fn what_every_token_needs_goes_to_those_who_stay_if_there_are_such() {
        let replicas = |stable| {
            move |_| Replicas {
                all: 1,
                stable,
                ..Replicas::default()
            }
        };
        let catalogue = catalogue(40, 20);
        let who_comes_and_goes = choice(b"phone", 20, &catalogue, replicas(1));
        assert!(who_comes_and_goes.iter().all(|index| *index >= 20));
        let nobody_stays = choice(b"phone", 20, &catalogue, replicas(0));
        assert!(nobody_stays.iter().any(|index| *index < 20));
    }

    #[test]
    fn all_are_taken_by_whoever_has_room_for_all() {
        let catalogue = catalogue(30, 10);
        let everything: Vec<u32> = (0..30).collect();
        assert_eq!(choice(b"me", 99, &catalogue, held), everything);
        assert_eq!(choice(b"me", 0, &catalogue, held), [0u32; 0]);
    }
}

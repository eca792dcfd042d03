//! Who takes up a fragment that has too few replicas, and who may let one go that has too many.
//!
//! Everybody sees that something is lacking at about the same time, and nobody is in charge. If all with room took it up,
//! there would be a stampede; if each waited for another, nobody would. So:
//!
//! - Of `nodes` that may see it, each takes a lacking fragment up in a round with the probability `missing / nodes`, drawn by
//!   a hash of its own name, the fragment and the round: as many as are missing on average. Whoever takes one up says so
//!   with its next heartbeat. As long as some are missing, half as many again are drawn in each round, so that it does
//!   not matter that most nodes have no room: after some rounds somebody has.
//! - A hash puts the holders of a fragment into an order that is the same for all who know them. If there are more than
//!   wanted, those at its end may let go, and nobody else: never too many at once. Who does not know all of the others
//!   sees fewer and keeps what it has.

use crate::{
    Catalogue, FragmentIndex, PeerId, Replication,
    placement::{Newcomer, Orders, Replicas, lacks, need},
};

/// After so many rounds everybody may take a fragment up, in a swarm of up to 400,000.
const LAST_ROUND: u32 = 32;

/// A fragment that lacks replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// Which.
    pub fragment: FragmentIndex,
    /// Who else has it, or is fetching it.
    pub replicas: Replicas,
    /// For how many heartbeats it has been lacking.
    pub rounds: u32,
}

/// Chooses which lacking fragments a node takes up in this round, the most urgent first, as many as it has room for.
/// `nodes` is how many may see what it sees, itself included.
#[must_use]
pub fn take_up(
    newcomer: &Newcomer<'_>,
    catalogue: &Catalogue,
    wanted: Replication,
    nodes: usize,
    lacking: impl Iterator<Item = Lacking>,
) -> Vec<FragmentIndex> {
    let me = Orders::of(newcomer.me);
    let mut mine: Vec<_> = lacking
        .filter_map(|it| {
            let info = catalogue.get(it.fragment)?;
            let of = wanted.of(info);
            let missing = of.saturating_sub(it.replicas.all).max(1);
            let drawn =
                lacks(of, &it.replicas) && is_drawn(me, it.fragment, it.rounds, missing, nodes);
            drawn.then(|| {
                let need = need(newcomer.stable, wanted, info, &it.replicas);
                (need, it.fragment)
            })
        })
        .collect();
    mine.sort_unstable();
    mine.truncate(newcomer.capacity);
    mine.into_iter().map(|(_, fragment)| fragment).collect()
}

/// Whether a node is among those drawn for a fragment in a round.
fn is_drawn(me: Orders, fragment: FragmentIndex, rounds: u32, missing: u32, nodes: usize) -> bool {
    let numbers = [fragment.0.into(), u64::from(rounds)];
    let number = u128::from(me.rank(&numbers)) * nodes as u128;
    let rounds = rounds.min(LAST_ROUND);
    number >> 64 < u128::from(missing) * 3_u128.pow(rounds) / 2_u128.pow(rounds)
}

/// Whether a node may let a fragment go of which `wanted` replicas should stay. `others` are those who hold it, too.
#[must_use]
pub fn may_let_go<'a>(
    me: &PeerId,
    fragment: FragmentIndex,
    wanted: u32,
    others: impl Iterator<Item = &'a PeerId>,
) -> bool {
    let place = |peer: &PeerId| Orders::of(peer).rank(&[u64::from(fragment.0)]);
    let mine = (place(me), me);
    let before_me = others.filter(|other| (place(other), *other) < mine);
    before_me.count() >= wanted.max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContentId, FragmentInfo};
    use proptest::prelude::*;

    fn node(name: u32) -> PeerId {
        PeerId::new(&name.to_be_bytes())
    }

    fn catalogue(fragments: u32) -> Catalogue {
        let info = |_| FragmentInfo {
            content: ContentId([0; 32]),
            bytes: 10,
            always_active: true,
        };
        Catalogue {
            fragments: (0..fragments).map(info).collect(),
        }
    }

    /// How many of `nodes`, of which one in `one_in` has room, take up a fragment of which `missing` of three replicas are
    /// missing, and after how many rounds it is whole.
    fn repaired(nodes: u32, one_in: u32, missing: u32) -> (u32, u32) {
        let catalogue = catalogue(1);
        let mut all = 3 - missing;
        for rounds in 0..100 {
            let lacking = Lacking {
                fragment: FragmentIndex(0),
                replicas: Replicas {
                    all,
                    ..Replicas::default()
                },
                rounds,
            };
            // All of them see what was there before the round.
            let takers = (0..nodes).filter(|name| {
                let me = node(*name);
                let newcomer = Newcomer {
                    me: &me,
                    capacity: usize::from(name % one_in == 0),
                    stable: false,
                };
                let lacking = std::iter::once(lacking);
                let wanted = Replication::THREE;
                !take_up(&newcomer, &catalogue, wanted, nodes as usize, lacking).is_empty()
            });
            all += takers.count() as u32;
            if all >= 3 {
                return (all - (3 - missing), rounds + 1);
            }
        }
        panic!("nobody took it up");
    }

    #[test]
    fn what_is_missing_is_taken_up_without_a_stampede() {
        for missing in 1..=3 {
            let (takers, rounds) = repaired(20_000, 1, missing);
            assert!(takers <= 4 * missing, "{takers} for {missing}");
            assert!(rounds <= 6, "{rounds}");
        }
    }

    #[test]
    fn it_is_taken_up_even_if_hardly_anybody_has_room() {
        let (takers, rounds) = repaired(20_000, 1000, 1);
        assert!(takers <= 4, "{takers}");
        assert!(rounds <= 22, "{rounds}");
        assert_eq!(repaired(1, 1, 1).0, 1);
    }

    #[test]
    fn what_is_needed_most_is_taken_up_first() {
        let me = node(1);
        let newcomer = Newcomer {
            me: &me,
            capacity: 2,
            stable: false,
        };
        let lacking = |fragment, all| Lacking {
            fragment: FragmentIndex(fragment),
            replicas: Replicas {
                all,
                ..Replicas::default()
            },
            rounds: LAST_ROUND,
        };
        let taken = take_up(
            &newcomer,
            &catalogue(4),
            Replication::THREE,
            1000,
            [lacking(0, 2), lacking(1, 1), lacking(2, 3), lacking(3, 0)].into_iter(),
        );
        assert_eq!(taken, [FragmentIndex(3), FragmentIndex(1)]);
    }

    proptest! {
        /// However many hold a fragment, as many stay as are wanted.
        #[test]
        fn as_many_stay_as_are_wanted(holders in 0_u32..40, wanted in 1_u32..9, fragment in 0_u32..1000) {
            let peers: Vec<_> = (0..holders).map(node).collect();
            let going = peers.iter().filter(|me| {
                let others = peers.iter().filter(|other| other != me);
                may_let_go(me, FragmentIndex(fragment), wanted, others)
            });
            prop_assert_eq!(going.count() as u32, holders.saturating_sub(wanted));
        }

        /// Who knows fewer of the holders is not readier to let go.
        #[test]
        fn who_knows_less_keeps_more(known in prop::collection::vec(any::<bool>(), 1..30), wanted in 1_u32..9) {
            let me = node(1000);
            let all: Vec<_> = (0..known.len() as u32).map(node).collect();
            let some: Vec<_> = all.iter().zip(&known).filter(|(_, known)| **known).map(|(peer, _)| peer).collect();
            let fragment = FragmentIndex(7);
            if may_let_go(&me, fragment, wanted, some.into_iter()) {
                prop_assert!(may_let_go(&me, fragment, wanted, all.iter()));
            }
        }
    }
}

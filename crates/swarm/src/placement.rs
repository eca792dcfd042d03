//! Which fragments a node that has room should take.
//!
//! There is no coordinator: everybody decides from what it sees, and the rule must send nodes that see the same and
//! decide at the same moment to different fragments. So: fewest replicas first, and among equals a weighted rendezvous
//! hash of (own name, fragment), which orders the fragments differently for everybody.

use crate::{Catalogue, ContentId, FragmentIndex, PeerId};

/// Chooses up to `capacity` fragments. `replicas` tells how many *other* nodes compute on a fragment, `taken` what is
/// held already, here or by a sibling on the same machine (two replicas on one machine leave together).
pub(crate) fn assign(
    me: &PeerId,
    catalogue: &Catalogue,
    capacity: usize,
    replicas: impl Fn(FragmentIndex) -> u32,
    taken: impl Fn(FragmentIndex) -> bool,
) -> Vec<FragmentIndex> {
    let mut free: Vec<_> = catalogue
        .indices()
        .zip(&catalogue.fragments)
        .filter(|(index, _)| !taken(*index))
        .map(|(index, info)| {
            // Every token needs an always-active fragment: of two equally rare ones it is the more urgent. Two draws
            // instead of one, rather than a strict preference, or simultaneous joiners would all take the same few.
            let draws = if info.always_active { 2 } else { 1 };
            let rank = (0..draws)
                .map(|draw| hash(me, &info.content, draw))
                .max()
                .unwrap_or(0);
            (replicas(index), std::cmp::Reverse(rank), index)
        })
        .collect();
    free.sort_unstable();
    let mut chosen: Vec<_> = free
        .into_iter()
        .take(capacity)
        .map(|(_, _, index)| index)
        .collect();
    chosen.sort_unstable();
    chosen
}

/// FNV-1a with a finisher: spreads well, is the same everywhere, and nobody gains by finding collisions with itself.
fn hash(me: &PeerId, content: &ContentId, draw: u8) -> u64 {
    let bytes = me
        .as_bytes()
        .iter()
        .chain(&content.0)
        .chain(std::iter::once(&draw));
    let mut h = bytes.fold(0xcbf2_9ce4_8422_2325u64, |h, byte| {
        (h ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FragmentInfo;
    use std::collections::BTreeMap;

    fn catalogue(fragments: u8, always_active: u8) -> Catalogue {
        let info = |i| FragmentInfo {
            content: ContentId([i; 32]),
            bytes: 10,
            always_active: i < always_active,
        };
        Catalogue {
            fragments: (0..fragments).map(info).collect(),
        }
    }

    #[test]
    fn the_rarest_fragment_goes_first() {
        let me = PeerId::new(b"me");
        let replicas = |index: FragmentIndex| if index.0 == 7 { 0 } else { 3 };
        assert_eq!(
            assign(&me, &catalogue(10, 5), 1, replicas, |_| false),
            [FragmentIndex(7)]
        );
    }

    #[test]
    fn what_a_sibling_claims_is_left_to_it() {
        let me = PeerId::new(b"me");
        let chosen = assign(&me, &catalogue(4, 4), 9, |_| 0, |index| index.0 == 2);
        assert_eq!(chosen.iter().map(|i| i.0).collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn nodes_that_join_at_the_same_moment_spread() {
        let catalogue = catalogue(40, 20);
        let mut taken = BTreeMap::new();
        for joiner in 0..400u32 {
            for index in assign(
                &PeerId::new(&joiner.to_be_bytes()),
                &catalogue,
                1,
                |_| 0,
                |_| false,
            ) {
                *taken.entry(index).or_insert(0) += 1;
            }
        }
        assert_eq!(taken.len(), 40, "some fragment was taken by nobody");
        let always: u32 = (0..20).map(|i| taken[&FragmentIndex(i)]).sum();
        assert!(
            (200..330).contains(&always),
            "{always} of 400 took an always-active fragment"
        );
        assert!(taken.values().all(|n| *n <= 40));
    }
}

//! Which layers a node should run for others.
//!
//! Whoever runs a range of layers should hold all that every token needs of them: then a token that is with it waits for
//! experts only. The rule is that of [`placement`](crate::placement), with ranges of layers instead of fragments: those
//! that the fewest others run, and among equals the ones that a hash of the node's own name and the range puts first.

use crate::PeerId;
use crate::placement::Orders;
use std::cmp::Reverse;
use std::ops::Range;

/// Chooses the range of layers that a node with room for `capacity` fragments should run. `sizes` says for each layer how
/// many fragments every token needs of it, `runs` how many others run it. Nothing if there is no room for a single layer.
#[must_use]
pub fn choose(me: &PeerId, capacity: usize, sizes: &[usize], runs: &[u32]) -> Option<Range<usize>> {
    let ranges = (0..sizes.len()).filter_map(|start| {
        let mut room = capacity;
        let fitting = sizes[start..]
            .iter()
            .take_while(|size| match room.checked_sub(**size) {
                Some(left) => {
                    room = left;
                    true
                }
                None => false,
            });
        let end = start + fitting.count();
        (end > start).then_some(start..end)
    });
    // As long as can be: a range within another one saves nothing.
    let mut longest: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        if longest.last().is_none_or(|last| last.end < range.end) {
            longest.push(range);
        }
    }
    let order = Orders::of(me);
    longest.into_iter().min_by_key(|range| {
        let covered: u32 = runs.iter().skip(range.start).take(range.len()).sum();
        // In 256ths of a runner per layer; the longer one of two that are covered alike.
        let covered = u64::from(covered) * 256 / range.len() as u64;
        let place = [range.start as u64, range.end as u64];
        (covered, Reverse(range.len()), Reverse(order.rank(&place)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: u32) -> PeerId {
        PeerId::new(&name.to_be_bytes())
    }

    #[test]
    fn the_layers_that_fewest_run_are_taken() {
        let runs = [2, 2, 0, 0, 1, 3];
        assert_eq!(choose(&node(1), 20, &[10; 6], &runs), Some(2..4));
    }

    #[test]
    fn a_range_takes_all_the_room_there_is() {
        assert_eq!(choose(&node(1), 35, &[10; 3], &[0; 3]), Some(0..3));
        assert_eq!(choose(&node(1), 9, &[10; 3], &[0; 3]), None);
        assert_eq!(choose(&node(1), 9, &[], &[]), None);
        // The layer that does not fit is left to others.
        assert_eq!(choose(&node(1), 30, &[10, 50, 10, 10], &[0; 4]), Some(2..4));
    }

    #[test]
    fn nodes_that_choose_one_after_the_other_run_all_layers_alike() {
        let sizes: Vec<usize> = (0..61).map(|layer| 15 + layer % 7).collect();
        let mut runs = vec![0; sizes.len()];
        for name in 0..40 {
            let range = choose(&node(name), 100 + 20 * (name as usize % 8), &sizes, &runs);
            for layer in range.unwrap_or_default() {
                runs[layer] += 1;
            }
        }
        let (fewest, most) = (runs.iter().min(), runs.iter().max());
        assert!(fewest >= Some(&3) && most <= Some(&8), "{runs:?}");
    }

    #[test]
    fn nodes_that_choose_at_the_same_moment_choose_different_layers() {
        let chosen: std::collections::BTreeSet<_> = (0..100)
            .filter_map(|name| choose(&node(name), 60, &[20; 61], &[0; 61]))
            .map(|range| range.start)
            .collect();
        assert!(chosen.len() > 35, "{chosen:?}");
    }
}

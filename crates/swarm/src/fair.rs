//! A queue that serves everybody in turn: who asks for a thousand things waits behind who asks for one.

use std::collections::{BTreeMap, VecDeque};

/// Items of several owners; [`Fair::pop`] takes one from each owner in turn, each owner's in order.
#[derive(Debug)]
pub(crate) struct Fair<K, T> {
    queues: BTreeMap<K, VecDeque<T>>,
    last: Option<K>,
    len: usize,
}

impl<K: Ord + Clone, T> Fair<K, T> {
    pub(crate) fn new() -> Self {
        Self {
            queues: BTreeMap::new(),
            last: None,
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, owner: K, item: T) {
        self.queues.entry(owner).or_default().push_back(item);
        self.len += 1;
    }

    /// The next item of the next owner after the one served last.
    pub(crate) fn pop(&mut self) -> Option<(K, T)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let after = self
            .last
            .as_ref()
            .and_then(|last| self.queues.range((Excluded(last), Unbounded)).next());
        let owner = after.or_else(|| self.queues.iter().next())?.0.clone();
        let queue = self.queues.get_mut(&owner)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&owner);
        }
        self.len -= 1;
        self.last = Some(owner.clone());
        Some((owner, item))
    }

    /// Removes an owner's items for which `gone` is true and returns them.
    pub(crate) fn remove(&mut self, owner: &K, mut gone: impl FnMut(&T) -> bool) -> Vec<T> {
        let Some(queue) = self.queues.get_mut(owner) else {
            return Vec::new();
        };
        let mut removed = Vec::new();
        for item in std::mem::take(queue) {
            if gone(&item) {
                removed.push(item);
            } else {
                queue.push_back(item);
            }
        }
        if queue.is_empty() {
            self.queues.remove(owner);
        }
        self.len -= removed.len();
        removed
    }

    /// How many items, of others and of its own, come before this owner's last.
    pub(crate) fn before_last_of(&self, owner: &K) -> usize {
        let before = self.len_of(owner).checked_sub(1);
        before.map_or(self.len, |before| self.before_nth(owner, before))
    }

    /// How many items come before the one of this owner that is meant; nothing if it has no such item.
    pub(crate) fn before(&self, owner: &K, is_it: impl Fn(&T) -> bool) -> Option<usize> {
        let at = self.queues.get(owner)?.iter().position(is_it)?;
        Some(self.before_nth(owner, at))
    }

    /// How many come before the item of this owner before which it has so many of its own.
    fn before_nth(&self, owner: &K, own_before: usize) -> usize {
        // Who has its turn sooner has one turn more until then.
        let is_sooner = |other: &K| match &self.last {
            Some(last) if other > last && owner <= last => true,
            Some(last) if other <= last && owner > last => false,
            _ => other < owner,
        };
        let turns = |other: &K| own_before + usize::from(is_sooner(other));
        let others = self.queues.iter().filter(|(other, _)| *other != owner);
        let of_others: usize = others
            .map(|(other, queue)| queue.len().min(turns(other)))
            .sum();
        own_before + of_others
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn last_of(&self, owner: &K) -> Option<&T> {
        self.queues.get(owner)?.back()
    }

    pub(crate) fn len_of(&self, owner: &K) -> usize {
        self.queues.get(owner).map_or(0, VecDeque::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_little_does_not_wait_behind_who_asks_much() {
        let mut fair = Fair::new();
        for i in 0..100 {
            fair.push("greedy", i);
        }
        fair.push("modest", 1000);
        let first: Vec<_> = (0..2).filter_map(|_| fair.pop()).collect();
        assert_eq!(first, [("greedy", 0), ("modest", 1000)]);
        assert_eq!(fair.remove(&"greedy", |i| i % 2 == 0).len(), 49);
        assert_eq!(
            (fair.len(), fair.len_of(&"greedy"), fair.len_of(&"modest")),
            (50, 50, 0)
        );
    }

    #[test]
    fn it_is_known_how_many_come_before_the_last_of_somebody() {
        // After each of several turns, with queues of several lengths.
        for turns in 0..5 {
            for lengths in [[3, 1, 2], [1, 4, 4], [5, 2, 1], [2, 2, 2]] {
                for owner in 0..3 {
                    let mut fair = Fair::new();
                    for (owner, length) in (0..3).zip(lengths) {
                        (0..length + 2).for_each(|item| fair.push(owner, item));
                    }
                    (0..turns).for_each(|_| _ = fair.pop());
                    let said = fair.before_last_of(&owner);
                    let mut popped = 0;
                    while fair.len_of(&owner) > 0 {
                        fair.pop();
                        popped += 1;
                    }
                    assert_eq!(said, popped - 1, "{turns} {lengths:?} {owner}");
                }
            }
        }
    }
}

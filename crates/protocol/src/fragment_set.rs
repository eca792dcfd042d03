use std::{fmt, ops::Range};

use crate::Bitmap;

/// A set of fragments as ascending ranges with gaps between them: a few bytes for whoever holds a few, wherever they are,
/// and for whoever holds many that lie side by side. Where every other fragment is in it, [`Bitmap`] is shorter.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct FragmentSet {
    ranges: Vec<Range<u32>>,
}

impl FragmentSet {
    /// From its wire form, alternately the length of a gap and that of the range behind it, if that is one. Only the first
    /// gap may be empty.
    pub(crate) fn from_runs(runs: &[u32]) -> Option<Self> {
        let (pairs, rest) = runs.as_chunks();
        if !rest.is_empty() {
            return None;
        }
        let mut end = 0_u32;
        let mut ranges = Vec::with_capacity(pairs.len());
        for &[gap, length] in pairs {
            if length == 0 || (gap == 0 && !ranges.is_empty()) {
                return None;
            }
            let start = end.checked_add(gap)?;
            end = start.checked_add(length)?;
            if end > Bitmap::MAX_LEN {
                return None;
            }
            ranges.push(start..end);
        }
        Some(Self { ranges })
    }

    pub(crate) fn runs(&self) -> Vec<u32> {
        let mut end = 0;
        let runs = self.ranges.iter().flat_map(|range| {
            let gap = range.start - end;
            end = range.end;
            [gap, range.end - range.start]
        });
        runs.collect()
    }

    /// The ranges, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.ranges
    }

    /// Whether fragment `index` is in the set.
    #[must_use]
    pub fn contains(&self, index: u32) -> bool {
        let behind = self.ranges.partition_point(|range| range.end <= index);
        self.ranges
            .get(behind)
            .is_some_and(|range| range.start <= index)
    }

    /// The fragments in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// Whether no fragment is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many fragments are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ranges.iter().map(|it| it.end - it.start).sum()
    }

    /// Whether all of them are among these.
    #[must_use]
    pub fn is_within(&self, indices: &Range<u32>) -> bool {
        let bounds = self.ranges.first().zip(self.ranges.last());
        bounds.is_none_or(|(first, last)| indices.start <= first.start && last.end <= indices.end)
    }
}

impl FromIterator<u32> for FragmentSet {
    /// In any order. Indices beyond [`Bitmap::MAX_LEN`] are left out.
    fn from_iter<I: IntoIterator<Item = u32>>(indices: I) -> Self {
        let indices = indices.into_iter();
        let mut sorted: Vec<_> = indices.filter(|index| *index < Bitmap::MAX_LEN).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut ranges: Vec<Range<u32>> = Vec::new();
        for index in sorted {
            match ranges.last_mut() {
                Some(last) if last.end == index => last.end += 1,
                _ => ranges.push(index..index + 1),
            }
        }
        Self { ranges }
    }
}

impl fmt::Debug for FragmentSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.ranges).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_holds_what_was_put_in_and_comes_back_from_the_wire(indices in prop::collection::vec(0_u32..300, 0..80)) {
            let expected: BTreeSet<_> = indices.iter().copied().collect();
            let set: FragmentSet = indices.into_iter().collect();
            prop_assert!(set.iter().eq(expected.iter().copied()));
            prop_assert_eq!(set.count() as usize, expected.len());
            prop_assert_eq!(set.is_empty(), expected.is_empty());
            for index in 0..301 {
                prop_assert_eq!(set.contains(index), expected.contains(&index));
            }
            prop_assert_eq!(FragmentSet::from_runs(&set.runs()), Some(set));
        }

        /// Of each set there is one form, so that nobody says the same in two ways.
        #[test]
        fn what_is_read_is_what_would_be_written(runs in prop::collection::vec(prop_oneof![0_u32..5, any::<u32>()], 0..8)) {
            if let Some(set) = FragmentSet::from_runs(&runs) {
                prop_assert_eq!(set.runs(), runs);
            }
        }
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for runs in [
            &[1][..],
            &[0, 0],
            &[0, 1, 0, 1],
            &[u32::MAX, 1],
            &[0, u32::MAX],
            &[Bitmap::MAX_LEN, 1],
        ] {
            assert_eq!(FragmentSet::from_runs(runs), None, "{runs:?}");
        }
        assert!(FragmentSet::from_runs(&[Bitmap::MAX_LEN - 1, 1]).is_some());
    }

    #[test]
    fn within_means_all_of_it() {
        let set: FragmentSet = [5, 6, 9].into_iter().collect();
        assert!(set.is_within(&(5..10)));
        assert!(!set.is_within(&(6..10)));
        assert!(!set.is_within(&(5..9)));
        assert!(FragmentSet::default().is_within(&(3..3)));
    }
}

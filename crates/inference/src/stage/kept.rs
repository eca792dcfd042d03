use std::ops::Range;

/// The states that went into a stage, so that it can be made again elsewhere: those of the latest tokens, as many as there
/// is room for.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Position of the first row.
    start: usize,
    width: usize,
    rows: Vec<f32>,
}

impl Kept {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            ..Self::default()
        }
    }

    pub(super) fn end(&self) -> usize {
        self.start + self.rows.len() / self.width
    }

    /// Puts rows in from a position on; what was there is void. If they do not follow what is kept, only they are.
    pub(super) fn put(&mut self, position: usize, rows: &[f32]) {
        self.truncate(position);
        if self.end() != position {
            self.rows.clear();
            self.start = position;
        }
        self.rows.extend_from_slice(rows);
    }

    /// Forgets what is there from this position on.
    pub(super) fn truncate(&mut self, position: usize) {
        let rows = position.saturating_sub(self.start);
        self.rows.truncate(rows * self.width);
    }

    /// The states of these tokens; nothing if they are not there any more.
    pub(super) fn get(&self, positions: Range<usize>) -> Option<&[f32]> {
        let start = positions.start.checked_sub(self.start)?;
        self.rows
            .get(start * self.width..start * self.width + positions.len() * self.width)
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<f32>()
    }

    /// Forgets the older half, but nothing from `position` on.
    pub(super) fn drop_half(&mut self, position: usize) {
        let half = (self.rows.len() / self.width).div_ceil(2);
        let rows = half.min(position.saturating_sub(self.start));
        self.rows.drain(..rows * self.width);
        self.rows.shrink_to_fit();
        self.start += rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_states_are_there() {
        let mut kept = Kept::new(2);
        kept.put(0, &[0.0, 0.5, 1.0, 1.5]);
        kept.put(2, &[2.0, 2.5]);
        assert_eq!(kept.get(1..3), Some(&[1.0, 1.5, 2.0, 2.5][..]));
        assert_eq!((kept.get(1..4), kept.end(), kept.bytes()), (None, 3, 24));
        // One comes again, otherwise.
        kept.put(1, &[7.0, 7.5]);
        assert_eq!((kept.get(1..2), kept.end()), (Some(&[7.0, 7.5][..]), 2));
    }

    #[test]
    fn the_older_half_goes_first_and_never_what_is_needed_now() {
        let mut kept = Kept::new(1);
        kept.put(0, &[0.0, 1.0, 2.0, 3.0]);
        kept.drop_half(3);
        assert_eq!(
            (kept.get(1..2), kept.get(2..4)),
            (None, Some(&[2.0, 3.0][..]))
        );
        kept.drop_half(2);
        assert_eq!(kept.get(2..4), Some(&[2.0, 3.0][..]));
        // What does not follow leaves a gap, and nobody can go on over a gap.
        kept.put(9, &[9.0]);
        assert_eq!((kept.get(2..3), kept.get(9..10)), (None, Some(&[9.0][..])));
    }
}

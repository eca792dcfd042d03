//! When pings that are not answered mean that somebody has gone.

/// Unanswered pings in a row before a connection is given up.
const MAX_FAILED: u32 = 2;

/// What is known of a connection that does not notice by itself that nothing comes any more.
///
/// Where much is on its way over a narrow link, a ping waits behind it: as long as more of it gets through, the peer is there.
#[derive(Debug, Default)]
pub(super) struct Silence {
    failed: u32,
    /// What had gone through when the last one failed.
    moved: u64,
}

impl Silence {
    pub(super) fn answered(&mut self) {
        self.failed = 0;
    }

    /// Another ping was not answered, and by now so many bytes have gone through. Says whether that is enough.
    pub(super) fn not_answered(&mut self, moved: u64) -> bool {
        let moves = std::mem::replace(&mut self.moved, moved) != moved;
        self.failed = if moves { 1 } else { self.failed + 1 };
        self.failed >= MAX_FAILED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_in_a_row_are_enough_where_nothing_moves() {
        let mut silence = Silence::default();
        assert!(!silence.not_answered(0));
        silence.answered();
        assert!(!silence.not_answered(0));
        assert!(silence.not_answered(0));
    }

    #[test]
    fn none_are_as_long_as_something_does() {
        let mut silence = Silence::default();
        for moved in 1..100 {
            assert!(!silence.not_answered(moved));
        }
        assert!(silence.not_answered(99), "it has stopped");
    }
}

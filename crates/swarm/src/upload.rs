//! How many bytes a second go out, as far as content shows it that others fetch.
//!
//! Nobody says when something has arrived, but an asker has only so many blocks under way: when it asks for the next one,
//! an earlier one has come. So after as much as can be under way, blocks are asked for as fast as they go out.

use protocol::BLOCK_BYTES;
use std::time::Duration;

/// What can be under way to somebody before the first of it has arrived: the most blocks that are asked for at a time.
const UNDER_WAY: u64 = 24 * BLOCK_BYTES as u64;
/// So much has to go out after that until it says something.
const ENOUGH: u64 = 2 << 20;
/// Who asks for nothing for this long was not waiting for more.
const PAUSE: Duration = Duration::from_secs(1);

/// What goes out without a pause, and how fast it did before.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    last: Option<Duration>,
    /// Since the last pause.
    given: u64,
    /// When as much as can be under way had been given.
    since: Duration,
    rate: u64,
}

impl Upload {
    pub(crate) fn given(&mut self, bytes: u64, now: Duration) {
        let last = self.last.replace(now);
        if last.is_none_or(|last| now.saturating_sub(last) > PAUSE) {
            self.given = 0;
        }
        if self.given < UNDER_WAY {
            self.since = now;
        }
        self.given += bytes;
        let counted = self.given.saturating_sub(UNDER_WAY);
        let nanos = now.saturating_sub(self.since).as_nanos();
        if counted >= ENOUGH && nanos > 0 {
            let rate = u128::from(counted) * 1_000_000_000 / nanos;
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            // Others may take less than there could be: what was seen once is forgotten slowly.
            self.rate = rate.max(self.rate - self.rate / 16);
        }
    }

    /// Bytes a second; 0 as long as not enough was asked for.
    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BLOCK: u64 = BLOCK_BYTES as u64;

    /// Somebody fetches so many blocks over a line that takes one in `each`, with `window` of them under way.
    fn fetch(upload: &mut Upload, blocks: u32, window: u32, each: Duration, begin: Duration) {
        for number in 0..blocks {
            upload.given(BLOCK, begin + each * number.saturating_sub(window));
        }
    }

    #[test]
    fn it_is_as_fast_as_the_line_however_much_is_under_way() {
        for window in [2, 8, 24] {
            let mut upload = Upload::default();
            fetch(&mut upload, 80, window, 100 * MS, Duration::ZERO);
            let expected = BLOCK * 10;
            let rate = upload.rate();
            assert!(
                rate.abs_diff(expected) < expected / 8,
                "{window}: {rate} B/s, not {expected}"
            );
        }
    }

    #[test]
    fn little_says_nothing_and_pauses_do_not_count() {
        let mut upload = Upload::default();
        fetch(&mut upload, 24, 8, 100 * MS, Duration::ZERO);
        assert_eq!(upload.rate(), 0);
        for time in 1..100 {
            fetch(&mut upload, 10, 8, 100 * MS, MS * 10_000 * time);
        }
        assert_eq!(upload.rate(), 0);
    }
}

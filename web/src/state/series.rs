//! The last minutes in numbers.

use std::collections::VecDeque;

/// Samples that are kept: a quarter of an hour, if the page is in sight.
const KEPT: usize = 180;

/// What has been counted until a moment, and what was measured there.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Count {
    /// Milliseconds.
    pub(crate) at: f64,
    /// Requests of others answered, own ones that others answered.
    pub(crate) answered: u64,
    pub(crate) asked: u64,
    /// Bytes of messages.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Milliseconds to the nearer half of the peers.
    pub(crate) round_trip: Option<f64>,
}

/// By the second, between two counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Rate {
    pub(crate) answered: f64,
    pub(crate) asked: f64,
    pub(crate) sent: f64,
    pub(crate) received: f64,
    pub(crate) round_trip: Option<f64>,
    /// Seconds since the count before.
    pub(crate) seconds: f64,
}

/// The last of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    last: Option<Count>,
    rates: VecDeque<Rate>,
}

impl Series {
    pub(crate) fn push(&mut self, count: Count) {
        if let Some(last) = self.last.replace(count) {
            let seconds = ((count.at - last.at) / 1000.0).max(1e-3);
            // Connections that are gone have taken their bytes with them.
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            self.rates.push_back(Rate {
                answered: rate(count.answered, last.answered),
                asked: rate(count.asked, last.asked),
                sent: rate(count.sent, last.sent),
                received: rate(count.received, last.received),
                round_trip: count.round_trip,
                seconds,
            });
            if self.rates.len() > KEPT {
                self.rates.pop_front();
            }
        }
    }

    pub(crate) fn rates(&self) -> impl ExactSizeIterator<Item = &Rate> {
        self.rates.iter()
    }
}

/// The middle of some numbers.
pub(crate) fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().checked_sub(1)? / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_becomes_a_rate() {
        let count = |at, answered, sent| Count {
            at,
            answered,
            sent,
            ..Count::default()
        };
        let mut series = Series::default();
        series.push(count(1000.0, 4, 100));
        assert_eq!(series.rates().len(), 0);
        series.push(count(3000.0, 10, 50));
        let rate = *series.rates().next().expect("one");
        assert_eq!((rate.answered, rate.sent, rate.seconds), (3.0, 0.0, 2.0));
        for second in 0..1000 {
            series.push(count(f64::from(second) * 1e3, 0, 0));
        }
        assert_eq!(series.rates().len(), KEPT);
    }

    #[test]
    fn the_middle_is_the_nearer_one_of_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(1.0));
        assert_eq!(median(vec![]), None);
    }
}

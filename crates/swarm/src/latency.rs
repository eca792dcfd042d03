//! How long a worker usually takes: on average, smoothed the way TCP smooths its round trips, and nineteen times of twenty.
//!
//! Requests differ: one token's activations are ten kilobytes, a prefill batch is a hundred times that. Samples are
//! therefore kept by size class, and a class without samples is guessed from its neighbours.

use std::collections::VecDeque;
use std::time::Duration;

/// Size classes grow by a factor of four; the last one takes everything from 16 MiB.
pub(crate) const CLASSES: usize = 13;

/// Without fresh samples the memory of a slow answer fades by half in this time, so that a worker who was slow once
/// is tried again instead of being avoided for ever.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// Samples of a class from which its 95th percentile is taken: the second largest of so many.
const RECENT: usize = 32;

/// How many times the median the 95th percentile may be.
const TIMES_MEDIAN: u32 = 4;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    mean: Duration,
    /// The latest samples, the oldest first.
    recent: VecDeque<Duration>,
    at: Duration,
}

impl Known {
    fn record(&mut self, sample: Duration, now: Duration) {
        self.mean = (self.mean * 7 + sample) / 8;
        self.at = now;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(sample);
    }

    /// What nineteen of twenty answers took at most; of few, what all of them did. One that took very long while the
    /// connection was being made says little of the others: no more than [`TIMES_MEDIAN`] times what half of them took.
    fn p95(&self) -> Duration {
        let mut sorted: Vec<_> = self.recent.iter().copied().collect();
        sorted.sort_unstable();
        // There is a sample from the beginning.
        let at = |percent: usize| {
            let place = (sorted.len() * percent).div_ceil(100);
            let sample = sorted.get(place.saturating_sub(1));
            sample.copied().unwrap_or(self.mean)
        };
        at(95).min(at(50) * TIMES_MEDIAN)
    }
}

/// What is known of one worker's speed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latency {
    classes: [Option<Known>; CLASSES],
    /// Time between two answers while several requests wait there: what one more request in front costs.
    pace: Option<Duration>,
    last_answer: Option<Duration>,
}

/// The size class of a request of `bytes` bytes.
pub(crate) fn class(bytes: usize) -> usize {
    ((bytes.max(1).ilog2() / 2) as usize).min(CLASSES - 1)
}

impl Latency {
    /// Takes in a measurement: a request of size class `class` took `sample`, while `behind` others waited there.
    pub(crate) fn record(&mut self, class: usize, sample: Duration, behind: usize, now: Duration) {
        let new = || Known {
            mean: sample,
            recent: VecDeque::new(),
            at: now,
        };
        self.classes[class]
            .get_or_insert_with(new)
            .record(sample, now);
        if let (Some(last), true) = (self.last_answer, behind > 0) {
            let spacing = now.saturating_sub(last).min(sample);
            self.pace = Some(self.pace.map_or(spacing, |pace| (pace * 7 + spacing) / 8));
        }
        self.last_answer = Some(now);
    }

    /// Takes in that a request was given up after `elapsed`: the true latency is at least that.
    pub(crate) fn record_at_least(&mut self, class: usize, elapsed: Duration, now: Duration) {
        if self
            .raw(class)
            .is_none_or(|(known, _)| known.mean < elapsed)
        {
            let last = self.last_answer;
            self.record(class, elapsed, 0, now);
            self.last_answer = last;
        }
    }

    /// What a request of this class is expected to take, faded if the memory is old; nothing if nothing was measured.
    pub(crate) fn expected(&self, class: usize, now: Duration) -> Option<Duration> {
        let (known, factor) = self.raw(class)?;
        let age = now.saturating_sub(known.at).as_millis() / HALF_LIFE.as_millis();
        let fade = 1u32 << (age.min(10) as u32);
        Some(known.mean * factor / fade)
    }

    /// What a request of this class takes on average, however long ago that was measured.
    pub(crate) fn typical(&self, class: usize) -> Option<Duration> {
        let (known, factor) = self.raw(class)?;
        Some(known.mean * factor)
    }

    /// When an answer is late: after `factor` times what nineteen of twenty took at most, and room for those in front.
    pub(crate) fn patience(&self, class: usize, ahead: usize, factor: u32) -> Option<Duration> {
        let (known, scale) = self.raw(class)?;
        let own = known.p95() * factor * scale;
        // The pace may be that of larger requests: of these, none holds up another for longer than it takes.
        let each = self.pace.unwrap_or(known.mean).min(known.mean * scale);
        let queue = each * u32::try_from(ahead).unwrap_or(u32::MAX).min(1024);
        Some(own + queue * 2)
    }

    /// Whether requests of this class were measured.
    pub(crate) fn knows(&self, class: usize) -> bool {
        self.classes[class].is_some()
    }

    /// One figure for people: the usual latency of the smallest requests measured.
    pub(crate) fn headline(&self) -> Option<Duration> {
        self.classes.iter().flatten().next().map(|known| known.mean)
    }

    /// The nearest measured class, and by what its figures must be multiplied.
    fn raw(&self, class: usize) -> Option<(&Known, u32)> {
        if let Some(known) = &self.classes[class] {
            return Some((known, 1));
        }
        // A larger request takes at most in proportion longer; a smaller one at most as long.
        let below = (0..class).rev().find_map(|c| {
            Some((
                self.classes[c].as_ref()?,
                4u32.pow((class - c).min(4) as u32),
            ))
        });
        below.or_else(|| (class + 1..CLASSES).find_map(|c| Some((self.classes[c].as_ref()?, 1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_unmeasured_size_is_guessed_from_its_neighbours() {
        let mut latency = Latency::default();
        assert_eq!(latency.expected(class(1000), MS), None);
        latency.record(class(1000), 10 * MS, 0, MS);
        assert_eq!(latency.expected(class(1000), MS), Some(10 * MS));
        assert_eq!(latency.expected(class(4000), MS), Some(40 * MS));
        assert_eq!(latency.expected(class(10), MS), Some(10 * MS));
    }

    #[test]
    fn a_slow_answer_is_forgiven_with_time() {
        let mut latency = Latency::default();
        latency.record(0, 800 * MS, 0, MS);
        let later = MS + HALF_LIFE * 3;
        assert_eq!(latency.expected(0, later), Some(100 * MS));
    }

    #[test]
    fn what_takes_long_now_and_then_is_late_no_sooner_than_that() {
        let mut latency = Latency::default();
        for i in 1..=RECENT as u32 {
            let took = if i % 8 == 0 { 30 * MS } else { 10 * MS };
            latency.record(0, took, 0, 100 * MS * i);
        }
        assert_eq!(latency.patience(0, 0, 3), Some(90 * MS));
        // Once of so many is an accident.
        for i in 1..=RECENT as u32 {
            let took = if i == 8 { 90 * MS } else { 10 * MS };
            latency.record(0, took, 0, 100 * MS * (100 + i));
        }
        assert_eq!(latency.patience(0, 0, 3), Some(30 * MS));
    }

    #[test]
    fn what_took_very_long_at_the_beginning_says_little_of_the_rest() {
        let mut latency = Latency::default();
        latency.record(0, 3000 * MS, 0, MS);
        for i in 1..5 {
            latency.record(0, 20 * MS, 0, 100 * MS * i);
        }
        assert_eq!(latency.patience(0, 0, 2), Some(160 * MS));
    }

    #[test]
    fn a_queue_in_front_extends_the_patience() {
        let mut latency = Latency::default();
        for i in 1..20 {
            latency.record(0, 10 * MS, 1, 10 * MS * i);
        }
        let alone = latency.patience(0, 0, 4).expect("measured");
        let queued = latency.patience(0, 8, 4).expect("measured");
        assert!(
            alone >= 40 * MS && queued >= alone + 80 * MS,
            "{alone:?} {queued:?}"
        );
    }

    #[test]
    fn a_queue_of_small_requests_is_not_waited_for_as_one_of_large_ones() {
        let mut latency = Latency::default();
        for i in 1..20 {
            latency.record(class(1 << 20), 400 * MS, 1, 400 * MS * i);
        }
        for i in 1..20 {
            latency.record(class(1 << 10), 10 * MS, 0, 10_000 * MS + 10 * MS * i);
        }
        let queued = latency.patience(class(1 << 10), 8, 2).expect("measured");
        assert!(queued <= 180 * MS, "{queued:?}");
    }

    #[test]
    fn every_size_has_a_class() {
        assert_eq!(class(0), 0);
        assert_eq!(class(usize::MAX), CLASSES - 1);
    }
}

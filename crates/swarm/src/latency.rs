//! How long a worker usually takes, smoothed the way TCP smooths its round trips.
//!
//! Requests differ: one token's activations are ten kilobytes, a prefill batch is a hundred times that. Samples are
//! therefore kept by size class, and a class without samples is guessed from its neighbours.

use std::time::Duration;

/// Size classes grow by a factor of four; the last one takes everything from 16 MiB.
const CLASSES: usize = 13;

/// Without fresh samples the memory of a slow answer fades by half in this time, so that a worker who was slow once
/// is tried again instead of being avoided for ever.
const HALF_LIFE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Smoothed {
    mean: Duration,
    deviation: Duration,
    at: Duration,
}

/// What is known of one worker's speed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latency {
    classes: [Option<Smoothed>; CLASSES],
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
        let slot = &mut self.classes[class];
        *slot = Some(match *slot {
            None => Smoothed {
                mean: sample,
                deviation: sample / 2,
                at: now,
            },
            Some(old) => Smoothed {
                mean: (old.mean * 7 + sample) / 8,
                deviation: (old.deviation * 3 + old.mean.abs_diff(sample)) / 4,
                at: now,
            },
        });
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

    /// When an answer is late: `factor` times the usual, or the usual plus four deviations, and room for those in front.
    pub(crate) fn patience(&self, class: usize, ahead: usize, factor: u32) -> Option<Duration> {
        let (known, scale) = self.raw(class)?;
        let own = (known.mean * factor).max(known.mean + known.deviation * 4) * scale;
        let queue =
            self.pace.unwrap_or(known.mean) * u32::try_from(ahead).unwrap_or(u32::MAX).min(1024);
        Some(own + queue * 2)
    }

    /// One figure for people: the usual latency of the smallest requests measured.
    pub(crate) fn headline(&self) -> Option<Duration> {
        self.classes.iter().flatten().next().map(|known| known.mean)
    }

    /// The nearest measured class, and by what its figures must be multiplied.
    fn raw(&self, class: usize) -> Option<(Smoothed, u32)> {
        if let Some(known) = self.classes[class] {
            return Some((known, 1));
        }
        // A larger request takes at most in proportion longer; a smaller one at most as long.
        let below = (0..class)
            .rev()
            .find_map(|c| Some((self.classes[c]?, 4u32.pow((class - c).min(4) as u32))));
        below.or_else(|| (class + 1..CLASSES).find_map(|c| Some((self.classes[c]?, 1))))
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
    fn every_size_has_a_class() {
        assert_eq!(class(0), 0);
        assert_eq!(class(usize::MAX), CLASSES - 1);
    }
}

use std::time::Duration;

/// Packets that have to come after a lost one before it is sent again without waiting for longer ([RFC 9260, section
/// 7.2.4](https://www.rfc-editor.org/rfc/rfc9260#section-7.2.4)).
pub const PROBES: usize = 3;

/// The least that is waited for before a tail is taken for lost: less would often be the other side's own work.
const SHORTEST: Duration = Duration::from_millis(30);

/// The most: about when SCTP itself would try again.
const LONGEST: Duration = Duration::from_millis(600);

/// What a round trip is taken for until one was measured.
const UNMEASURED: Duration = Duration::from_millis(100);

/// Tails in a row, of which nothing is heard, that are followed by probes.
const MAX_IN_VAIN: u32 = 4;

/// Says when the end of what was sent has perhaps been lost.
///
/// SCTP notices a lost packet by those that come after it. After the last one comes none, and so its loss is noticed by a
/// timer only, which waits for a second in most implementations and for 400 ms in Chromium. Where questions and answers go
/// to and fro there is always a last packet, and somebody waits for it. So, when it was not acknowledged in time,
/// [`PROBES`] little packets are sent after it, each for itself: they have the other side say what is missing. It is what
/// TCP does with one packet ([RFC 8985, section 7](https://www.rfc-editor.org/rfc/rfc8985#section-7)).
///
/// All times are those of one clock, whatever it began with.
#[derive(Debug, Default)]
pub struct Tail {
    /// The last that was sent or heard while something is not acknowledged.
    quiet_since: Option<Duration>,
    /// When something was sent after everything before had been acknowledged; taken when anything is heard.
    begun: Option<Duration>,
    round_trip: Option<Duration>,
    in_vain: u32,
}

impl Tail {
    /// Nothing was sent yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Something was sent that has to arrive.
    pub fn sent(&mut self, now: Duration) {
        if self.quiet_since.replace(now).is_none() {
            self.begun = Some(now);
        }
        self.in_vain = 0;
    }

    /// A packet came.
    pub fn heard(&mut self, now: Duration) {
        if let Some(begun) = self.begun.take() {
            let measured = now.saturating_sub(begun);
            // The other side may have been slow to say something: the shortest of late is the best.
            let of_late = |before: Duration| measured.min(before + before / 8 + SHORTEST / 8);
            self.round_trip = Some(self.round_trip.map_or(measured, of_late));
        }
        if let Some(since) = &mut self.quiet_since {
            *since = now;
        }
    }

    /// All that was sent has arrived.
    pub fn settled(&mut self) {
        self.quiet_since = None;
        self.begun = None;
        self.in_vain = 0;
    }

    /// When [`Tail::is_doubtful`] is to be asked again.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let round_trip = self.round_trip.unwrap_or(UNMEASURED);
        let patience = (round_trip + round_trip / 2).clamp(SHORTEST, LONGEST);
        self.quiet_since
            .filter(|_| self.in_vain < MAX_IN_VAIN)
            .map(|since| since + patience)
    }

    /// Whether probes are to be sent now.
    pub fn is_doubtful(&mut self, now: Duration) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            self.quiet_since = Some(now);
            self.begun = None;
            self.in_vain += 1;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn an_acknowledged_tail_is_left_alone() {
        let mut tail = Tail::new();
        tail.sent(ms(0));
        tail.heard(ms(40));
        tail.settled();
        assert_eq!(tail.due(), None);
        assert!(!tail.is_doubtful(ms(10_000)));
    }

    #[test]
    fn one_that_is_not_is_doubted_after_one_and_a_half_round_trips() {
        let mut tail = Tail::new();
        tail.sent(ms(0));
        tail.heard(ms(40));
        assert_eq!(tail.due(), Some(ms(100)));
        assert!(!tail.is_doubtful(ms(99)));
        assert!(tail.is_doubtful(ms(100)));
        assert!(!tail.is_doubtful(ms(100)), "and once");
    }

    #[test]
    fn while_there_are_news_nothing_is_doubted() {
        let mut tail = Tail::new();
        tail.sent(ms(0));
        for time in (40..4000).step_by(40) {
            assert!(!tail.is_doubtful(ms(time)));
            tail.heard(ms(time));
        }
    }

    #[test]
    fn whoever_never_acknowledges_is_not_probed_for_ever() {
        let mut tail = Tail::new();
        tail.sent(ms(0));
        let probed = (0..100_000).filter(|time| {
            let doubtful = tail.is_doubtful(ms(*time));
            if time % 7 == 0 {
                tail.heard(ms(*time));
            }
            doubtful
        });
        assert!(probed.count() <= MAX_IN_VAIN as usize);
        tail.sent(ms(200_000));
        assert!(tail.due().is_some(), "until there is something new");
    }

    #[test]
    fn round_trips_that_become_longer_are_learnt() {
        let mut tail = Tail::new();
        let mut now = ms(0);
        let mut patience = |round_trip: Duration| {
            tail.settled();
            tail.sent(now);
            now += round_trip;
            tail.heard(now);
            tail.due().unwrap() - now
        };
        assert_eq!(patience(ms(20)), ms(30));
        assert!(patience(ms(200)) < ms(60), "once is chance");
        let learnt = (0..20).map(|_| patience(ms(200))).last();
        assert_eq!(learnt, Some(ms(300)));
        assert_eq!(patience(ms(20)), ms(30));
    }
}

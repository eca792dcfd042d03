use std::time::Duration;

/// Packets that have to come after a lost one before it is sent again without waiting for longer ([RFC 9260, section
/// 7.2.4](https://www.rfc-editor.org/rfc/rfc9260#section-7.2.4)).
pub const PROBES: usize = 3;

/// The least that is waited for before a tail is taken for lost, twice as long each time: less would often be the other
/// side's own work.
const SHORTEST: Duration = Duration::from_millis(30);

/// The most: about when SCTP itself would try again.
const LONGEST: Duration = Duration::from_millis(600);

/// What a round trip is taken for until one was measured.
const UNMEASURED: Duration = Duration::from_millis(100);

/// Doubts in a row about the same tail.
const MAX_IN_VAIN: u32 = 4;

/// What is to be done about a tail that is perhaps lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// [`PROBES`] little packets are sent after it.
    Probe,
    /// SCTP's own timer, which does what is left, is not waited for any longer.
    Resend,
}

/// Says when the end of what was sent has perhaps been lost.
///
/// SCTP notices a lost packet by those that come after it. After the last one comes none, and so its loss is noticed by a
/// timer only, which waits for a second in most implementations and for 400 ms in Chromium. Where questions and answers go
/// to and fro there is always a last packet, and somebody waits for it. So, when it was not acknowledged in time,
/// [`PROBES`] little packets are sent after it, each for itself: they have the other side say what is missing. It is what
/// TCP does with one packet ([RFC 8985, section 7](https://www.rfc-editor.org/rfc/rfc8985#section-7)).
///
/// What was sent a second time and lost again SCTP leaves to its timer, whatever comes after it. When probes do not help
/// either, that is so, or there was no room for them; then, if the other side has been heard at all since the last time, the
/// timer is not waited for.
///
/// All times are those of one clock, whatever it began with.
#[derive(Debug, Default)]
pub struct Tail {
    /// The last that was sent or heard while something is not acknowledged.
    quiet_since: Option<Duration>,
    /// When something was sent after everything before had been acknowledged.
    begun: Option<Duration>,
    round_trip: Option<Duration>,
    in_vain: u32,
    /// Nothing was heard since it was last sent again.
    unheard: bool,
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
        self.unheard = false;
        if let Some(since) = &mut self.quiet_since {
            *since = now;
        }
    }

    /// All that was sent has arrived.
    pub fn settled(&mut self, now: Duration) {
        if let Some(begun) = self.begun.take() {
            // It may have been much, or lost at first, and a single packet is acknowledged late, but nothing is
            // acknowledged sooner than a round trip takes: the shortest of late is the best. Doubts may have come too soon.
            let measured = now.saturating_sub(begun);
            let doubted = self.in_vain > 0;
            let of_late = |before: Duration| {
                let part = if doubted { 1 } else { 8 };
                measured.min(before + (before + SHORTEST) / part)
            };
            self.round_trip = Some(self.round_trip.map_or(measured, of_late));
        }
        self.forget();
    }

    /// Nothing is known of what was sent.
    pub fn forget(&mut self) {
        self.quiet_since = None;
        self.begun = None;
        self.in_vain = 0;
    }

    /// How long a round trip takes, as far as is known: rather too long than too short.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.round_trip.unwrap_or(UNMEASURED)
    }

    /// When [`Tail::doubt`] is to be asked again.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let round_trip = self.round_trip();
        let patience = (round_trip + round_trip / 2).clamp(SHORTEST, LONGEST) * (1 << self.in_vain);
        self.quiet_since
            .filter(|_| self.in_vain < MAX_IN_VAIN)
            .map(|since| since + patience)
    }

    /// What is to be done now.
    pub fn doubt(&mut self, now: Duration) -> Option<Doubt> {
        self.due().filter(|due| *due <= now)?;
        self.quiet_since = Some(now);
        self.in_vain += 1;
        if self.in_vain == 1 || self.unheard {
            return Some(Doubt::Probe);
        }
        self.unheard = true;
        Some(Doubt::Resend)
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
        tail.settled(ms(40));
        assert_eq!(tail.due(), None);
        assert_eq!(tail.doubt(ms(10_000)), None);
    }

    #[test]
    fn one_that_is_not_is_doubted_after_one_and_a_half_round_trips() {
        let mut tail = Tail::new();
        tail.sent(ms(0));
        tail.settled(ms(40));
        tail.sent(ms(40));
        tail.heard(ms(50));
        assert_eq!(tail.due(), Some(ms(110)));
        assert_eq!(tail.doubt(ms(109)), None);
        assert_eq!(tail.doubt(ms(110)), Some(Doubt::Probe));
        assert_eq!(tail.doubt(ms(110)), None, "and once");
        assert_eq!(tail.due(), Some(ms(230)), "and then twice as long");
    }

    #[test]
    fn while_there_are_news_nothing_is_doubted() {
        let mut tail = Tail::new();
        tail.sent(ms(0));
        for time in (40..4000).step_by(40) {
            assert_eq!(tail.doubt(ms(time)), None);
            tail.heard(ms(time));
        }
    }

    #[test]
    fn whoever_never_acknowledges_is_not_probed_for_ever() {
        let mut tail = Tail::new();
        tail.sent(ms(0));
        let probed = (0..100_000).filter(|time| {
            let doubtful = tail.doubt(ms(*time)).is_some();
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
    fn when_probes_do_not_help_it_is_sent_again_as_long_as_somebody_is_heard() {
        let mut tail = Tail::new();
        let mut doubts = |is_heard: bool| {
            tail.settled(ms(0));
            tail.sent(ms(0));
            let mut doubts = Vec::new();
            while let Some(due) = tail.due() {
                doubts.push(tail.doubt(due).unwrap());
                if is_heard {
                    tail.heard(due);
                }
            }
            doubts
        };
        let [probe, resend] = [Doubt::Probe, Doubt::Resend];
        assert_eq!(doubts(false), [probe, resend, probe, probe]);
        assert_eq!(doubts(false), [probe, probe, probe, probe]);
        assert_eq!(doubts(true), [probe, resend, resend, resend]);
    }

    #[test]
    fn round_trips_that_become_longer_are_learnt() {
        let mut tail = Tail::new();
        let mut now = ms(0);
        let mut patience = |round_trip: Duration| {
            tail.sent(now);
            now += round_trip;
            tail.settled(now);
            tail.sent(now);
            let patience = tail.due().unwrap() - now;
            now += round_trip;
            // It seems lost for as long as that is not known, which changes nothing about it.
            let _ = tail.doubt(now);
            tail.settled(now);
            patience
        };
        assert_eq!(patience(ms(20)), ms(30));
        assert!(patience(ms(200)) < ms(60), "once is chance");
        let learnt = (0..20).map(|_| patience(ms(200))).last();
        assert_eq!(learnt, Some(ms(300)));
        assert_eq!(patience(ms(20)), ms(30));
    }
}

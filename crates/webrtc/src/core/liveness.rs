use std::time::Duration;

/// Between two looks while packets come.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same while it is doubtful.
const DOUBTFUL: Duration = Duration::from_millis(300);

/// Looks without news before there is doubt.
const DOUBT: u32 = 2;

/// Looks without news before the peer is given up.
const GIVE_UP: u32 = 6;

/// Decides from a count of received packets whether a peer is still there.
///
/// [Consent checks](https://www.rfc-editor.org/rfc/rfc7675) and, in browsers, ICE's own have both sides send something
/// every 2.5 s at least, and far more often once an answer is missing; silence for longer is no chance. A browser waits
/// for 5 s before it calls a connection disconnected, and for 15 s more before it gives it up. With this a peer is
/// given up 3.2 to 4.2 s after its last packet.
///
/// Looks are counted, not seconds: a page that was asleep itself has not missed anybody's packets, and one whose timers
/// are slowed down because nobody sees it is slower to give up.
#[derive(Debug, Default)]
pub struct Liveness {
    packets: Option<u64>,
    without_news: u32,
}

impl Liveness {
    /// Begins with a peer that is there.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the number of packets received until now, of any kind. Says when to look again; `None`: the peer is gone.
    pub fn observe(&mut self, packets: u64) -> Option<Duration> {
        if self.packets.replace(packets) != Some(packets) {
            self.without_news = 0;
            return Some(INTERVAL);
        }
        self.without_news += 1;
        match self.without_news {
            GIVE_UP.. => None,
            DOUBT.. => Some(DOUBTFUL),
            _ => Some(INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds from the last look with news until the peer is given up.
    fn silence(liveness: &mut Liveness, packets: u64) -> f64 {
        let mut time = liveness.observe(packets).unwrap();
        while let Some(wait) = liveness.observe(packets) {
            time += wait;
        }
        time.as_secs_f64()
    }

    #[test]
    fn silence_is_noticed_in_time() {
        let mut liveness = Liveness::new();
        for packets in [4, 9, 17] {
            assert_eq!(liveness.observe(packets), Some(INTERVAL));
        }
        // The last packet may have come a whole interval before the look that noticed it.
        let silence = silence(&mut liveness, 20);
        assert!((3.1..3.3).contains(&silence), "{silence}");
        assert!(silence + INTERVAL.as_secs_f64() < 5.0);
    }

    #[test]
    fn an_idle_peer_that_is_checked_every_two_and_a_half_seconds_is_kept() {
        let mut liveness = Liveness::new();
        let mut time = Duration::ZERO;
        while time < Duration::from_secs(3600) {
            let packets = time.as_millis() as u64 / 2500;
            time += liveness.observe(packets).unwrap();
        }
    }
}

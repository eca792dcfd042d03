//! What is done about the end of what was sent when it may have been lost; see [`crate::core::Tail`].

use std::time::{Duration, Instant};

use str0m::{Rtc, channel::ChannelId};

use super::{super::channel::Channel, State};
use crate::core::{Doubt, PROBES};

/// The shortest that SCTP's timer waits ([RFC 9260, section 16](https://www.rfc-editor.org/rfc/rfc9260#section-16)).
const TIMER: Duration = Duration::from_secs(1);

impl State {
    /// Does what is to be done now, and says when that is to be asked again.
    pub(super) fn look_at_tail(&mut self, now: Instant) -> Option<Instant> {
        let (id, is_new) = self.tail_of?;
        let since = now - self.begun;
        let Some(id) = self.unsettled(id) else {
            self.tail_of = None;
            if is_new {
                // It was nothing that is acknowledged, or has not been sent.
                self.tail.forget();
            } else {
                self.tail.settled(since);
            }
            return None;
        };
        if is_new {
            self.tail.sent(since);
        }
        self.tail_of = Some((id, false));
        let mut next = None;
        match self.tail.doubt(since) {
            Some(Doubt::Probe) => {
                for _ in 0..PROBES {
                    if let Some(channel) = self.channels.get_mut(&id) {
                        channel.probe(&mut self.rtc);
                    }
                    // Each in a packet of its own.
                    next = Some(self.poll_rtc(now));
                }
            }
            Some(Doubt::Resend) => {
                self.ahead += TIMER;
                next = Some(self.pass_time(now));
            }
            None => {}
        }
        let due = self.tail.due().map(|due| self.begun + due);
        due.into_iter().chain(next).min()
    }

    /// A channel of which not all that was sent is acknowledged: this one, if it is so.
    fn unsettled(&mut self, id: ChannelId) -> Option<ChannelId> {
        let rtc = &mut self.rtc;
        let is = |channel: &Channel, rtc: &mut Rtc| !channel.is_settled(rtc);
        if self.channels.get(&id).is_some_and(|it| is(it, rtc)) {
            return Some(id);
        }
        let mut others = self.channels.iter();
        others.find(|(_, it)| is(it, rtc)).map(|(id, _)| *id)
    }
}

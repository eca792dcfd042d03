use std::{
    collections::VecDeque,
    task::Waker,
    time::{Duration, Instant},
};

use str0m::{Rtc, channel::ChannelId};

use crate::core::{Limits, Stream};

/// Bytes of one stream that are on their way before writing waits: what fills 80 Mbit/s over 100 ms.
pub const MAX_UNSENT: usize = 1 << 20;

/// And on the shortest way. More of them would not be sooner there, and SCTP looks at all that are on their way again and
/// again.
const LEAST_UNSENT: usize = 128 << 10;

/// What may be on its way for each millisecond that a round trip takes: 50 MB/s.
const UNSENT_FOR_A_MILLISECOND: usize = 50 << 10;

/// Bytes of one stream that may be on their way, each for so long until it is acknowledged.
pub(super) fn may_be_unsent(round_trip: Duration) -> usize {
    let milliseconds = usize::try_from(round_trip.as_millis()).unwrap_or(usize::MAX);
    milliseconds
        .saturating_mul(UNSENT_FOR_A_MILLISECOND)
        .clamp(LEAST_UNSENT, MAX_UNSENT)
}

/// What may wait unread in all streams of a connection together.
pub const MAX_UNREAD: usize = 64 << 20;

/// One data channel and the stream over it.
pub(super) struct Channel {
    id: ChannelId,
    pub(super) stream: Stream,
    /// The other side knows it, so that it can be written to.
    open: bool,
    closed: bool,
    /// Frames that found no room in the connection.
    unsent: VecDeque<Vec<u8>>,
    /// Something was sent since this was last looked at.
    pub(super) sent: bool,
    /// Our part of what all channels have unread.
    pub(super) unread: usize,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// The application has let go of it; then the channel is closed at this time at the latest.
    pub(super) deadline: Option<Instant>,
}

impl Channel {
    pub(super) fn new(id: ChannelId) -> Self {
        Self {
            id,
            stream: Stream::new(Limits::default()),
            open: false,
            closed: false,
            unsent: VecDeque::new(),
            sent: false,
            unread: 0,
            reader: None,
            writer: None,
            deadline: None,
        }
    }

    pub(super) fn opened(&mut self, rtc: &mut Rtc) {
        self.open = true;
        self.pump(rtc);
    }

    pub(super) fn closed(&mut self) {
        self.closed = true;
        self.unsent.clear();
        self.stream.handle_closed();
        self.wake();
    }

    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }

    /// Whether [`Channel::send`] may be called with data, of which so much may be on its way.
    pub(super) fn has_room(&self, rtc: &mut Rtc, most: usize) -> bool {
        self.open && self.unsent.is_empty() && self.buffered(rtc) < most
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Sends a frame, or keeps it until there is room.
    pub(super) fn send(&mut self, frame: Vec<u8>, rtc: &mut Rtc) {
        self.unsent.push_back(frame);
        self.flush(rtc);
    }

    /// Sends what the stream has to say by itself. One thing at a time waits, so that a peer that does not take
    /// anything cannot make it many.
    pub(super) fn pump(&mut self, rtc: &mut Rtc) {
        self.flush(rtc);
        while self.open && !self.closed && self.unsent.is_empty() {
            let Some(frame) = self.stream.transmit() else {
                return;
            };
            self.send(frame, rtc);
        }
    }

    /// Whether all that was sent is acknowledged, or will never be.
    pub(super) fn is_settled(&self, rtc: &mut Rtc) -> bool {
        self.closed || self.unsent.is_empty() && self.buffered(rtc) == 0
    }

    /// Sends a little packet after what was sent; see [`crate::core::Tail`].
    pub(super) fn probe(&mut self, rtc: &mut Rtc) {
        // With something before it, it would not be one.
        if self.open
            && !self.closed
            && self.unsent.is_empty()
            && let Some(frame) = self.stream.probe()
            && let Some(mut channel) = rtc.channel(self.id)
        {
            // Without room for it there is no hurry.
            let _ = channel.write(true, &frame);
        }
    }

    /// Whether the channel of a stream that was let go of can be closed without loss.
    pub(super) fn is_finished(&self, rtc: &mut Rtc) -> bool {
        self.closed || self.stream.is_finished() && self.is_settled(rtc)
    }

    fn flush(&mut self, rtc: &mut Rtc) {
        while self.open
            && !self.closed
            && let Some(frame) = self.unsent.front()
        {
            let Some(mut channel) = rtc.channel(self.id) else {
                return;
            };
            match channel.write(true, frame) {
                Ok(true) => {
                    self.sent = true;
                    self.unsent.pop_front();
                }
                Ok(false) => return,
                Err(_) => return self.closed(),
            }
        }
    }

    /// Bytes that are not acknowledged.
    pub(super) fn buffered(&self, rtc: &mut Rtc) -> usize {
        rtc.channel(self.id)
            .map_or(0, |mut channel| channel.buffered_amount())
    }
}

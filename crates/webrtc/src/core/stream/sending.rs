use super::StreamError;
use crate::core::{Flag, MAX_DATA};

/// Our half of a stream.
#[derive(Debug)]
pub(super) struct Sending {
    state: State,
    /// Bytes sent since the beginning.
    sent: u64,
    /// The most that the peer allows; `None` while it has not said that it knows windows.
    allowed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Ended by us: the flag is on its way out.
    Closing,
    /// The flag is sent and not acknowledged.
    Closed,
    Acknowledged,
    /// Given up by us: the flag is on its way out.
    Resetting,
    Reset,
    /// The peer does not read.
    Stopped,
    ChannelClosed,
}

impl Sending {
    pub(super) fn new() -> Self {
        Self {
            state: State::Open,
            sent: 0,
            allowed: None,
        }
    }

    /// The part of `data` that can be sent in one frame now; it counts as sent.
    pub(super) fn take<'a>(&mut self, data: &'a [u8]) -> Result<&'a [u8], StreamError> {
        match self.state {
            State::Open => {
                let len = data.len().min(MAX_DATA).min(self.room());
                self.sent += len as u64;
                Ok(&data[..len])
            }
            State::Stopped => Err(StreamError::Stopped),
            State::ChannelClosed => Err(StreamError::Closed),
            _ => Err(StreamError::Ended),
        }
    }

    fn room(&self) -> usize {
        self.allowed.map_or(usize::MAX, |allowed| {
            usize::try_from(allowed.saturating_sub(self.sent)).unwrap_or(usize::MAX)
        })
    }

    pub(super) fn is_writable(&self) -> bool {
        self.state != State::Open || self.room() > 0
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn peer_knows_windows(&self) -> bool {
        self.allowed.is_some()
    }

    /// What was allowed once stays allowed.
    pub(super) fn allow(&mut self, max_data: u64) {
        self.allowed = self.allowed.max(Some(max_data));
    }

    pub(super) fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    pub(super) fn reset(&mut self) {
        if matches!(self.state, State::Open | State::Closing | State::Closed) {
            self.state = State::Resetting;
        }
    }

    pub(super) fn fin_ack(&mut self) {
        if self.state == State::Closed {
            self.state = State::Acknowledged;
        }
    }

    pub(super) fn stopped(&mut self) {
        // A peer that stops reading may still acknowledge, but has no need of it.
        if !self.has_ended() {
            self.state = State::Stopped;
        }
    }

    pub(super) fn closed(&mut self) {
        if !matches!(self.state, State::Acknowledged | State::Stopped) {
            self.state = State::ChannelClosed;
        }
    }

    pub(super) fn transmit(&mut self) -> Option<Flag> {
        match self.state {
            State::Closing => {
                self.state = State::Closed;
                Some(Flag::Fin)
            }
            State::Resetting => {
                self.state = State::Reset;
                Some(Flag::ResetStream)
            }
            _ => None,
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(
            self.state,
            State::Acknowledged | State::Reset | State::Stopped | State::ChannelClosed
        )
    }
}

use bytes::{Buf, BytesMut};

use super::{Limits, StreamError};

/// Memory that an empty buffer may keep for what comes next.
const KEPT: usize = 64 << 10;

/// The half of a stream that the peer sends on.
#[derive(Debug)]
pub(super) struct Receiving {
    limits: Limits,
    unread: BytesMut,
    end: Option<End>,
    /// The peer has said that it has sent everything, whatever `end` is.
    complete: bool,
    /// Bytes received since the beginning.
    received: u64,
    /// The last [`crate::core::Message::max_data`] that the peer was told.
    announced: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Fin,
    Reset,
    /// The channel was closed without either.
    Closed,
    /// By ourselves.
    Stopped,
}

impl Receiving {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            unread: BytesMut::new(),
            end: None,
            complete: false,
            received: 0,
            announced: 0,
        }
    }

    pub(super) fn data(&mut self, data: &[u8]) -> Result<(), StreamError> {
        // What comes after the end is nobody's.
        if self.end.is_some() {
            return Ok(());
        }
        if self.unread.len() + data.len() > self.limits.max_unread {
            return Err(StreamError::Overflow);
        }
        self.received += data.len() as u64;
        self.unread.extend_from_slice(data);
        Ok(())
    }

    /// Says whether it is news.
    pub(super) fn fin(&mut self) -> bool {
        self.end.get_or_insert(End::Fin);
        !std::mem::replace(&mut self.complete, true)
    }

    pub(super) fn reset(&mut self) {
        // One who has sent everything has nothing left to reset.
        if self.end.is_none() {
            self.end = Some(End::Reset);
            self.unread = BytesMut::new();
        }
    }

    pub(super) fn closed(&mut self) {
        self.end.get_or_insert(End::Closed);
    }

    /// Says whether the peer should be told.
    pub(super) fn stop(&mut self) -> bool {
        self.unread = BytesMut::new();
        self.end.replace(End::Stopped).is_none()
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, StreamError> {
        let len = buffer.len().min(self.unread.len());
        if len > 0 || buffer.is_empty() {
            self.unread.copy_to_slice(&mut buffer[..len]);
            if self.unread.is_empty() && self.unread.capacity() > KEPT {
                self.unread = BytesMut::new();
            }
            return Ok(Some(len));
        }
        match self.end {
            None => Ok(None),
            Some(End::Fin) => Ok(Some(0)),
            Some(End::Reset) => Err(StreamError::Reset),
            Some(End::Closed) => Err(StreamError::Closed),
            Some(End::Stopped) => Err(StreamError::Ended),
        }
    }

    pub(super) fn unread(&self) -> usize {
        self.unread.len()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the peer should be told that it may send more: at the beginning, and for each half of a window.
    pub(super) fn is_window_due(&self) -> bool {
        let news = self.max_data() - self.announced;
        self.end.is_none() && news > 0 && news >= u64::from(self.limits.window) / 2
    }

    /// What the peer should be told, if it is news.
    pub(super) fn announce(&mut self) -> Option<u64> {
        self.is_window_due().then(|| {
            self.announced = self.max_data();
            self.announced
        })
    }

    /// What the peer was told last, or is told now.
    pub(super) fn announce_again(&mut self) -> u64 {
        self.announced = self.announced.max(self.max_data());
        self.announced
    }

    fn max_data(&self) -> u64 {
        self.received - self.unread.len() as u64 + u64::from(self.limits.window)
    }
}

//! A stream over a channel: two halves, each with its own end.

mod error;
mod receiving;
mod sending;

pub use error::StreamError;

use bytes::Bytes;

use super::{Flag, FrameDecoder, Message};
use receiving::Receiving;
use sending::Sending;

/// What one stream may hold for its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes a peer that knows [`Message::max_data`] may send before the first of them is read.
    pub window: u32,
    /// How many bytes may wait unread, whatever the peer knows. Data channels cannot hold a sender back, so that with
    /// other implementations this is all there is: beyond it the stream is reset.
    pub max_unread: usize,
}

/// A window that fills 300 Mbit/s over 100 ms, and four of them for those who know of none.
impl Default for Limits {
    fn default() -> Self {
        Self {
            window: 4 << 20,
            max_unread: 16 << 20,
        }
    }
}

/// One stream over one data channel: half-closing, resetting and back-pressure, which the channel does not have.
///
/// The shell around it carries bytes: what the channel received goes into [`Stream::handle_input`], what
/// [`Stream::write`] and [`Stream::transmit`] give goes out, in that order. After every call to any other method
/// [`Stream::transmit`] is to be called until it gives `None`. Once the application has let go of the stream
/// ([`Stream::abandon`]), the channel is kept until [`Stream::is_finished`]: closing a channel may lose what was sent
/// last, and the other side's [`Flag::FinAck`] says that nothing was lost.
#[derive(Debug)]
pub struct Stream {
    decoder: FrameDecoder,
    receiving: Receiving,
    sending: Sending,
    /// Flags on their way out. One of each suffices, so that nothing a peer does makes them many.
    stop_sending: bool,
    fin_ack: bool,
    /// What the peer has done wrong. Nothing of it is understood any more.
    violation: Option<StreamError>,
}

impl Stream {
    /// The stream of a new channel.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            decoder: FrameDecoder::new(),
            receiving: Receiving::new(limits),
            sending: Sending::new(),
            stop_sending: false,
            fin_ack: false,
            violation: None,
        }
    }

    /// Takes what the channel has received.
    ///
    /// # Errors
    /// If the peer breaks a rule. Both halves are reset; the same error comes out of everything that follows.
    pub fn handle_input(&mut self, mut input: &[u8]) -> Result<(), StreamError> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        let result = self.decode(&mut input);
        if let Err(violation) = result {
            self.fail(violation);
        }
        result
    }

    /// Resets both halves, as for a rule that the peer broke, which may be one of the shell's own.
    pub fn fail(&mut self, violation: StreamError) {
        self.violation.get_or_insert(violation);
        self.sending.reset();
        self.stop_receiving();
    }

    fn decode(&mut self, input: &mut &[u8]) -> Result<(), StreamError> {
        while let Some(message) = self.decoder.decode(input)? {
            self.receiving.data(&message.data)?;
            if let Some(max_data) = message.max_data {
                self.sending.allow(max_data);
            }
            match message.flag {
                Some(Flag::Fin) => {
                    // Also after we stopped reading: the peer waits for it. Once only, or else a peer that repeats
                    // itself would decide how much we have to send.
                    self.fin_ack |= self.receiving.fin();
                }
                Some(Flag::FinAck) => self.sending.fin_ack(),
                Some(Flag::ResetStream) => self.receiving.reset(),
                Some(Flag::StopSending) => self.sending.stopped(),
                None => {}
            }
        }
        Ok(())
    }

    /// The channel is closed: nothing more will come, and nothing can be sent.
    pub fn handle_closed(&mut self) {
        self.receiving.closed();
        self.sending.closed();
        self.stop_sending = false;
        self.fin_ack = false;
    }

    /// Reads into `buffer`. `None`: nothing has come yet. `Some(0)`: the end, or an empty `buffer`.
    ///
    /// # Errors
    /// If the peer reset its half, broke a rule, or the channel was closed before the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, StreamError> {
        match self.violation {
            Some(violation) => Err(violation),
            None => self.receiving.read(buffer),
        }
    }

    /// Appends one frame with the beginning of `data` to `frame`, which is to be sent now, and says how much of `data`
    /// is in it. 0: the peer has to read first; or `data` is empty.
    ///
    /// # Errors
    /// If this half has ended, by whichever side.
    pub fn write(&mut self, data: &[u8], frame: &mut Vec<u8>) -> Result<usize, StreamError> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        let data = self.sending.take(data)?;
        if !data.is_empty() {
            self.frame(None, Bytes::copy_from_slice(data), frame);
        }
        Ok(data.len())
    }

    /// Whether [`Stream::write`] would take anything, or fail.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.sending.is_writable()
    }

    /// Ends the sending half; what was written before still arrives.
    pub fn close_write(&mut self) {
        self.sending.close();
    }

    /// Ends the receiving half: what was not read is discarded, and the peer is told to stop.
    pub fn close_read(&mut self) {
        self.stop_receiving();
    }

    /// The application has let go of the stream. A half that has not ended is reset.
    pub fn abandon(&mut self) {
        if self.sending.is_open() {
            self.sending.reset();
        }
        self.stop_receiving();
    }

    /// The next frame that is to be sent, whether or not the channel is busy; these are short and few.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        let flag = if std::mem::take(&mut self.fin_ack) {
            Some(Flag::FinAck)
        } else if std::mem::take(&mut self.stop_sending) {
            Some(Flag::StopSending)
        } else {
            self.sending.transmit()
        };
        // A peer that does not know windows might take a frame without data and flag for the end of the stream.
        let window = self.sending.peer_knows_windows() && self.receiving.is_window_due();
        if flag.is_none() && !window {
            return None;
        }
        let mut frame = Vec::new();
        self.frame(flag, Bytes::new(), &mut frame);
        Some(frame)
    }

    /// A frame that says nothing new, for a packet to come after what was sent. `None` if the peer would not understand it.
    pub fn probe(&mut self) -> Option<Vec<u8>> {
        // As in `transmit`.
        if !self.sending.peer_knows_windows() {
            return None;
        }
        let message = Message {
            max_data: Some(self.receiving.announce_again()),
            ..Message::default()
        };
        let mut frame = Vec::new();
        message.encode(&mut frame).ok()?;
        Some(frame)
    }

    /// Whether both halves have ended and nothing is left to say: the channel of an abandoned stream can be closed
    /// without loss.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let silent = !self.fin_ack && !self.stop_sending;
        silent && self.receiving.has_ended() && self.sending.has_ended()
    }

    /// Bytes that wait to be read.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.receiving.unread()
    }

    fn stop_receiving(&mut self) {
        self.stop_sending |= self.receiving.stop();
    }

    fn frame(&mut self, flag: Option<Flag>, data: Bytes, out: &mut Vec<u8>) {
        let message = Message {
            flag,
            data,
            max_data: self.receiving.announce(),
        };
        let encoded = message.encode(out);
        debug_assert!(encoded.is_ok(), "`Sending::take` gives what fits");
    }
}

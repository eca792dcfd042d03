//! One inbound stream, read message by message.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, ready};
use libp2p::{PeerId, Stream, swarm::ConnectionId};
use protocol::{Channel, FrameDecoder, Message};

use crate::connection::Counters;

/// Bytes taken from the stream at a time: what a native node's frame of Yamux carries.
const CHUNK: usize = 32 << 10;

/// What a reader saw.
#[derive(Debug)]
pub(crate) enum Read {
    Message(Message),
    /// The peer broke the protocol.
    Violation(String),
    /// The stream is at its end.
    End,
}

/// Where it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) peer: PeerId,
    /// Counts the times this peer was connected: what is left of an earlier time is not delivered later.
    pub(crate) session: u64,
    pub(crate) connection: ConnectionId,
    pub(crate) channel: Channel,
}

/// A stream of what a peer says on one channel. It ends after a violation or the end of the stream.
pub(crate) struct Reader {
    source: Source,
    stream: Option<Stream>,
    counters: Counters,
    decoder: FrameDecoder,
    /// Decoded but not handed out; at most the frames of one chunk.
    messages: VecDeque<Message>,
    chunk: Box<[u8]>,
    /// On the compute channel, hello comes first and only there.
    greeted: bool,
    /// Rounds since what is being read has begun; see `driver::watch`.
    rounds: usize,
}

impl Reader {
    pub(crate) fn new(source: Source, stream: Stream, counters: Counters) -> Self {
        Self {
            source,
            stream: Some(stream),
            counters,
            decoder: FrameDecoder::new(source.channel),
            messages: VecDeque::new(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            greeted: source.channel == Channel::Content,
            rounds: 0,
        }
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Another round has passed. Gives how many have since a message has begun that has not ended, or hello is awaited,
    /// and how many bytes of it have come.
    pub(crate) fn count_round(&mut self) -> (usize, usize) {
        let waits = !self.greeted || !self.decoder.is_between_frames();
        self.rounds = if waits { self.rounds + 1 } else { 0 };
        (self.rounds, self.decoder.buffered())
    }

    fn admit(&mut self, message: Message) -> Result<Message, String> {
        match (&message, self.greeted) {
            (Message::Hello(_), false) => self.greeted = true,
            (Message::Hello(_), true) => return Err("hello in the middle of a stream".to_owned()),
            (other, false) => return Err(format!("{} before hello", other.kind())),
            (_, true) => {}
        }
        Ok(message)
    }

    /// Reads and decodes one chunk. `false`: the stream is at its end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, String>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Ok(false));
        };
        // A stream that fails and one that ends are the same to us: messages are repeated by those who miss answers,
        // and a frame cut short says nothing about the peer's intentions.
        let Ok(len @ 1..) = ready!(Pin::new(stream).poll_read(cx, &mut self.chunk)) else {
            return Poll::Ready(Ok(false));
        };
        self.counters.received(len);
        let mut input = &self.chunk[..len];
        while let Some(message) = self
            .decoder
            .decode(&mut input)
            .map_err(|error| error.to_string())?
        {
            self.messages.push_back(message);
            self.rounds = 0;
        }
        Poll::Ready(Ok(true))
    }
}

impl futures::Stream for Reader {
    type Item = (Source, Read);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.stream.is_none() {
            return Poll::Ready(None);
        }
        let read = loop {
            if let Some(message) = this.messages.pop_front() {
                match this.admit(message) {
                    Ok(message) => return Poll::Ready(Some((this.source, Read::Message(message)))),
                    Err(reason) => break Read::Violation(reason),
                }
            }
            match ready!(this.poll_chunk(cx)) {
                Ok(true) => {}
                Ok(false) => break Read::End,
                Err(reason) => break Read::Violation(reason),
            }
        };
        this.stream = None;
        Poll::Ready(Some((this.source, read)))
    }
}

//! One inbound stream, read message by message.

use std::{
    ops::Range,
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
pub(crate) struct Reader<S = Stream> {
    source: Source,
    stream: Option<S>,
    counters: Counters,
    decoder: FrameDecoder,
    chunk: Box<[u8]>,
    /// What of the chunk is not decoded yet. One message is handed out before the next is decoded: a chunk holds
    /// thousands, and each may take more memory than on the wire.
    unread: Range<usize>,
    /// On the compute channel, hello comes first and only there.
    greeted: bool,
    /// Rounds since what is being read has begun; see `driver::watch`.
    rounds: usize,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    pub(crate) fn new(source: Source, stream: S, counters: Counters) -> Self {
        Self {
            source,
            stream: Some(stream),
            counters,
            decoder: FrameDecoder::new(source.channel),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            unread: 0..0,
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

    /// The next message of what was read, if it is there as a whole.
    fn decode(&mut self) -> Result<Option<Message>, String> {
        let mut input = &self.chunk[self.unread.clone()];
        let message = self.decoder.decode(&mut input);
        self.unread.start = self.unread.end - input.len();
        let message = message.map_err(|error| error.to_string())?;
        let Some(message) = message else {
            return Ok(None);
        };
        self.rounds = 0;
        self.admit(message).map(Some)
    }

    /// Reads one chunk, once the one before is decoded. `false`: the stream is at its end.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(false);
        };
        // A stream that fails and one that ends are the same to us: messages are repeated by those who miss answers,
        // and a frame cut short says nothing about the peer's intentions.
        let Ok(len @ 1..) = ready!(Pin::new(stream).poll_read(cx, &mut self.chunk)) else {
            return Poll::Ready(false);
        };
        self.counters.received(len);
        self.unread = 0..len;
        Poll::Ready(true)
    }
}

impl<S: AsyncRead + Unpin> futures::Stream for Reader<S> {
    type Item = (Source, Read);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.stream.is_none() {
            return Poll::Ready(None);
        }
        let read = loop {
            match this.decode() {
                Ok(Some(message)) => {
                    return Poll::Ready(Some((this.source, Read::Message(message))));
                }
                Ok(None) => {}
                Err(reason) => break Read::Violation(reason),
            }
            if !ready!(this.poll_chunk(cx)) {
                break Read::End;
            }
        };
        this.stream = None;
        Poll::Ready(Some((this.source, read)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use futures::{FutureExt, StreamExt, io::Cursor};
    use protocol::{Cancel, FrameEncoder, Hello, RequestId};

    use super::*;

    fn reader(wire: Vec<u8>) -> Reader<Cursor<Vec<u8>>> {
        let source = Source {
            peer: PeerId::random(),
            session: 0,
            connection: ConnectionId::new_unchecked(0),
            channel: Channel::Compute,
        };
        Reader::new(source, Cursor::new(wire), Counters::default())
    }

    fn wire(messages: &[Message]) -> Vec<u8> {
        let mut wire = Vec::new();
        for message in messages {
            let encoder = FrameEncoder::new(Channel::Compute);
            encoder.encode(message, &mut wire).unwrap();
        }
        wire
    }

    fn next(reader: &mut Reader<Cursor<Vec<u8>>>) -> Read {
        let (_, read) = reader.next().now_or_never().unwrap().unwrap();
        read
    }

    #[test]
    fn one_message_is_handed_out_before_the_next_is_decoded() {
        let said = [
            Message::Hello(Hello::default()),
            Message::Cancel(Cancel { id: RequestId(1) }),
            Message::Cancel(Cancel { id: RequestId(2) }),
        ];
        let mut wire = wire(&said);
        let rest = wire.len() - self::wire(&said[..1]).len();
        // A frame whose message is none.
        wire.extend_from_slice(&[1, 0xff]);
        let mut reader = reader(wire);
        assert!(matches!(next(&mut reader), Read::Message(message) if message == said[0]));
        assert_eq!(reader.unread.len(), rest + 2);
        for message in &said[1..] {
            assert!(matches!(next(&mut reader), Read::Message(read) if read == *message));
        }
        assert!(matches!(next(&mut reader), Read::Violation(_)));
        assert!(reader.next().now_or_never().unwrap().is_none());
    }

    #[test]
    fn what_comes_before_hello_is_decoded_no_further() {
        let cancel = Message::Cancel(Cancel { id: RequestId(1) });
        let one = wire(std::slice::from_ref(&cancel)).len();
        let mut reader = reader(wire(&vec![cancel; 1000]));
        assert!(matches!(next(&mut reader), Read::Violation(_)));
        assert_eq!(reader.unread.start, one);
    }
}

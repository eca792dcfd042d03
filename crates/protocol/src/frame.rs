use bytes::Bytes;
use prost::Message as _;

use crate::{Channel, Error, Message, wire::Envelope};

/// The longest length prefix: five groups of seven bits hold 32.
const MAX_PREFIX: usize = 5;

/// The memory a frame gets at first, however long it claims to be; then the double of what has arrived.
const FIRST_ALLOCATION: usize = 16 << 10;

/// Turns messages into frames: an unsigned varint with the length, then the message.
#[derive(Clone, Copy, Debug)]
pub struct FrameEncoder {
    channel: Channel,
}

impl FrameEncoder {
    /// An encoder for one stream.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Appends the frame of `message` to `out`, which on error is as it was.
    ///
    /// # Errors
    /// If the message is too long or belongs to the other channel.
    pub fn encode(&self, message: &Message, out: &mut Vec<u8>) -> Result<(), Error> {
        if message.channel() != self.channel {
            return Err(Error::WrongChannel {
                kind: message.kind(),
                channel: self.channel,
            });
        }
        let envelope = Envelope::from(message);
        let (len, max) = (envelope.encoded_len(), self.channel.max_message());
        if len > max {
            return Err(Error::TooLong {
                len: len as u64,
                max,
            });
        }
        out.reserve(len + MAX_PREFIX);
        envelope
            .encode_length_delimited(out)
            .map_err(|_| Error::TooLong {
                len: len as u64,
                max,
            })
    }
}

/// Finds the messages in a stream of bytes, however that is split.
///
/// It holds at most one frame. Memory grows with what has arrived, not with what a length prefix claims, and never
/// beyond the channel's [`Channel::max_message`]. A message it gives keeps no more than about the double of its
/// [`Message::size`].
#[derive(Debug)]
pub struct FrameDecoder {
    channel: Channel,
    state: State,
}

#[derive(Debug)]
enum State {
    Prefix { seen: usize, value: u64 },
    Body { len: usize, received: Vec<u8> },
    Broken,
}

impl State {
    const START: Self = Self::Prefix { seen: 0, value: 0 };
}

impl FrameDecoder {
    /// A decoder for one stream.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        Self {
            channel,
            state: State::START,
        }
    }

    /// Takes bytes off the front of `input` until a message is complete. `None` means that all of `input` is used up
    /// and more is needed; after `Some`, call again with what is left.
    ///
    /// # Errors
    /// If the bytes are not what they should be. Nothing after that can be understood: close the stream.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        let result = self.advance(input);
        if result.is_err() {
            self.state = State::Broken;
        }
        result
    }

    /// Whether the stream may end here: no frame has begun.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Prefix { seen: 0, .. })
    }

    /// Bytes of an unfinished frame that have come and are kept.
    #[must_use]
    pub fn buffered(&self) -> usize {
        match &self.state {
            State::Body { received, .. } => received.len(),
            State::Prefix { .. } | State::Broken => 0,
        }
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            match &mut self.state {
                State::Broken => return Err(Error::Broken),
                State::Prefix { seen, value } => {
                    let Some((byte, rest)) = input.split_first() else {
                        return Ok(None);
                    };
                    *input = rest;
                    *value |= u64::from(byte & 0x7f) << (7 * *seen);
                    *seen += 1;
                    let last = byte & 0x80 == 0;
                    let padded = last && *byte == 0 && *seen > 1;
                    if padded || (!last && *seen == MAX_PREFIX) {
                        return Err(Error::Prefix);
                    }
                    if last {
                        let (len, max) = (*value, self.channel.max_message());
                        if len > max as u64 {
                            return Err(Error::TooLong { len, max });
                        }
                        self.state = State::Body {
                            len: len as usize,
                            received: Vec::new(),
                        };
                    }
                }
                State::Body { len, received } => {
                    let take = input.len().min(*len - received.len());
                    let (now, rest) = input.split_at(take);
                    *input = rest;
                    make_room(received, take, *len);
                    received.extend_from_slice(now);
                    if received.len() < *len {
                        return Ok(None);
                    }
                    let body = Bytes::from(std::mem::take(received));
                    self.state = State::START;
                    return self.message(body).map(Some);
                }
            }
        }
    }

    fn message(&self, body: Bytes) -> Result<Message, Error> {
        let frame = body.len();
        let envelope =
            Envelope::decode(body).map_err(|error| Error::Malformed(error.to_string()))?;
        let mut message = Message::try_from(envelope)?;
        if message.channel() != self.channel {
            return Err(Error::WrongChannel {
                kind: message.kind(),
                channel: self.channel,
            });
        }
        // A body is a part of its frame and keeps all of it alive, which may be full of what nobody here knows. Whoever
        // has the message counts the body only.
        if frame > 2 * message.size()
            && let Some(body) = message.body_mut()
        {
            *body = Bytes::copy_from_slice(body);
        }
        Ok(message)
    }

    #[cfg(test)]
    fn capacity(&self) -> usize {
        match &self.state {
            State::Body { received, .. } => received.capacity(),
            _ => 0,
        }
    }
}

/// Room for `more` bytes of a frame of `len`: doubling, but never more than the frame needs.
fn make_room(received: &mut Vec<u8>, more: usize, len: usize) {
    let needed = received.len() + more;
    if needed > received.capacity() {
        let target = needed
            .max(2 * received.capacity())
            .max(FIRST_ALLOCATION)
            .min(len);
        received.reserve_exact(target - received.len());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use crate::{
        ComputeRequest, ComputeResponse, ContentBlock, ContentResponse, JobId, JobOrder,
        JobRequest, JobResponse, Priority, RequestId, SessionId, StageRequest, StageResponse,
    };

    /// A message of each kind that has a body, with this one.
    fn with_bodies(body: &Bytes) -> Vec<Message> {
        let (id, body) = (RequestId(1), || body.clone());
        let block = ContentBlock {
            total: 1 << 20,
            bytes: body(),
            proof: Vec::new(),
        };
        vec![
            Message::ComputeRequest(ComputeRequest {
                id,
                fragment: [1; 32],
                body: body(),
                priority: Priority::Interactive,
                patience: None,
            }),
            Message::StageRequest(StageRequest {
                id,
                session: SessionId(1),
                body: body(),
            }),
            Message::JobRequest(JobRequest {
                id,
                job: JobId([1; 16]),
                order: JobOrder::Begin(body()),
            }),
            Message::ComputeResponse(ComputeResponse {
                id,
                result: Ok(body()),
            }),
            Message::StageResponse(StageResponse {
                id,
                result: Ok(body()),
            }),
            Message::JobResponse(JobResponse {
                id,
                result: Ok(body()),
            }),
            Message::ContentResponse(ContentResponse {
                id,
                result: Ok(block),
            }),
        ]
    }

    #[test]
    fn a_message_keeps_no_more_memory_than_it_counts() {
        for (len, unknown) in [
            (1, 400_000),
            (1000, 3000),
            (100_000, 1000),
            (100_000, 250_000),
        ] {
            for message in with_bodies(&vec![7; len].into()) {
                let mut frame = Envelope::from(&message).encode_to_vec();
                // A field 100 of bytes, as nobody knows one.
                frame.extend_from_slice(&[0xa2, 0x06]);
                prost::encode_length_delimiter(unknown, &mut frame).unwrap();
                frame.resize(frame.len() + unknown, 0);
                let mut wire = Vec::new();
                prost::encode_length_delimiter(frame.len(), &mut wire).unwrap();
                wire.extend_from_slice(&frame);
                let mut decoder = FrameDecoder::new(message.channel());
                let mut read = decoder.decode(&mut &wire[..]).unwrap().unwrap();
                assert_eq!(read, message);
                let size = read.size();
                let body = std::mem::take(read.body_mut().unwrap());
                // Whoever has all of the memory behind it could write that far.
                let kept = body.try_into_mut().unwrap().capacity();
                assert!(kept <= 2 * size, "{kept} bytes for {}", message.kind());
            }
        }
    }

    #[test]
    fn a_length_prefix_that_claims_much_costs_little() {
        let mut decoder = FrameDecoder::new(Channel::Compute);
        let mut claim = &[0xff, 0xff, 0xff, 0x07, 1, 2, 3][..]; // 16 MiB - 1
        assert_eq!(decoder.decode(&mut claim), Ok(None));
        assert!(decoder.capacity() <= FIRST_ALLOCATION);
    }

    #[test]
    fn memory_never_exceeds_the_frame() {
        let mut decoder = FrameDecoder::new(Channel::Content);
        let len = 500_000_usize;
        let mut prefix = Vec::new();
        prost::encode_length_delimiter(len, &mut prefix).unwrap();
        assert_eq!(decoder.decode(&mut &prefix[..]), Ok(None));
        for _ in 0..len / 1000 - 1 {
            assert_eq!(decoder.decode(&mut &[0; 1000][..]), Ok(None));
            assert!(decoder.capacity() <= len);
        }
    }
}

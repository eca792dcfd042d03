use bytes::Bytes;
use prost::Message as _;

use super::frame::{FrameError, MAX_FRAME};

/// The longest data that fits into one frame beside everything else a frame can carry: length prefix 2 bytes, flag 2,
/// key of the data 1 and its length 2, window 2 + 10.
pub const MAX_DATA: usize = MAX_FRAME - 19;

/// Half-closing and resetting, with the names and numbers of the
/// [specification](https://github.com/libp2p/specs/blob/master/webrtc/README.md#multiplexing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Flag {
    /// The sender will no longer send messages on the stream.
    Fin = 0,
    /// The sender will no longer read messages on the stream; it discards what still comes.
    StopSending = 1,
    /// The sender abruptly ends its sending half; what it has sent may be discarded.
    ResetStream = 2,
    /// The sender has received everything up to [`Flag::Fin`].
    FinAck = 3,
}

/// What one frame carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// A change of the stream's state, after [`Message::data`]. Numbers that are not known decode to `None`, so that
    /// later versions of the specification may add some.
    pub flag: Option<Flag>,
    /// Bytes of the stream.
    pub data: Bytes,
    /// How many bytes of data the other side may send on this stream, counted from its beginning: it never becomes
    /// less. An addition of this crate (field 1000); implementations that do not know it skip it, as protobuf demands.
    pub max_data: Option<u64>,
}

/// `webrtc.pb.Message`.
#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(enumeration = "Flag", optional, tag = "1")]
    flag: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    message: Option<Bytes>,
    #[prost(uint64, optional, tag = "1000")]
    max_data: Option<u64>,
}

impl Message {
    /// Appends the frame of this message, length prefix included, to `out`.
    ///
    /// # Errors
    /// If the data is longer than [`MAX_DATA`]; `out` is as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        if self.data.len() > MAX_DATA {
            return Err(FrameError::TooLong);
        }
        let wire = Wire {
            flag: self.flag.map(|flag| flag as i32),
            message: (!self.data.is_empty()).then(|| self.data.clone()),
            max_data: self.max_data,
        };
        out.reserve(wire.encoded_len() + 2);
        wire.encode_length_delimited(out)
            .map_err(|_| FrameError::TooLong)
    }

    /// The message in a frame without its length prefix.
    pub(super) fn decode(body: &[u8]) -> Result<Self, FrameError> {
        let wire = Wire::decode(body).map_err(|_| FrameError::Malformed)?;
        Ok(Self {
            flag: wire.flag.and_then(|flag| Flag::try_from(flag).ok()),
            data: wire.message.unwrap_or_default(),
            max_data: wire.max_data,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &Message) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out).unwrap();
        out
    }

    #[test]
    fn messages_have_the_bytes_of_the_specification() {
        let data = Message {
            data: Bytes::from_static(b"ab"),
            ..Message::default()
        };
        assert_eq!(frame(&data), [4, 0x12, 2, b'a', b'b']);
        let flags = [
            (Flag::Fin, 0),
            (Flag::StopSending, 1),
            (Flag::ResetStream, 2),
            (Flag::FinAck, 3),
        ];
        for (flag, number) in flags {
            let message = Message {
                flag: Some(flag),
                ..Message::default()
            };
            assert_eq!(frame(&message), [2, 0x08, number]);
        }
    }

    #[test]
    fn the_longest_message_fits_into_a_frame() {
        let longest = Message {
            flag: Some(Flag::FinAck),
            data: vec![7; MAX_DATA].into(),
            max_data: Some(u64::MAX),
        };
        assert_eq!(frame(&longest).len(), MAX_FRAME);
        let longer = Message {
            data: vec![7; MAX_DATA + 1].into(),
            ..Message::default()
        };
        assert_eq!(longer.encode(&mut Vec::new()), Err(FrameError::TooLong));
    }

    #[test]
    fn unknown_flags_and_fields_are_passed_over() {
        let body = [0x08, 9, 0x12, 1, b'x', 0x1a, 1, 0];
        let expected = Message {
            data: Bytes::from_static(b"x"),
            ..Message::default()
        };
        assert_eq!(Message::decode(&body), Ok(expected));
    }
}

//! `/webrtc-signaling/0.0.1`: how two peers that share a relayed connection arrange a direct one.
//!
//! The messages are those of the
//! [specification](https://github.com/libp2p/specs/blob/master/webrtc/webrtc.md#signaling-protocol), each after its
//! length as an unsigned varint.

use prost::Message as _;

/// Name of the protocol, as js-libp2p and go-libp2p negotiate it.
pub const PROTOCOL: &str = "/webrtc-signaling/0.0.1";

/// The longest message. Descriptions and candidates are a few kilobytes at most.
pub const MAX_MESSAGE: usize = 64 << 10;

/// Bytes of the longest length prefix: three groups of seven bits hold [`MAX_MESSAGE`].
const MAX_PREFIX: usize = 3;

/// What [`Message::data`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Type {
    /// The `sdp` of an `RTCSessionDescription`.
    SdpOffer = 0,
    /// The same, in answer to an offer.
    SdpAnswer = 1,
    /// An `RTCIceCandidate` in JSON.
    IceCandidate = 2,
}

/// One message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What `data` is.
    pub kind: Type,
    /// SDP or JSON.
    pub data: String,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a signalling message of more than {MAX_MESSAGE} bytes")]
    TooLong,
    /// Not protobuf, or without a type that is known.
    #[error("a malformed signalling message")]
    Malformed,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(enumeration = "Type", optional, tag = "1")]
    kind: Option<i32>,
    #[prost(string, optional, tag = "2")]
    data: Option<String>,
}

impl Message {
    /// The message with its length before it.
    ///
    /// # Errors
    /// If it is too long.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let wire = Wire {
            kind: Some(self.kind as i32),
            data: Some(self.data.clone()),
        };
        if wire.encoded_len() > MAX_MESSAGE {
            return Err(Error::TooLong);
        }
        Ok(wire.encode_length_delimited_to_vec())
    }
}

/// Finds messages in the bytes of the signalling stream.
///
/// It holds at most one incomplete message, of [`MAX_MESSAGE`] bytes at most; memory grows with what has arrived.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Vec<u8>,
}

impl Decoder {
    /// A decoder for one stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from `input` up to the end of a message; `None` if `input` is used up first.
    ///
    /// # Errors
    /// If there is no message. What follows cannot be understood any more.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, Error> {
        loop {
            let missing = match prefix(&self.partial)? {
                None => 1,
                Some((start, len)) if start + len == self.partial.len() => {
                    let wire =
                        Wire::decode(&self.partial[start..]).map_err(|_| Error::Malformed)?;
                    self.partial.clear();
                    // In proto3 a field without a value may be left out, and an offer has the number 0.
                    let kind =
                        Type::try_from(wire.kind.unwrap_or(0)).map_err(|_| Error::Malformed)?;
                    let data = wire.data.unwrap_or_default();
                    return Ok(Some(Message { kind, data }));
                }
                Some((start, len)) => start + len - self.partial.len(),
            };
            if input.is_empty() {
                return Ok(None);
            }
            let (taken, rest) = input.split_at(missing.min(input.len()));
            self.partial.extend_from_slice(taken);
            *input = rest;
        }
    }
}

/// The bytes of the length prefix and the length that it says; `None` if more bytes are needed.
fn prefix(bytes: &[u8]) -> Result<Option<(usize, usize)>, Error> {
    let mut len = 0;
    for (index, byte) in bytes.iter().take(MAX_PREFIX).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return if len > MAX_MESSAGE {
                Err(Error::TooLong)
            } else {
                Ok(Some((index + 1, len)))
            };
        }
    }
    if bytes.len() < MAX_PREFIX {
        Ok(None)
    } else {
        Err(Error::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_split() {
        let sent = [
            (Type::SdpOffer, "v=0"),
            (Type::SdpAnswer, ""),
            (Type::IceCandidate, "{\"candidate\":\"\"}"),
        ]
        .map(|(kind, data)| Message {
            kind,
            data: data.to_owned(),
        });
        let bytes: Vec<u8> = sent.iter().flat_map(|it| it.encode().unwrap()).collect();
        for size in 1..=bytes.len() {
            let mut decoder = Decoder::new();
            let mut received = Vec::new();
            for mut chunk in bytes.chunks(size) {
                while let Some(message) = decoder.decode(&mut chunk).unwrap() {
                    received.push(message);
                }
            }
            assert_eq!(received, sent);
        }
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_has_come() {
        let long = Message {
            kind: Type::SdpOffer,
            data: "x".repeat(MAX_MESSAGE),
        };
        assert_eq!(long.encode(), Err(Error::TooLong));
        let mut decoder = Decoder::new();
        assert_eq!(
            decoder.decode(&mut &[0xff, 0xff, 0x7f][..]),
            Err(Error::TooLong)
        );
        let mut decoder = Decoder::new();
        assert_eq!(decoder.decode(&mut &[0xff; 9][..]), Err(Error::TooLong));
    }

    #[test]
    fn a_type_that_is_not_known_is_an_error() {
        let mut decoder = Decoder::new();
        assert_eq!(
            decoder.decode(&mut &[2, 0x08, 9][..]),
            Err(Error::Malformed)
        );
    }
}

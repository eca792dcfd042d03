use super::Message;

/// The longest frame, its length prefix included, so that it fits into a message of every browser's data channel.
pub const MAX_FRAME: usize = 16 << 10;

/// Bytes of the longest length prefix: two groups of seven bits hold [`MAX_FRAME`] less themselves.
const MAX_PREFIX: usize = 2;

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame is, or says it is, longer than [`MAX_FRAME`].
    #[error("longer than {MAX_FRAME} bytes")]
    TooLong,
    /// The length is not the shortest encoding of its number.
    #[error("its length is not written as short as it can be")]
    LengthNotMinimal,
    /// What is in the frame is not a message.
    #[error("not a message")]
    Malformed,
}

/// Finds messages in what comes through a data channel.
///
/// Frames and the channel's own messages need not coincide: js-libp2p sends length prefix and body apart. At most one
/// incomplete frame is held, and memory grows with what has arrived, not with what a prefix claims.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    partial: Vec<u8>,
}

/// Where the body of a frame lies.
struct Extent {
    start: usize,
    end: usize,
}

/// Reads the length prefix at the beginning of `bytes`; `None` if more bytes are needed.
fn extent(bytes: &[u8]) -> Result<Option<Extent>, FrameError> {
    let mut len = 0;
    for (index, byte) in bytes.iter().take(MAX_PREFIX).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 != 0 {
            continue;
        }
        if index > 0 && *byte == 0 {
            return Err(FrameError::LengthNotMinimal);
        }
        let start = index + 1;
        if start + len > MAX_FRAME {
            return Err(FrameError::TooLong);
        }
        let end = start + len;
        return Ok(Some(Extent { start, end }));
    }
    if bytes.len() < MAX_PREFIX {
        Ok(None)
    } else {
        Err(FrameError::TooLong)
    }
}

impl FrameDecoder {
    /// A decoder for one stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from `input` up to the end of a frame and gives its message; `None` if `input` is used up first.
    ///
    /// # Errors
    /// If there is no frame. What follows cannot be understood any more: the stream is to be reset.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FrameError> {
        // Most often a message of the channel is one frame, which is decoded where it lies.
        if self.partial.is_empty()
            && let Some(Extent { start, end }) = extent(input)?
            && let Some((frame, rest)) = input.split_at_checked(end)
        {
            *input = rest;
            return Message::decode(&frame[start..]).map(Some);
        }
        loop {
            let missing = match extent(&self.partial)? {
                None => 1,
                Some(Extent { start, end }) if end == self.partial.len() => {
                    let message = Message::decode(&self.partial[start..])?;
                    self.partial.clear();
                    return Ok(Some(message));
                }
                Some(Extent { end, .. }) => end - self.partial.len(),
            };
            if input.is_empty() {
                return Ok(None);
            }
            let (taken, rest) = input.split_at(missing.min(input.len()));
            self.partial.extend_from_slice(taken);
            *input = rest;
        }
    }

    /// Bytes of an incomplete frame; always less than [`MAX_FRAME`].
    #[must_use]
    pub fn pending(&self) -> usize {
        self.partial.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(mut input: &[u8]) -> Result<Option<Message>, FrameError> {
        FrameDecoder::new().decode(&mut input)
    }

    #[test]
    fn a_length_of_more_than_a_frame_is_refused_before_its_bytes_come() {
        // 16,382 bytes after a prefix of two: the longest.
        assert_eq!(decode(&[0xfe, 0x7f]), Ok(None));
        assert_eq!(decode(&[0xff, 0x7f]), Err(FrameError::TooLong));
        assert_eq!(decode(&[0x80, 0x80]), Err(FrameError::TooLong));
        assert_eq!(decode(&[0xff; 10]), Err(FrameError::TooLong));
    }

    #[test]
    fn a_length_is_written_in_one_way_only() {
        assert_eq!(decode(&[0x80, 0x00]), Err(FrameError::LengthNotMinimal));
        assert_eq!(decode(&[0]), Ok(Some(Message::default())));
    }

    #[test]
    fn prefix_and_body_may_come_apart() {
        let mut decoder = FrameDecoder::new();
        for byte in [4, 0x12, 2, b'a'] {
            assert_eq!(decoder.decode(&mut &[byte][..]), Ok(None));
        }
        let message = decoder.decode(&mut &b"b"[..]).unwrap().unwrap();
        assert_eq!(&message.data[..], b"ab");
        assert_eq!(decoder.pending(), 0);
    }
}

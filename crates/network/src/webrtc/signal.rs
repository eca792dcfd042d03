//! The messages of `/webrtc-signaling/0.0.1`, as libp2p's specification has them: length-prefixed protobuf.

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use prost::Message as _;

use super::Error;

/// Descriptions and candidates are a few kilobytes at most.
const MAX_MESSAGE: usize = 64 << 10;

/// Bytes of the longest length prefix that can be within [`MAX_MESSAGE`].
const MAX_PREFIX: usize = 3;

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(enumeration = "Kind", optional, tag = "1")]
    kind: Option<i32>,
    #[prost(string, optional, tag = "2")]
    data: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    Offer = 0,
    Answer = 1,
    Candidate = 2,
}

pub(super) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    kind: Kind,
    data: String,
) -> Result<(), Error> {
    let wire = Wire {
        kind: Some(kind as i32),
        data: Some(data),
    };
    stream
        .write_all(&wire.encode_length_delimited_to_vec())
        .await?;
    stream.flush().await?;
    Ok(())
}

pub(super) async fn receive(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<(Kind, String), Error> {
    let mut len = 0;
    for position in 0..=MAX_PREFIX {
        if position == MAX_PREFIX {
            return Err(Error::Negotiation("a message that is too long"));
        }
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        len |= usize::from(byte[0] & 0x7f) << (7 * position);
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    if len > MAX_MESSAGE {
        return Err(Error::Negotiation("a message that is too long"));
    }
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await?;
    let wire = Wire::decode(&bytes[..]).map_err(|_| Error::Negotiation("a malformed message"))?;
    Ok((wire.kind(), wire.data.unwrap_or_default()))
}

//! What nodes say to each other, and how it lies on the wire.
//!
//! Two streams connect a pair of peers, one per [`Channel`]: `compute` carries requests whose answers a token is
//! waiting for, `content` carries fragments. They are apart so that ten megabytes of download never stand in front of
//! a request of ten kilobytes. Both carry the same envelope, a length-prefixed protobuf [`Message`].
//!
//! This crate never touches a socket or a clock, and knows nothing of models: the bodies of compute requests are opaque
//! bytes, fragments are digests, and what a node holds is a [`Bitmap`] over the order of its manifest.
//!
//! Everything decoded here comes from strangers. Lengths are checked before memory is taken, and what decodes is
//! well-formed: a digest has 32 bytes, a bitmap the bytes its length asks for.
//!
//! ```
//! use protocol::{Cancel, Channel, FrameDecoder, FrameEncoder, Message, RequestId};
//!
//! let mut wire = Vec::new();
//! let sent = Message::Cancel(Cancel { id: RequestId(7) });
//! FrameEncoder::new(Channel::Compute).encode(&sent, &mut wire)?;
//!
//! let mut decoder = FrameDecoder::new(Channel::Compute);
//! let mut input = &wire[..];
//! assert_eq!(decoder.decode(&mut input)?, Some(sent));
//! assert_eq!(decoder.decode(&mut input)?, None); // waits for more bytes
//! # Ok::<(), protocol::Error>(())
//! ```

mod bitmap;
mod fragment_set;
mod frame;
mod heartbeat;
mod message;
mod wire;

pub use bitmap::Bitmap;
pub use fragment_set::FragmentSet;
pub use frame::{FrameDecoder, FrameEncoder};
pub use heartbeat::{Heartbeat, MAX_HEARTBEAT, Place, Reach, SHARD_FRAGMENTS};
pub use message::{
    Cancel, ComputeRequest, ComputeResponse, ContentBlock, ContentRequest, ContentResponse, Digest,
    ErrorCode, Failure, Hello, HoldingsChanged, JobId, JobOrder, JobRequest, JobResponse, Message,
    Priority, Queued, RequestId, Role, Runs, SessionId, StageRequest, StageResponse,
};

/// Version of these messages, sent in [`Hello`]. The names of the streams change only when the framing does.
pub const VERSION: u32 = 1;

/// The bytes of a block of content, which is what one [`ContentRequest`] asks for and one [`ContentResponse`] carries
/// and proves. A power of two of BLAKE3's chunks of 1 KiB, so that a block is a subtree of the content's hash.
pub const BLOCK_BYTES: u32 = 256 << 10;

/// The most digests in a [`ContentBlock::proof`]: the height of the tree over as many blocks as a number of 32 bits
/// counts.
pub const MAX_PROOF: usize = 32;

/// What a stream between a pair of peers is for. Each side opens its own, and writes to those only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// [`Hello`] first, then requests, responses and cancellations in both directions.
    Compute,
    /// Blocks of content and requests for them, in both directions.
    Content,
}

impl Channel {
    /// Both channels.
    pub const ALL: [Self; 2] = [Self::Compute, Self::Content];

    /// The name both sides negotiate.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Compute => "/iap2p/compute/1",
            Self::Content => "/iap2p/content/2",
        }
    }

    /// How many streams each side may have open at a time. What goes over several comes in any order: blocks of content
    /// know their place.
    ///
    /// A stream of Yamux carries 256 KiB until the other side has said that it may carry more, and a fragment is on its
    /// way for some round trips only.
    #[must_use]
    pub const fn streams(self) -> usize {
        match self {
            Self::Compute => 1,
            Self::Content => 4,
        }
    }

    /// The longest message of this channel, in bytes, without its length prefix. A longer one is refused on both
    /// sides: 16 MiB hold the partial sums of a batch of several hundred tokens, 512 KiB a block of content with
    /// room.
    #[must_use]
    pub const fn max_message(self) -> usize {
        match self {
            Self::Compute => 16 << 20,
            Self::Content => 512 << 10,
        }
    }
}

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Longer than its channel allows.
    #[error("a message of {len} bytes, at most {max} are allowed here")]
    TooLong {
        /// Length of the message, or what its prefix claims.
        len: u64,
        /// The limit of its channel.
        max: usize,
    },
    /// The length prefix is not a minimal varint of at most 32 bits.
    #[error("malformed length prefix")]
    Prefix,
    /// The bytes are not the protobuf they should be.
    #[error("malformed message: {0}")]
    Malformed(String),
    /// Well-formed protobuf that says something impossible.
    #[error("impossible message: {0}")]
    Impossible(&'static str),
    /// A message of the other channel.
    #[error("a {kind} message does not belong on {}", channel.name())]
    WrongChannel {
        /// What kind of message it is.
        kind: &'static str,
        /// Where it was seen.
        channel: Channel,
    },
    /// The decoder has refused a frame before; the stream has lost its frame boundaries and must be closed.
    #[error("the stream is broken since an earlier malformed message")]
    Broken,
}

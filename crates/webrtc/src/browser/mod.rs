//! WebRTC as a page has it: `RTCPeerConnection` and `RTCDataChannel`.
//!
//! Two browsers cannot dial each other. They meet through a relay first; over a stream of that connection, which is
//! encrypted and authenticated from end to end, they exchange what an `RTCPeerConnection` needs ([`negotiate`]). The
//! fingerprints in it tie the new connection to the same two peers, so that no further handshake is needed. The result
//! is a [`Connection`] whose [`Stream`]s are data channels. [`crate::Transport`] does this for libp2p.
//!
//! What holds in the two directions:
//!
//! - Writing waits while the browser has [`MAX_UNSENT`] bytes of a stream to send, and while the peer does not read, if
//!   the peer knows windows ([`crate::core::Message::max_data`]).
//! - What comes is kept until it is read: at most [`crate::core::Limits::max_unread`] bytes per stream and
//!   [`MAX_UNREAD`] per connection. A stream that exceeds either is reset.
//! - A stream that was let go of lives on unseen until the other side has acknowledged its end, [`LINGER`] at most.
//! - A peer that says goodbye is gone at once; a page says it when it is left (`pagehide`). One that falls silent is
//!   given up within five seconds ([`crate::core::Liveness`]). Where a browser keeps no count of what it receives, its
//!   own state of the connection says it, and [`PATIENCE`] is added.
//!
//! Pages have one thread. What must be `Send` for libp2p is wrapped, and panics if it is touched on another one.

mod channel;
mod connection;
pub mod direct;
mod linger;
mod negotiation;
mod peer;
mod shared;
mod silence;
mod stream;

use crate::Error;

pub use channel::MAX_UNSENT;
pub use connection::{Connection, PATIENCE};
pub use linger::LINGER;
pub use negotiation::negotiate;
pub use shared::MAX_UNREAD;
pub use stream::Stream;

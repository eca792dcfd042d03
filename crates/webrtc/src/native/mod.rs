//! WebRTC as a native program has it: [str0m](https://docs.rs/str0m), which knows no sockets, over UDP of Tokio's.
//!
//! [`negotiate`] makes a connection over a stream that two peers have already, each connection with a socket of its
//! own; [`direct`] accepts and dials connections of peers that know an address, all of them on one port. The result is
//! a [`Connection`] whose [`Stream`]s are data channels, with a task of its own that moves its packets.
//!
//! What holds in the two directions is what holds in a page:
//!
//! - Writing waits while [`MAX_UNSENT`] bytes of a stream are on their way, or less on a short one, and while the peer does
//!   not read, if the peer knows windows ([`crate::core::Message::max_data`]).
//! - What comes is kept until it is read: at most [`crate::core::Limits::max_unread`] bytes per stream and
//!   [`MAX_UNREAD`] per connection. A stream that exceeds either is reset.
//! - A stream that was let go of lives on unseen until the other side has acknowledged its end, [`LINGER`] at most.
//! - A peer that says goodbye is gone at once; one that falls silent is given up within five seconds
//!   ([`crate::core::Liveness`]).

mod certificate;
mod channel;
mod connection;
pub mod direct;
mod driver;
mod negotiation;
mod paths;
mod session;
mod socket;
mod stream;
mod stun;
mod turn;

use crate::Error;

pub use certificate::{Certificate, InvalidCertificate};
pub use channel::{MAX_UNREAD, MAX_UNSENT};
pub use connection::Connection;
pub use negotiation::{negotiate, negotiate_at};
pub use session::LINGER;
pub use stream::Stream;

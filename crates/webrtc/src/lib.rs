//! libp2p over WebRTC, as [libp2p's specification](https://github.com/libp2p/specs/tree/master/webrtc) has it.
//!
//! [`core`] is what every implementation needs, whatever carries its bytes: the framing of messages on data channels,
//! a stream that can be half-closed and reset over a channel that can be neither, and the messages by which two peers
//! arrange a connection. It has no sockets, no clock and no async runtime; it compiles for every target.
//!
//! The rest exists twice, once for a page (`browser`, on `wasm32`, over an `RTCPeerConnection`) and once for native
//! programs (`native`, over UDP sockets of Tokio's): a [stream multiplexer], and the negotiation of a connection over
//! a stream that two peers have already. [`Transport`] makes a libp2p transport for `/webrtc` addresses of either.
//! `native::direct` and `browser::direct` have those for `/webrtc-direct` addresses.
//!
//! Everything that is decoded here comes from strangers: lengths are checked before memory is taken, nothing grows
//! beyond a stated bound, and what breaks a rule breaks one stream.
//!
//! [stream multiplexer]: https://docs.rs/libp2p/latest/libp2p/core/muxing/trait.StreamMuxer.html

mod address;
#[cfg(target_arch = "wasm32")]
pub mod browser;
pub mod core;
mod error;
mod handshake;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
mod servers;
mod signals;
mod target;
mod transport;

pub use error::Error;
pub use servers::{IceServer, IceServers};
pub use signals::{Role, SignalingError};
pub use target::{MaybeSend, SignalFuture};
pub use transport::{LISTEN, Signaling, Transport};

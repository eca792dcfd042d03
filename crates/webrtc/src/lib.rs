//! libp2p over WebRTC, as [libp2p's specification](https://github.com/libp2p/specs/tree/master/webrtc) has it.
//!
//! [`core`] is what every implementation needs, whatever carries its bytes: the framing of messages on data channels,
//! a stream that can be half-closed and reset over a channel that can be neither, and the messages by which two peers
//! arrange a connection. It has no sockets, no clock and no async runtime; it compiles for every target.
//!
//! `browser`, on `wasm32` only, is the rest for a page: a [stream multiplexer] over an `RTCPeerConnection`, the
//! negotiation of such a connection over a stream that two browsers have already, and a libp2p transport for
//! `/webrtc` addresses.
//!
//! Everything that is decoded here comes from strangers: lengths are checked before memory is taken, nothing grows
//! beyond a stated bound, and what breaks a rule breaks one stream.
//!
//! [stream multiplexer]: https://docs.rs/libp2p/latest/libp2p/core/muxing/trait.StreamMuxer.html

#[cfg(target_arch = "wasm32")]
pub mod browser;
pub mod core;

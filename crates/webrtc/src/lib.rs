//! libp2p over WebRTC, as [libp2p's specification](https://github.com/libp2p/specs/tree/master/webrtc) has it.
//!
//! [`core`] is what every implementation needs, whatever carries its bytes: the framing of messages on data channels,
//! a stream that can be half-closed and reset over a channel that can be neither, and the messages by which two peers
//! arrange a connection. It has no sockets, no clock and no async runtime; it compiles for every target.
//!
//! Everything that is decoded here comes from strangers: lengths are checked before memory is taken, nothing grows
//! beyond a stated bound, and what breaks a rule breaks one stream.

pub mod core;

//! Framing, streams and signalling, without input or output of their own.
//!
//! ```
//! use webrtc::core::{Limits, Stream};
//!
//! let (mut one, mut other) = (Stream::new(Limits::default()), Stream::new(Limits::default()));
//! // Whatever carries the frames: here, nothing.
//! let mut frame = Vec::new();
//! assert_eq!(one.write(b"hello", &mut frame)?, 5);
//! other.handle_input(&frame)?;
//! one.close_write();
//! while let Some(frame) = one.transmit() {
//!     other.handle_input(&frame)?;
//! }
//!
//! let mut buffer = [0; 16];
//! assert_eq!(other.read(&mut buffer)?, Some(5));
//! assert_eq!(other.read(&mut buffer)?, Some(0)); // the end
//! # Ok::<(), webrtc::core::StreamError>(())
//! ```

pub mod direct;
mod frame;
mod liveness;
mod message;
mod route;
pub mod signaling;
mod stream;
mod tail;

pub use frame::{FrameDecoder, FrameError, MAX_FRAME};
pub use liveness::Liveness;
pub use message::{Flag, MAX_DATA, Message};
pub use route::Route;
pub use stream::{Limits, Stream, StreamError};
pub use tail::{Doubt, PROBES, Tail};

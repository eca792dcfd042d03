use std::io;

use crate::core::FrameError;

/// Why nothing can be read or written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer sent what is no frame.
    #[error("the peer sent no frame: {0}")]
    Frame(#[from] FrameError),
    /// The peer sent more than may wait unread.
    #[error("the peer sent more than can wait unread")]
    Overflow,
    /// The peer reset its sending half.
    #[error("the peer reset the stream")]
    Reset,
    /// The peer reads no more.
    #[error("the peer reads no more")]
    Stopped,
    /// The channel was closed before the stream had ended.
    #[error("the channel was closed")]
    Closed,
    /// This half has been ended on our side.
    #[error("this half of the stream has ended")]
    Ended,
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match error {
            StreamError::Frame(_) => io::ErrorKind::InvalidData,
            StreamError::Overflow => io::ErrorKind::OutOfMemory,
            StreamError::Reset => io::ErrorKind::ConnectionReset,
            StreamError::Closed => io::ErrorKind::UnexpectedEof,
            StreamError::Stopped | StreamError::Ended => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

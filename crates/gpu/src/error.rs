use gguf::TensorType;

/// Why a graphics processor gives no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It exists, and refuses its service.
    #[error("the graphics processor cannot be used: {0}")]
    Device(String),
    /// There is no shader for this type.
    #[error("no shader multiplies {} weights", .0.name())]
    Unsupported(TensorType),
    /// Rows are empty or not whole blocks, or there is another number of bytes or values than that.
    #[error("{what}: {expected} expected, {found} found")]
    Length {
        /// What has the wrong length.
        what: &'static str,
        /// What the other sizes imply.
        expected: usize,
        /// What was given.
        found: usize,
    },
    /// Too large for one buffer or one dispatch.
    #[error("too large for the graphics processor: {0}")]
    TooLarge(&'static str),
    /// It was taken away in mid-work: the driver crashed, the device slept, or the browser needs it.
    #[error("the graphics processor is gone: {0}")]
    Lost(String),
}

use gguf::TensorType;

/// Why a graphics processor gives no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    /// It refused a piece of work, or has no memory left.
    #[error("the graphics processor failed: {0}")]
    Failed(String),
    /// It computes something else than the CPU.
    #[error(
        "the graphics processor is wrong: row {row}, token {token} is {off} off where {allowed} is allowed"
    )]
    Wrong {
        /// Where.
        row: usize,
        /// For which token.
        token: usize,
        /// By how much.
        off: f32,
        /// By how much it may be.
        allowed: f32,
    },
    /// A kernel of the CPU refused.
    #[error(transparent)]
    Kernel(#[from] kernels::Error),
}

impl Error {
    /// Whether this product alone cannot be had from it. After any other error it had better not be asked again.
    #[must_use]
    pub fn is_about_the_product(&self) -> bool {
        match self {
            Self::Unsupported(_) | Self::Length { .. } | Self::TooLarge(_) | Self::Kernel(_) => {
                true
            }
            Self::Device(_) | Self::Lost(_) | Self::Failed(_) | Self::Wrong { .. } => false,
        }
    }
}

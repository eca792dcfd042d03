use gguf::TensorType;

use crate::{Encoding, Isa};

/// Why a product was refused. Every size is checked before anything is read or allocated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No kernel multiplies weights of this type.
    #[error("no kernel multiplies {} weights", .0.name())]
    Unsupported(TensorType),
    /// This machine, or this build, cannot run these instructions.
    #[error("{0} kernels cannot run here")]
    Unavailable(Isa),
    /// The row length is zero or not a whole number of blocks.
    #[error("a row of {width} values is not a whole number of blocks of {block}")]
    Width {
        /// Values in a row.
        width: usize,
        /// Values in a block.
        block: usize,
    },
    /// The activations are encoded differently from what the weights' type asks for.
    #[error("{} weights need {needed} activations, not {found}", .weights.name())]
    Encoding {
        /// Type of the weights.
        weights: TensorType,
        /// Encoding the type asks for.
        needed: Encoding,
        /// Encoding found.
        found: Encoding,
    },
    /// Activations that are already rounded cannot be rounded again without loss.
    #[error("{from} activations cannot become {to} without loss")]
    Recoding {
        /// Encoding found.
        from: Encoding,
        /// Encoding asked for.
        to: Encoding,
    },
    /// A buffer has the wrong length.
    #[error("{what}: {expected} expected, {found} found")]
    Length {
        /// Which buffer, and in which unit.
        what: &'static str,
        /// Length that the other sizes imply.
        expected: usize,
        /// Length of the buffer.
        found: usize,
    },
    /// The sizes multiply to more than this machine can address.
    #[error("sizes overflow: {0}")]
    Overflow(&'static str),
    /// Q8 activations hold the value −128, which no encoder makes and the kernels do not expect.
    #[error("the activation at byte {0} is -128, which no encoder makes")]
    Quant(usize),
    /// There is nothing to add.
    #[error("a sum of no parts has no length")]
    NoParts,
}

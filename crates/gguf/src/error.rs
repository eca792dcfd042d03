use std::io;

use crate::ValueType;

/// Why a file could not be read, and at which byte.
#[derive(Debug, thiserror::Error)]
#[error("{kind} (at byte {offset})")]
pub struct Error {
    /// Offset from the start of the file of the value that was refused.
    pub offset: u64,
    /// What was wrong with it.
    #[source]
    pub kind: ErrorKind,
}

/// What was wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The first four bytes are not `GGUF`.
    #[error("not a GGUF file")]
    NotGguf,
    /// A version this crate does not read.
    #[error("GGUF version {0} is not supported (2 and 3 are)")]
    UnsupportedVersion(u32),
    /// The file was written for a big-endian machine.
    #[error("big-endian GGUF files are not supported")]
    BigEndian,
    /// The file ends before a value that must follow.
    #[error("the file ends too early: {needed} bytes must follow, {available} can")]
    Truncated {
        /// Bytes the value takes.
        needed: u64,
        /// Bytes that can still follow.
        available: u64,
    },
    /// The header is longer than [`MAX_HEADER_BYTES`](crate::MAX_HEADER_BYTES).
    #[error("the header is longer than {limit} bytes")]
    HeaderTooLong {
        /// The limit.
        limit: u64,
    },
    /// A text is not valid UTF-8.
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// A boolean is neither 0 nor 1.
    #[error("a boolean is {0}, neither 0 nor 1")]
    InvalidBool(u8),
    /// An unknown type of metadata value.
    #[error("unknown type of value: {0}")]
    UnknownValueType(u32),
    /// Arrays inside arrays inside arrays….
    #[error("arrays are nested deeper than {limit}")]
    NestedTooDeep {
        /// The limit.
        limit: u32,
    },
    /// Two metadata entries have the same key.
    #[error("metadata key {0:?} occurs twice")]
    DuplicateKey(String),
    /// `general.alignment` is of another type than u32.
    #[error("general.alignment is of type {0}, not u32")]
    AlignmentType(ValueType),
    /// `general.alignment` is neither a power of two nor a multiple of 8.
    #[error("alignment {0} is neither a power of two nor a multiple of 8")]
    InvalidAlignment(u64),
    /// An unknown tensor type.
    #[error("tensor {name:?} has the unknown type {id}")]
    UnknownTensorType {
        /// The tensor.
        name: String,
        /// The type's number.
        id: u32,
    },
    /// More than four dimensions.
    #[error("tensor {name:?} has {dimensions} dimensions (at most 4)")]
    TooManyDimensions {
        /// The tensor.
        name: String,
        /// How many.
        dimensions: u32,
    },
    /// Rows are not whole blocks of the tensor's type.
    #[error("tensor {name:?} has rows of {row_len} weights, not a multiple of {block_len}")]
    PartialBlock {
        /// The tensor.
        name: String,
        /// Weights of a row.
        row_len: u64,
        /// Weights of a block.
        block_len: usize,
    },
    /// The tensor's size or position exceeds 64 bits.
    #[error("tensor {0:?} is too large")]
    TooLarge(String),
    /// A tensor does not start at a multiple of the alignment.
    #[error("tensor {name:?} lies at {position}, not a multiple of the alignment {alignment}")]
    Misaligned {
        /// The tensor.
        name: String,
        /// Offset from the start of the data.
        position: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// A tensor reaches beyond the end of the file.
    #[error("tensor {name:?} ends at byte {end} of a file of {file_len} bytes")]
    BeyondEnd {
        /// The tensor.
        name: String,
        /// Offset from the start of the file.
        end: u64,
        /// Length of the file.
        file_len: u64,
    },
    /// Two tensors have the same name.
    #[error("tensor {0:?} occurs twice")]
    DuplicateTensor(String),
    /// Two tensors share bytes.
    #[error("tensors {first:?} and {second:?} overlap")]
    Overlap {
        /// The tensor that starts first.
        first: String,
        /// The tensor that starts inside it.
        second: String,
    },
    /// The reader failed.
    #[error("cannot read: {0}")]
    Io(#[source] io::Error),
}

impl ErrorKind {
    pub(crate) fn at(self, offset: u64) -> Error {
        Error { offset, kind: self }
    }
}

use std::fmt;

use gguf::TensorType;

/// What activations are rounded to before they meet weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "the names are the format's own")]
pub enum Encoding {
    /// Not rounded at all.
    F32,
    /// Half precision.
    F16,
    /// Blocks of 32 bytes with one half-precision scale, 34 bytes each.
    Q8_0,
    /// Blocks of 256 bytes with one single-precision scale, 260 bytes each.
    Q8_K,
}

impl Encoding {
    /// Values that are rounded together; a row is a whole number of them.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 => 1,
            Self::Q8_0 => 32,
            Self::Q8_K => 256,
        }
    }

    /// Bytes of one block as it travels.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::Q8_0 => 34,
            Self::Q8_K => 260,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Q8_0 => "Q8_0",
            Self::Q8_K => "Q8_K",
        })
    }
}

/// The encoding that weights of this type ask for, or `None` if no kernel multiplies them.
///
/// It is the one llama.cpp uses, but for BF16, whose activations stay in single precision.
#[must_use]
pub const fn encoding_for(weights: TensorType) -> Option<Encoding> {
    match weights {
        TensorType::F32 | TensorType::BF16 => Some(Encoding::F32),
        TensorType::F16 => Some(Encoding::F16),
        TensorType::Q4_0
        | TensorType::Q4_1
        | TensorType::Q5_0
        | TensorType::Q5_1
        | TensorType::Q8_0 => Some(Encoding::Q8_0),
        TensorType::Q2_K
        | TensorType::Q3_K
        | TensorType::Q4_K
        | TensorType::Q5_K
        | TensorType::Q6_K => Some(Encoding::Q8_K),
        _ => None,
    }
}

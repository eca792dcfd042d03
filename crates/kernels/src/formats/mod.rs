//! The block layouts of ggml, one small module per type.
//!
//! A type that rounds weights to integers says how to unpack a block ([`Blocks::unpack`]); that is
//! all a new type needs. Dequantisation and every product follow from it.

mod k;
mod legacy;
mod plain;

pub(crate) use k::{Q2K, Q3K, Q4K, Q5K, Q6K};
pub(crate) use legacy::{Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
pub(crate) use plain::{BF16, F16, F32, Plain};

/// A type whose weights are integers with scales.
pub(crate) trait Blocks {
    /// Weights in a block: 32 or 256, as many as in a block of the activations it meets.
    const LEN: usize;
    /// Bytes in a block.
    const BYTES: usize;
    /// Whether a weight is `d·scale·quant − dmin·min` or just `d·scale·quant`.
    const MINS: bool;
    /// Whether scales differ inside a block, or are all one.
    const SCALES: bool;

    /// Unpacks a block of `BYTES` bytes: the first `LEN` quants, the first `LEN / 16` scales and
    /// minima. What the constants above rule out is left as it was.
    fn unpack(block: &[u8], out: &mut Unpacked);
}

/// A block of weights as integers.
pub(crate) struct Unpacked {
    /// At most 6 bits and a sign, or any 8 bits where there are no scales.
    pub(crate) quants: [i8; 256],
    /// One for each 16 weights.
    pub(crate) scales: [i16; 16],
    /// One for each 16 weights.
    pub(crate) mins: [i16; 16],
    pub(crate) d: f32,
    pub(crate) dmin: f32,
}

impl Unpacked {
    pub(crate) const fn new() -> Self {
        Self {
            quants: [0; 256],
            scales: [1; 16],
            mins: [0; 16],
            d: 0.0,
            dmin: 0.0,
        }
    }
}

/// Calls a generic function with the format of a type of quantised weights.
macro_rules! with_blocks {
    ($ty:expr, $function:ident ( $($argument:expr),* )) => {
        match $ty {
            gguf::TensorType::Q4_0 => Some($function::<crate::formats::Q4_0>($($argument),*)),
            gguf::TensorType::Q4_1 => Some($function::<crate::formats::Q4_1>($($argument),*)),
            gguf::TensorType::Q5_0 => Some($function::<crate::formats::Q5_0>($($argument),*)),
            gguf::TensorType::Q5_1 => Some($function::<crate::formats::Q5_1>($($argument),*)),
            gguf::TensorType::Q8_0 => Some($function::<crate::formats::Q8_0>($($argument),*)),
            gguf::TensorType::Q2_K => Some($function::<crate::formats::Q2K>($($argument),*)),
            gguf::TensorType::Q3_K => Some($function::<crate::formats::Q3K>($($argument),*)),
            gguf::TensorType::Q4_K => Some($function::<crate::formats::Q4K>($($argument),*)),
            gguf::TensorType::Q5_K => Some($function::<crate::formats::Q5K>($($argument),*)),
            gguf::TensorType::Q6_K => Some($function::<crate::formats::Q6K>($($argument),*)),
            _ => None,
        }
    };
}
/// Calls a generic function with the format of a type of floats.
macro_rules! with_plain {
    ($ty:expr, $function:ident ( $($argument:expr),* )) => {
        match $ty {
            gguf::TensorType::F32 => Some($function::<crate::formats::F32>($($argument),*)),
            gguf::TensorType::F16 => Some($function::<crate::formats::F16>($($argument),*)),
            gguf::TensorType::BF16 => Some($function::<crate::formats::BF16>($($argument),*)),
            _ => None,
        }
    };
}
pub(crate) use {with_blocks, with_plain};

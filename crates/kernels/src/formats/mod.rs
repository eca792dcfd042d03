//! The block layouts of ggml, one small module per type.
//!
//! A type that rounds weights to integers says how to unpack a block ([`Blocks::unpack`]); that is
//! all a new type needs. Dequantisation and every product follow from it. Types that matter most
//! add, beside it, a faster product of a row with one token for some instruction sets.

mod plain;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_k;
mod q5_0;
mod q5_k;
mod q6_k;
mod q8_0;

pub(crate) use plain::{BF16, F16, F32, Plain};
pub(crate) use q2_k::Q2K;
pub(crate) use q3_k::Q3K;
pub(crate) use q4_0::{Q40, Q41};
pub(crate) use q4_k::Q4K;
pub(crate) use q5_0::{Q50, Q51};
pub(crate) use q5_k::Q5K;
pub(crate) use q6_k::Q6K;
pub(crate) use q8_0::Q80;

use crate::f16;

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

    /// The product of a row with one token, if this type has code of its own for AVX2.
    #[cfg(target_arch = "x86_64")]
    const AVX2: Option<crate::avx2::Dot> = None;

    /// The product of a row with one token, if this type has code of its own for simd128.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    const SIMD128: Option<crate::simd128::Dot> = None;
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

/// A half-precision number at a place of a block.
#[inline(always)]
pub(crate) fn half(block: &[u8], at: usize) -> f32 {
    f16::to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Calls a generic function with the format of a type of quantised weights.
macro_rules! with_blocks {
    ($ty:expr, $function:ident ( $($argument:expr),* )) => {
        match $ty {
            gguf::TensorType::Q4_0 => Some($function::<crate::formats::Q40>($($argument),*)),
            gguf::TensorType::Q4_1 => Some($function::<crate::formats::Q41>($($argument),*)),
            gguf::TensorType::Q5_0 => Some($function::<crate::formats::Q50>($($argument),*)),
            gguf::TensorType::Q5_1 => Some($function::<crate::formats::Q51>($($argument),*)),
            gguf::TensorType::Q8_0 => Some($function::<crate::formats::Q80>($($argument),*)),
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

#[cfg(test)]
mod tests {
    use gguf::TensorType;

    use super::*;
    use crate::encoding_for;

    fn sizes<B: Blocks>() -> (usize, usize) {
        (B::LEN, B::BYTES)
    }

    #[test]
    fn every_layout_has_the_size_the_file_format_gives_it() {
        for ty in TensorType::ALL.iter().copied() {
            if let Some(sizes) = with_blocks!(ty, sizes()) {
                assert_eq!(sizes, (ty.block_len(), ty.block_bytes()), "{}", ty.name());
                assert_eq!(
                    encoding_for(ty).map(|e| e.block_len()),
                    Some(ty.block_len())
                );
            }
        }
    }
}

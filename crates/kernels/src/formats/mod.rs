//! The block layouts of ggml (`ggml-common.h` and `ggml-quants.c` of <https://github.com/ggml-org/ggml>),
//! one small module per type.
//!
//! A type that rounds weights to integers says twice how its blocks are laid out: for one block, in
//! plain Rust ([`Blocks::unpack`]), and for as many rows as a vector has lanes, in the operations
//! of [`Lanes`] ([`Blocks::quads`] and what follows it). Everything else follows: dequantisation
//! and the definition of the products from the first, every fast product on every instruction set
//! from the second. That both say the same is what the tests of bits show.

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
use crate::lanes::Lanes;

/// A type whose weights are integers with scales.
pub(crate) trait Blocks: Sync {
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

    /// Weights that share a scale, and a minimum: 16 or 32.
    const GROUP: usize;
    /// Bits of a quant as [`Blocks::quads`] gives it; 8 if it is a signed byte.
    const BITS: u32;
    /// What the quants that [`Blocks::quads`] gives are too large by.
    const OFFSET: i32 = 0;
    /// Gives the quants, 16 columns at a time.
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>);

    /// The scales as bytes, the lowest of the first word being that of the first group; signed
    /// after [`Blocks::SCALE_OFFSET`] is subtracted.
    #[inline(always)]
    fn scales<L: Lanes>(l: L, _block: &impl Block<L>) -> [L::Int; 4] {
        [l.splat(0); 4]
    }
    /// Whether the bytes of [`Blocks::scales`] are signed.
    const SIGNED_SCALES: bool = false;
    /// What the scales are too large by.
    const SCALE_OFFSET: i32 = 0;

    /// The minima as bytes, in the order of the scales. Where there is only one group, they are
    /// all one and not asked for.
    #[inline(always)]
    fn mins<L: Lanes>(l: L, _block: &impl Block<L>) -> [L::Int; 4] {
        [l.splat(0); 4]
    }

    /// `d`, and `dmin` where there are minima.
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2];
}

/// A block of as many rows as there are lanes.
pub(crate) trait Block<L: Lanes> {
    /// The four words of the 16 bytes that begin at this place of the block, which must all be
    /// within it. Must be `inline(always)`.
    fn chunk(&self, l: L, at: usize) -> [L::Int; 4];
}

/// What takes quants.
pub(crate) trait Sink<L: Lanes> {
    /// Takes the 16 quants from column `16·unit` on. Must be `inline(always)`.
    fn take(&mut self, l: L, unit: usize, quads: [L::Int; 4]);
}

/// Four bytes that are the same.
#[inline(always)]
fn bytes<L: Lanes>(l: L, byte: u8) -> L::Int {
    l.splat(i32::from_le_bytes([byte; 4]))
}

/// `(w >> by) & mask`, for each byte.
#[inline(always)]
fn field<L: Lanes>(l: L, w: L::Int, by: u32, mask: u8) -> L::Int {
    let w = if by == 0 { w } else { l.shr(w, by) };
    l.and(w, bytes(l, mask))
}

/// The bits of each byte from place `from` on, moved to place `to`, where `mask` is.
#[inline(always)]
fn moved<L: Lanes>(l: L, w: L::Int, from: usize, to: usize, mask: u8) -> L::Int {
    if from < to {
        l.and(l.shl(w, (to - from) as u32), bytes(l, mask))
    } else {
        field(l, w, (from - to) as u32, mask)
    }
}

/// The same for each of four words. Not a function of a closure, because a closure is compiled for
/// the vector instructions only if it happens to be inlined.
macro_rules! each {
    ($words:expr, |$i:ident, $w:ident| $body:expr) => {{
        let words = $words;
        let mut out = words;
        for $i in 0..4 {
            let $w = words[$i];
            out[$i] = $body;
        }
        out
    }};
}
use each;

/// The same for each of some numbers, one after the other: an array that is indexed with them stays
/// in registers only if they are constants.
macro_rules! unroll {
    (for $i:ident in [$($value:expr),*] $body:block) => {
        $({ let $i: usize = $value; $body })*
    };
}
pub(crate) use unroll;

/// `d` and `dmin`, which share a word.
#[inline(always)]
fn both<L: Lanes>(l: L, word: L::Int) -> [L::Float; 2] {
    [l.half(word), l.half(l.shr(word, 16))]
}

/// `d`, and minus the minimum that shares its word: that of a type that adds it.
#[inline(always)]
fn added<L: Lanes>(l: L, word: L::Int) -> [L::Float; 2] {
    let min = l.xor(l.shr(word, 16), l.splat(0x8000));
    [l.half(word), l.half(min)]
}

/// `d` alone, in the low 16 bits.
#[inline(always)]
fn only<L: Lanes>(l: L, word: L::Int) -> [L::Float; 2] {
    [l.half(word), l.splat_float(0.0)]
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

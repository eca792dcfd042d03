use super::{Block, Blocks, Sink, Unpacked, both, each, field, half, unroll};
use crate::lanes::Lanes;

/// 256 weights: `d`, `dmin`, 12 bytes of scales and minima, 128 bytes of two quants each, in which
/// 32 low halves are followed by the 32 high halves of the same bytes.
pub(crate) enum Q4K {}

impl Blocks for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        unpack_scales(block, out);
        for (bytes, quants) in block[16..144]
            .chunks_exact(32)
            .zip(out.quants.chunks_exact_mut(64))
        {
            for (i, b) in bytes.iter().enumerate() {
                quants[i] = (b & 15) as i8;
                quants[i + 32] = (b >> 4) as i8;
            }
        }
    }

    const GROUP: usize = 32;
    const BITS: u32 = 4;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        unroll!(for j in [0, 1, 2, 3] {
            unroll!(for column in [0, 1] {
                let packed = block.chunk(l, 16 + 32 * j + 16 * column);
                let low = each!(packed, |_i, w| field(l, w, 0, 15));
                sink.take(l, 4 * j + column, low);
                let high = each!(packed, |_i, w| field(l, w, 4, 15));
                sink.take(l, 4 * j + 2 + column, high);
            });
        });
    }

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
        scale_words(l, block)
    }

    #[inline(always)]
    fn mins<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
        min_words(l, block)
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        both(l, block.chunk(l, 0)[0])
    }
}

/// What Q4_K and Q5_K have in common: `d`, `dmin`, the scales and minima.
#[inline(always)]
pub(super) fn unpack_scales(block: &[u8], out: &mut Unpacked) {
    out.d = half(block, 0);
    out.dmin = half(block, 2);
    let bytes = scales_and_mins(block);
    for i in 0..16 {
        out.scales[i] = i16::from(bytes[i / 2]);
        out.mins[i] = i16::from(bytes[8 + i / 2]);
    }
}

/// Eight six-bit scales and eight six-bit minima, one per 32 weights, from bytes 4 to 15.
///
/// The first four of each are the low six bits of a byte; the last four are put together from the
/// halves of the last four bytes and the two bits left over in the others.
#[inline(always)]
pub(super) fn scales_and_mins(block: &[u8]) -> [u8; 16] {
    let word =
        |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let (scales, mins, rest) = (word(4), word(8), word(12));
    let words = [
        scales & 0x3f3f_3f3f,
        (rest & 0x0f0f_0f0f) | ((scales >> 2) & 0x3030_3030),
        mins & 0x3f3f_3f3f,
        ((rest >> 4) & 0x0f0f_0f0f) | ((mins >> 2) & 0x3030_3030),
    ];
    let mut bytes = [0; 16];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// What [`scales_and_mins`] gives first.
#[inline(always)]
pub(super) fn scale_words<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
    let [_, scales, _, rest] = block.chunk(l, 0);
    let last = l.or(field(l, rest, 0, 0x0f), field(l, scales, 2, 0x30));
    let none = l.splat(0);
    [field(l, scales, 0, 0x3f), last, none, none]
}

/// What [`scales_and_mins`] gives last.
#[inline(always)]
pub(super) fn min_words<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
    let [_, _, mins, rest] = block.chunk(l, 0);
    let last = l.or(field(l, rest, 4, 0x0f), field(l, mins, 2, 0x30));
    let none = l.splat(0);
    [field(l, mins, 0, 0x3f), last, none, none]
}

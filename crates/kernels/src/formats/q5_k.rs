use super::q4_k::{min_words, scale_words, unpack_scales};
use super::{Block, Blocks, Sink, Unpacked, both, each, field, moved, unroll};
use crate::lanes::Lanes;

/// 256 weights: as Q4_K, with 32 bytes of fifth bits before the quants; bit `j` of byte `i`
/// belongs to the weight `32·j + i`.
pub(crate) enum Q5K {}

impl Blocks for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        unpack_scales(block, out);
        let fifth = &block[16..48];
        for (j, bytes) in block[48..176].chunks_exact(32).enumerate() {
            let quants = &mut out.quants[64 * j..64 * j + 64];
            for (i, b) in bytes.iter().enumerate() {
                quants[i] = ((b & 15) | (((fifth[i] >> (2 * j)) & 1) << 4)) as i8;
                quants[i + 32] = ((b >> 4) | (((fifth[i] >> (2 * j + 1)) & 1) << 4)) as i8;
            }
        }
    }

    const GROUP: usize = 32;
    const BITS: u32 = 5;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        unroll!(for column in [0, 1] {
            let fifth = block.chunk(l, 16 + 16 * column);
            unroll!(for j in [0, 1, 2, 3] {
                let packed = block.chunk(l, 48 + 32 * j + 16 * column);
                let low = each!(packed, |i, w| {
                    l.or(field(l, w, 0, 15), moved(l, fifth[i], 2 * j, 4, 16))
                });
                sink.take(l, 4 * j + column, low);
                let high = each!(packed, |i, w| {
                    l.or(field(l, w, 4, 15), moved(l, fifth[i], 2 * j + 1, 4, 16))
                });
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

use super::{Block, Blocks, Sink, Unpacked, both, each, field, half, unroll};
use crate::lanes::Lanes;

/// 256 weights: 16 bytes of a four-bit scale and a four-bit minimum, 64 bytes of four quants, `d`,
/// `dmin`.
pub(crate) enum Q2K {}

impl Blocks for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 80);
        out.dmin = half(block, 82);
        for (i, b) in block[..16].iter().enumerate() {
            out.scales[i] = i16::from(b & 15);
            out.mins[i] = i16::from(b >> 4);
        }
        for (bytes, quants) in block[16..80]
            .chunks_exact(32)
            .zip(out.quants.chunks_exact_mut(128))
        {
            for (i, b) in bytes.iter().enumerate() {
                unroll!(for j in [0, 1, 2, 3] {
                    quants[32 * j + i] = ((b >> (2 * j)) & 3) as i8;
                });
            }
        }
    }

    const GROUP: usize = 16;
    const BITS: u32 = 2;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        unroll!(for half in [0, 1] {
            unroll!(for column in [0, 1] {
                let packed = block.chunk(l, 16 + 32 * half + 16 * column);
                unroll!(for j in [0, 1, 2, 3] {
                    let quads = each!(packed, |_i, w| field(l, w, 2 * j as u32, 3));
                    sink.take(l, 8 * half + 2 * j + column, quads);
                });
            });
        });
    }

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
        each!(block.chunk(l, 0), |_i, w| field(l, w, 0, 15))
    }

    #[inline(always)]
    fn mins<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
        each!(block.chunk(l, 0), |_i, w| field(l, w, 4, 15))
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        both(l, block.chunk(l, 68)[3])
    }
}

use super::{Block, Blocks, Sink, Unpacked, each, field, half, moved, only, unroll};
use crate::lanes::Lanes;

/// 256 weights: 128 bytes of low halves, 64 bytes of upper pairs of bits, 16 signed scales, `d`;
/// quants are 32 too large. Each half of the block is laid out by itself.
pub(crate) enum Q6K {}

impl Blocks for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const MINS: bool = false;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 208);
        for (scale, b) in out.scales.iter_mut().zip(&block[192..208]) {
            *scale = i16::from(*b as i8);
        }
        for (h, quants) in out.quants.chunks_exact_mut(128).enumerate() {
            let low = &block[64 * h..64 * h + 64];
            let high = &block[128 + 32 * h..160 + 32 * h];
            for i in 0..32 {
                quants[i] = ((low[i] & 15) | ((high[i] & 3) << 4)) as i8 - 32;
                quants[i + 32] = ((low[i + 32] & 15) | (((high[i] >> 2) & 3) << 4)) as i8 - 32;
                quants[i + 64] = ((low[i] >> 4) | (((high[i] >> 4) & 3) << 4)) as i8 - 32;
                quants[i + 96] = ((low[i + 32] >> 4) | ((high[i] >> 6) << 4)) as i8 - 32;
            }
        }
    }

    const GROUP: usize = 16;
    const BITS: u32 = 6;
    const OFFSET: i32 = 32;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        unroll!(for half in [0, 1] {
            unroll!(for column in [0, 1] {
                let high = block.chunk(l, 128 + 32 * half + 16 * column);
                let unit = 8 * half + column;
                // One chunk of low halves after the other: there are few registers.
                unroll!(for j in [0, 1] {
                    let low = block.chunk(l, 64 * half + 32 * j + 16 * column);
                    let quads = each!(low, |i, w| {
                        l.or(field(l, w, 0, 15), moved(l, high[i], 2 * j, 4, 0x30))
                    });
                    sink.take(l, unit + 2 * j, quads);
                    let quads = each!(low, |i, w| {
                        l.or(field(l, w, 4, 15), moved(l, high[i], 4 + 2 * j, 4, 0x30))
                    });
                    sink.take(l, unit + 4 + 2 * j, quads);
                });
            });
        });
    }

    const SIGNED_SCALES: bool = true;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
        block.chunk(l, 192)
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        only(l, l.shr(block.chunk(l, 194)[3], 16))
    }
}

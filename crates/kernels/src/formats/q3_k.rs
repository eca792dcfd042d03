use super::{Block, Blocks, Sink, Unpacked, each, field, half, moved, only, unroll};
use crate::lanes::Lanes;

/// 256 weights: 32 bytes of third bits, 64 bytes of four quants, 12 bytes of six-bit scales that
/// are 32 too large, `d`; quants are 4 too large.
pub(crate) enum Q3K {}

impl Blocks for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const MINS: bool = false;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 108);
        let packed = &block[96..108];
        for (i, scale) in out.scales.iter_mut().enumerate() {
            let low = if i < 8 {
                packed[i] & 15
            } else {
                packed[i - 8] >> 4
            };
            let high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
            *scale = i16::from(low | (high << 4)) - 32;
        }
        let third = &block[..32];
        for (h, bytes) in block[32..96].chunks_exact(32).enumerate() {
            let quants = &mut out.quants[128 * h..128 * h + 128];
            for (i, b) in bytes.iter().enumerate() {
                unroll!(for j in [0, 1, 2, 3] {
                    let high = (third[i] >> (4 * h + j)) & 1;
                    quants[32 * j + i] = (((b >> (2 * j)) & 3) | (high << 2)) as i8 - 4;
                });
            }
        }
    }

    const GROUP: usize = 16;
    const BITS: u32 = 3;
    const OFFSET: i32 = 4;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        unroll!(for half in [0, 1] {
            unroll!(for column in [0, 1] {
                let third = block.chunk(l, 16 * column);
                let packed = block.chunk(l, 32 + 32 * half + 16 * column);
                unroll!(for j in [0, 1, 2, 3] {
                    let quads = each!(packed, |i, w| {
                        let high = moved(l, third[i], 4 * half + j, 2, 4);
                        l.or(field(l, w, 2 * j as u32, 3), high)
                    });
                    sink.take(l, 8 * half + 2 * j + column, quads);
                });
            });
        });
    }

    const SCALE_OFFSET: i32 = 32;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Int; 4] {
        let w = block.chunk(l, 94);
        // The last 16 bytes begin two bytes before the scales.
        let word = |i: usize| l.or(l.shr(w[i], 16), l.shl(w[i + 1], 16));
        let (first, second, high) = (word(0), word(1), word(2));
        let join = |low, by, high| l.or(field(l, low, by, 15), high);
        [
            join(first, 0, moved(l, high, 0, 4, 0x30)),
            join(second, 0, moved(l, high, 2, 4, 0x30)),
            join(first, 4, moved(l, high, 4, 4, 0x30)),
            join(second, 4, moved(l, high, 6, 4, 0x30)),
        ]
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        only(l, l.shr(block.chunk(l, 94)[3], 16))
    }
}

use super::{Block, Blocks, Sink, Unpacked, half, only};
use crate::lanes::Lanes;

/// 32 weights: half-precision scale, 32 signed bytes.
pub(crate) enum Q80 {}

impl Blocks for Q80 {
    const LEN: usize = 32;
    const BYTES: usize = 34;
    const MINS: bool = false;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 0);
        for (q, b) in out.quants.iter_mut().zip(&block[2..34]) {
            *q = *b as i8;
        }
    }

    const GROUP: usize = 32;
    const BITS: u32 = 8;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        sink.take(l, 0, block.chunk(l, 2));
        sink.take(l, 1, block.chunk(l, 18));
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        only(l, block.chunk(l, 0)[0])
    }
}

use super::{Block, Blocks, Sink, Unpacked, added, each, field, half, only};
use crate::lanes::Lanes;

/// 32 weights: half-precision scale, 16 bytes of two quants; quants are 8 too large.
pub(crate) enum Q40 {}

impl Blocks for Q40 {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const MINS: bool = false;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 0);
        nibbles(&block[2..18], &mut out.quants);
        out.quants[..32].iter_mut().for_each(|q| *q -= 8);
    }

    const GROUP: usize = 32;
    const BITS: u32 = 4;
    const OFFSET: i32 = 8;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        let packed = block.chunk(l, 2);
        sink.take(l, 0, each!(packed, |_i, w| field(l, w, 0, 15)));
        sink.take(l, 1, each!(packed, |_i, w| field(l, w, 4, 15)));
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        only(l, block.chunk(l, 0)[0])
    }
}

/// 32 weights: half-precision scale, half-precision minimum, 16 bytes of two quants.
pub(crate) enum Q41 {}

impl Blocks for Q41 {
    const LEN: usize = 32;
    const BYTES: usize = 20;
    const MINS: bool = true;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 0);
        out.dmin = -half(block, 2);
        out.mins[..2].fill(1);
        nibbles(&block[4..20], &mut out.quants);
    }

    const GROUP: usize = 32;
    const BITS: u32 = 4;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        let packed = block.chunk(l, 4);
        sink.take(l, 0, each!(packed, |_i, w| field(l, w, 0, 15)));
        sink.take(l, 1, each!(packed, |_i, w| field(l, w, 4, 15)));
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        added(l, block.chunk(l, 0)[0])
    }
}

/// Writes the low halves of 16 then the high halves.
#[inline(always)]
pub(super) fn nibbles(bytes: &[u8], out: &mut [i8; 256]) {
    for (i, b) in bytes[..16].iter().enumerate() {
        out[i] = (b & 15) as i8;
        out[i + 16] = (b >> 4) as i8;
    }
}

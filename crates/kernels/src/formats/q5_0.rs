use super::q4_0::nibbles;
use super::{Block, Blocks, Sink, Unpacked, added, bytes, each, field, half, only, unroll};
use crate::lanes::Lanes;

/// 32 weights: half-precision scale, 32 fifth bits, 16 bytes of two quants; quants are 16 too
/// large.
pub(crate) enum Q50 {}

impl Blocks for Q50 {
    const LEN: usize = 32;
    const BYTES: usize = 22;
    const MINS: bool = false;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 0);
        nibbles(&block[6..22], &mut out.quants);
        fifth_bits(&block[2..6], &mut out.quants);
        out.quants[..32].iter_mut().for_each(|q| *q -= 16);
    }

    const GROUP: usize = 32;
    const BITS: u32 = 5;
    const OFFSET: i32 = 16;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        let [first, second, ..] = block.chunk(l, 0);
        let fifth = l.or(l.shr(first, 16), l.shl(second, 16));
        with_fifth_bits(l, block.chunk(l, 6), fifth, sink);
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        only(l, block.chunk(l, 0)[0])
    }
}

/// 32 weights: half-precision scale, half-precision minimum, 32 fifth bits, 16 bytes of two quants.
pub(crate) enum Q51 {}

impl Blocks for Q51 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    const MINS: bool = true;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 0);
        out.dmin = -half(block, 2);
        out.mins[..2].fill(1);
        nibbles(&block[8..24], &mut out.quants);
        fifth_bits(&block[4..8], &mut out.quants);
    }

    const GROUP: usize = 32;
    const BITS: u32 = 5;

    #[inline(always)]
    fn quads<L: Lanes>(l: L, block: &impl Block<L>, sink: &mut impl Sink<L>) {
        let fifth = block.chunk(l, 0)[1];
        with_fifth_bits(l, block.chunk(l, 8), fifth, sink);
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, block: &impl Block<L>) -> [L::Float; 2] {
        added(l, block.chunk(l, 0)[0])
    }
}

/// Adds a fifth bit to each of 32 quants.
#[inline(always)]
fn fifth_bits(bytes: &[u8], out: &mut [i8; 256]) {
    // The byte that holds the bit, beside each quant: so the compiler finds vectors in the loop.
    let spread: [u8; 32] = std::array::from_fn(|i| bytes[i / 8]);
    for (i, (quant, byte)) in out.iter_mut().zip(spread).enumerate() {
        *quant |= if byte & (1 << (i % 8)) == 0 { 0 } else { 16 };
    }
}

/// Gives quants of four bits with their fifth bits.
#[inline(always)]
fn with_fifth_bits<L: Lanes>(l: L, packed: [L::Int; 4], fifth: L::Int, sink: &mut impl Sink<L>) {
    unroll!(for unit in [0, 1] {
        let quads = each!(packed, |i, w| {
            // The product puts copies of four bits side by side; the mask takes one of each.
            let bits = l.and(l.shr(fifth, (16 * unit + 4 * i) as u32), l.splat(15));
            let bits = l.and(l.mul(bits, l.splat(0x0204_0810)), bytes(l, 16));
            l.or(field(l, w, 4 * unit as u32, 15), bits)
        });
        sink.take(l, unit, quads);
    });
}

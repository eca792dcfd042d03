use super::q4_0::nibbles;
use super::{Blocks, Sink, Unpacked, WORDS, added, bytes, each, field, four, half};
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
    // Word 0 begins with `d`, then come the fifth bits; words 4 to 7 are quants.
    const CHUNKS: &'static [usize] = &[0, 6];

    #[inline(always)]
    fn quads<L: Lanes>(l: L, words: &[L::Word; WORDS], sink: &mut impl Sink<L>) {
        let fifth = l.or(l.shr(l.load(&words[0]), 16), l.shl(l.load(&words[1]), 16));
        quads_with_fifth_bits(l, words, fifth, sink);
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Float; 2] {
        [l.half(l.load(&words[0])), l.splat_float(0.0)]
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
    // Word 0 is `d` and the minimum, word 1 fifth bits, words 4 to 7 are quants.
    const CHUNKS: &'static [usize] = &[0, 8];

    #[inline(always)]
    fn quads<L: Lanes>(l: L, words: &[L::Word; WORDS], sink: &mut impl Sink<L>) {
        let fifth = l.load(&words[1]);
        quads_with_fifth_bits(l, words, fifth, sink);
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Float; 2] {
        added(l, &words[0])
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

/// The quants of words 4 to 7 with their fifth bits.
#[inline(always)]
fn quads_with_fifth_bits<L: Lanes>(
    l: L,
    words: &[L::Word; WORDS],
    fifth: L::Int,
    sink: &mut impl Sink<L>,
) {
    let packed = four(l, words, 4);
    for unit in 0..2 {
        let quads = each!(packed, |i, w| {
            // The product puts copies of four bits side by side; the mask takes one of each.
            let bits = l.and(l.shr(fifth, 16 * unit + 4 * i as u32), l.splat(15));
            let bits = l.and(l.mul(bits, l.splat(0x0204_0810)), bytes(l, 16));
            l.or(field(l, w, 4 * unit, 15), bits)
        });
        sink.take(l, unit as usize, quads);
    }
}

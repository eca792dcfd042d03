use super::{Blocks, Sink, Unpacked, WORDS, four, half};
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
    // Word 0 begins with `d`, words 4 to 11 are quants.
    const CHUNKS: &'static [usize] = &[0, 2, 18];

    #[inline(always)]
    fn quads<L: Lanes>(l: L, words: &[L::Word; WORDS], sink: &mut impl Sink<L>) {
        sink.take(l, 0, four(l, words, 4));
        sink.take(l, 1, four(l, words, 8));
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Float; 2] {
        [l.half(l.load(&words[0])), l.splat_float(0.0)]
    }
}

use super::{Blocks, Sink, Unpacked, WORDS, each, field, four, half, raised};
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
    // Words 0 to 31 are low halves, 32 to 47 upper pairs, 48 to 51 scales; word 55 ends with `d`.
    const CHUNKS: &'static [usize] =
        &[0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 194];

    #[inline(always)]
    fn quads<L: Lanes>(l: L, words: &[L::Word; WORDS], sink: &mut impl Sink<L>) {
        for half in 0..2 {
            for column in 0..2 {
                let a = four(l, words, 16 * half + 4 * column);
                let b = four(l, words, 16 * half + 8 + 4 * column);
                let high = four(l, words, 32 + 8 * half + 4 * column);
                let unit = 8 * half + column;
                let quads = each!(a, |i, w| {
                    l.or(field(l, w, 0, 15), raised(l, high[i], 4, 0x30))
                });
                sink.take(l, unit, quads);
                let quads = each!(b, |i, w| {
                    l.or(field(l, w, 0, 15), raised(l, high[i], 2, 0x30))
                });
                sink.take(l, unit + 2, quads);
                let quads = each!(a, |i, w| {
                    l.or(field(l, w, 4, 15), field(l, high[i], 0, 0x30))
                });
                sink.take(l, unit + 4, quads);
                let quads = each!(b, |i, w| {
                    l.or(field(l, w, 4, 15), field(l, high[i], 2, 0x30))
                });
                sink.take(l, unit + 6, quads);
            }
        }
    }

    const SIGNED_SCALES: bool = true;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Int; 4] {
        four(l, words, 48)
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Float; 2] {
        [l.half(l.shr(l.load(&words[55]), 16)), l.splat_float(0.0)]
    }
}

use super::{Blocks, Sink, Unpacked, WORDS, both, each, field, four, half};
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
                for j in 0..4 {
                    quants[32 * j + i] = ((b >> (2 * j)) & 3) as i8;
                }
            }
        }
    }

    const GROUP: usize = 16;
    const BITS: u32 = 2;
    // Words 0 to 3 are scales and minima, 4 to 19 quants, 23 is `d` and `dmin`.
    const CHUNKS: &'static [usize] = &[0, 16, 32, 48, 64, 68];

    #[inline(always)]
    fn quads<L: Lanes>(l: L, words: &[L::Word; WORDS], sink: &mut impl Sink<L>) {
        for half in 0..2 {
            for column in 0..2 {
                let packed = four(l, words, 4 + 8 * half + 4 * column);
                for j in 0..4 {
                    let quads = each!(packed, |_i, w| field(l, w, 2 * j, 3));
                    sink.take(l, 8 * half + 2 * j as usize + column, quads);
                }
            }
        }
    }

    #[inline(always)]
    fn scales<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Int; 4] {
        each!(four(l, words, 0), |_i, w| field(l, w, 0, 15))
    }

    #[inline(always)]
    fn mins<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Int; 4] {
        each!(four(l, words, 0), |_i, w| field(l, w, 4, 15))
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Float; 2] {
        both(l, &words[23])
    }
}

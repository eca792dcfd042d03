use super::q4_k::{min_words, scale_words, unpack_scales};
use super::{Blocks, Sink, Unpacked, WORDS, both, each, field, four, raised};
use crate::lanes::Lanes;

/// 256 weights: as Q4_K, with 32 bytes of fifth bits before the quants; bit `j` of byte `i`
/// belongs to the weight `32·j + i`.
pub(crate) enum Q5K {}

impl Blocks for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        unpack_scales(block, out);
        let fifth = &block[16..48];
        for (j, bytes) in block[48..176].chunks_exact(32).enumerate() {
            let quants = &mut out.quants[64 * j..64 * j + 64];
            for (i, b) in bytes.iter().enumerate() {
                quants[i] = ((b & 15) | (((fifth[i] >> (2 * j)) & 1) << 4)) as i8;
                quants[i + 32] = ((b >> 4) | (((fifth[i] >> (2 * j + 1)) & 1) << 4)) as i8;
            }
        }
    }

    const GROUP: usize = 32;
    const BITS: u32 = 5;
    // Word 0 is `d` and `dmin`, 1 to 3 are scales and minima, 4 to 11 fifth bits, 12 to 43 quants.
    const CHUNKS: &'static [usize] = &[0, 16, 32, 48, 64, 80, 96, 112, 128, 144, 160];

    #[inline(always)]
    fn quads<L: Lanes>(l: L, words: &[L::Word; WORDS], sink: &mut impl Sink<L>) {
        for column in 0..2 {
            let mut fifth = four(l, words, 4 + 4 * column);
            for j in 0..4 {
                let packed = four(l, words, 12 + 8 * j + 4 * column);
                let low = each!(packed, |i, w| {
                    l.or(field(l, w, 0, 15), raised(l, fifth[i], 4, 16))
                });
                sink.take(l, 4 * j + column, low);
                let high = each!(packed, |i, w| {
                    l.or(field(l, w, 4, 15), raised(l, fifth[i], 3, 16))
                });
                sink.take(l, 4 * j + 2 + column, high);
                fifth = each!(fifth, |_i, w| l.shr(w, 2));
            }
        }
    }

    #[inline(always)]
    fn scales<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Int; 4] {
        scale_words(l, words)
    }

    #[inline(always)]
    fn mins<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Int; 4] {
        min_words(l, words)
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Float; 2] {
        both(l, &words[0])
    }
}

use super::{Blocks, Sink, Unpacked, WORDS, each, field, four, half, raised};
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
                for j in 0..4 {
                    let high = (third[i] >> (4 * h + j)) & 1;
                    quants[32 * j + i] = (((b >> (2 * j)) & 3) | (high << 2)) as i8 - 4;
                }
            }
        }
    }

    const GROUP: usize = 16;
    const BITS: u32 = 3;
    const OFFSET: i32 = 4;
    // Words 0 to 7 are third bits, 8 to 23 quants; scales and `d` begin in the middle of word 24.
    const CHUNKS: &'static [usize] = &[0, 16, 32, 48, 64, 80, 94];

    #[inline(always)]
    fn quads<L: Lanes>(l: L, words: &[L::Word; WORDS], sink: &mut impl Sink<L>) {
        for half in 0..2 {
            for column in 0..2 {
                let third = each!(four(l, words, 4 * column), |_i, w| {
                    if half == 0 { w } else { l.shr(w, 4) }
                });
                let packed = four(l, words, 8 + 8 * half + 4 * column);
                for j in 0..4 {
                    let quads = each!(packed, |i, w| {
                        // Bit `j` moves to bit 2.
                        let high = if j < 2 {
                            raised(l, third[i], 2 - j, 4)
                        } else {
                            field(l, third[i], j - 2, 4)
                        };
                        l.or(field(l, w, 2 * j, 3), high)
                    });
                    sink.take(l, 8 * half + 2 * j as usize + column, quads);
                }
            }
        }
    }

    const SCALE_OFFSET: i32 = 32;

    #[inline(always)]
    fn scales<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Int; 4] {
        let w = four(l, words, 24);
        let word = |i: usize| l.or(l.shr(w[i], 16), l.shl(w[i + 1], 16));
        let (first, second, high) = (word(0), word(1), word(2));
        let join = |low, by, high| l.or(field(l, low, by, 15), high);
        [
            join(first, 0, raised(l, high, 4, 0x30)),
            join(second, 0, raised(l, high, 2, 0x30)),
            join(first, 4, field(l, high, 0, 0x30)),
            join(second, 4, field(l, high, 2, 0x30)),
        ]
    }

    #[inline(always)]
    fn d<L: Lanes>(l: L, words: &[L::Word; WORDS]) -> [L::Float; 2] {
        [l.half(l.shr(l.load(&words[27]), 16)), l.splat_float(0.0)]
    }
}

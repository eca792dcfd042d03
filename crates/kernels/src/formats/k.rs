//! Blocks of 256 weights with scales of their own for each 16 or 32.

use super::{Blocks, Unpacked};
use crate::f16;

fn half(bytes: &[u8]) -> f32 {
    f16::to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// Six-bit scales and minima of Q4_K and Q5_K, eight each in twelve bytes, one per 32 weights.
#[inline(always)]
fn scales_and_mins(packed: &[u8], out: &mut Unpacked) {
    for i in 0..8 {
        let (scale, min) = if i < 4 {
            (packed[i] & 63, packed[i + 4] & 63)
        } else {
            (
                (packed[i + 4] & 15) | ((packed[i - 4] >> 6) << 4),
                (packed[i + 4] >> 4) | ((packed[i] >> 6) << 4),
            )
        };
        out.scales[2 * i..2 * i + 2].fill(i16::from(scale));
        out.mins[2 * i..2 * i + 2].fill(i16::from(min));
    }
}

/// `d`, `dmin`, 12 bytes of scales and minima, 128 bytes of two quants each: 32 low halves are
/// followed by the 32 high halves of the same bytes.
pub(crate) enum Q4K {}

impl Blocks for Q4K {
    const LEN: usize = 256;
    const BYTES: usize = 144;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block);
        out.dmin = half(&block[2..]);
        scales_and_mins(&block[4..16], out);
        for (bytes, quants) in block[16..144]
            .chunks_exact(32)
            .zip(out.quants.chunks_exact_mut(64))
        {
            for (i, b) in bytes.iter().enumerate() {
                quants[i] = (b & 15) as i8;
                quants[i + 32] = (b >> 4) as i8;
            }
        }
    }
}

/// As Q4_K, with 32 bytes of fifth bits before the quants: bit `j` of byte `i` belongs to the
/// weight `32·j + i`.
pub(crate) enum Q5K {}

impl Blocks for Q5K {
    const LEN: usize = 256;
    const BYTES: usize = 176;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block);
        out.dmin = half(&block[2..]);
        scales_and_mins(&block[4..16], out);
        let fifth = &block[16..48];
        for (j, bytes) in block[48..176].chunks_exact(32).enumerate() {
            let quants = &mut out.quants[64 * j..64 * j + 64];
            for (i, b) in bytes.iter().enumerate() {
                quants[i] = ((b & 15) | (((fifth[i] >> (2 * j)) & 1) << 4)) as i8;
                quants[i + 32] = ((b >> 4) | (((fifth[i] >> (2 * j + 1)) & 1) << 4)) as i8;
            }
        }
    }
}

/// 128 bytes of low halves, 64 bytes of upper pairs of bits, 16 signed scales, `d`; quants are 32
/// too large. Each half of the block is laid out by itself.
pub(crate) enum Q6K {}

impl Blocks for Q6K {
    const LEN: usize = 256;
    const BYTES: usize = 210;
    const MINS: bool = false;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(&block[208..]);
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
}

/// 16 bytes of a four-bit scale and a four-bit minimum, 64 bytes of four quants, `d`, `dmin`.
pub(crate) enum Q2K {}

impl Blocks for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(&block[80..]);
        out.dmin = half(&block[82..]);
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
}

/// 32 bytes of third bits, 64 bytes of four quants, 12 bytes of six-bit scales that are 32 too
/// large, `d`; quants are 4 too large.
pub(crate) enum Q3K {}

impl Blocks for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const MINS: bool = false;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(&block[108..]);
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
            for (i, b) in bytes.iter().enumerate() {
                for j in 0..4 {
                    let high = (third[i] >> (4 * h + j)) & 1;
                    out.quants[128 * h + 32 * j + i] =
                        (((b >> (2 * j)) & 3) | (high << 2)) as i8 - 4;
                }
            }
        }
    }
}

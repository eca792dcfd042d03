//! Blocks of 32 weights with one scale.

use super::{Blocks, Unpacked};
use crate::f16;

fn half(bytes: &[u8]) -> f32 {
    f16::to_f32(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// Half-precision scale, 32 signed bytes.
pub(crate) enum Q8_0 {}

impl Blocks for Q8_0 {
    const LEN: usize = 32;
    const BYTES: usize = 34;
    const MINS: bool = false;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block);
        for (q, b) in out.quants.iter_mut().zip(&block[2..34]) {
            *q = *b as i8;
        }
    }
}

/// Writes the low halves of 16 bytes, then the high halves.
#[inline(always)]
fn nibbles(bytes: &[u8], out: &mut [i8; 256]) {
    for (i, b) in bytes[..16].iter().enumerate() {
        out[i] = (b & 15) as i8;
        out[i + 16] = (b >> 4) as i8;
    }
}

/// Adds a fifth bit to each of 32 quants.
#[inline(always)]
fn fifth_bits(bytes: &[u8], out: &mut [i8; 256]) {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    for (i, q) in out[..32].iter_mut().enumerate() {
        *q |= (((bits >> i) & 1) << 4) as i8;
    }
}

/// Half-precision scale, 32 fifth bits, 16 bytes of two quants; quants are 16 too large.
pub(crate) enum Q5_0 {}

impl Blocks for Q5_0 {
    const LEN: usize = 32;
    const BYTES: usize = 22;
    const MINS: bool = false;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block);
        nibbles(&block[6..22], &mut out.quants);
        fifth_bits(&block[2..6], &mut out.quants);
        out.quants[..32].iter_mut().for_each(|q| *q -= 16);
    }
}

/// Half-precision scale, half-precision minimum, 32 fifth bits, 16 bytes of two quants.
pub(crate) enum Q5_1 {}

impl Blocks for Q5_1 {
    const LEN: usize = 32;
    const BYTES: usize = 24;
    const MINS: bool = true;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block);
        out.dmin = -half(&block[2..]);
        out.mins[..2].fill(1);
        nibbles(&block[8..24], &mut out.quants);
        fifth_bits(&block[4..8], &mut out.quants);
    }
}

/// Half-precision scale, 16 bytes of two quants; quants are 8 too large.
pub(crate) enum Q4_0 {}

impl Blocks for Q4_0 {
    const LEN: usize = 32;
    const BYTES: usize = 18;
    const MINS: bool = false;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block);
        nibbles(&block[2..18], &mut out.quants);
        out.quants[..32].iter_mut().for_each(|q| *q -= 8);
    }
}

/// Half-precision scale, half-precision minimum, 16 bytes of two quants.
pub(crate) enum Q4_1 {}

impl Blocks for Q4_1 {
    const LEN: usize = 32;
    const BYTES: usize = 20;
    const MINS: bool = true;
    const SCALES: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block);
        out.dmin = -half(&block[2..]);
        out.mins[..2].fill(1);
        nibbles(&block[4..20], &mut out.quants);
    }
}

//! Weights that are floats, in loops of which the compiler makes vector instructions.

use super::Octets;
use crate::f16;

#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Octets for Portable {
    const ROWS: usize = 8;
    type Octet = [f32; 8];

    #[inline(always)]
    fn zero(self) -> [f32; 8] {
        [0.0; 8]
    }

    #[inline(always)]
    fn load(self, from: &[f32; 8]) -> [f32; 8] {
        *from
    }

    #[inline(always)]
    fn floats(self, raw: &[[u8; 4]; 8]) -> [f32; 8] {
        raw.map(f32::from_le_bytes)
    }

    #[inline(always)]
    fn halves(self, raw: &[[u8; 2]; 8]) -> [f32; 8] {
        raw.map(|half| f16::to_f32(u16::from_le_bytes(half)))
    }

    #[inline(always)]
    fn bfloats(self, raw: &[[u8; 2]; 8]) -> [f32; 8] {
        raw.map(|half| f16::bf16_to_f32(u16::from_le_bytes(half)))
    }

    #[inline(always)]
    fn add_product(self, mut sum: [f32; 8], a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        for (sum, (a, b)) in sum.iter_mut().zip(a.into_iter().zip(b)) {
            *sum += a * b;
        }
        sum
    }

    #[inline(always)]
    fn to_array(self, v: [f32; 8]) -> [f32; 8] {
        v
    }
}

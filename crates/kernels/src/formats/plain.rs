use crate::f16;

/// A type whose weights are floats, each on its own.
pub(crate) trait Plain {
    /// Bytes of a weight.
    const BYTES: usize;
    /// The value of a weight of `BYTES` bytes.
    fn value(weight: &[u8]) -> f32;
}

pub(crate) enum F32 {}
pub(crate) enum F16 {}
pub(crate) enum BF16 {}

impl Plain for F32 {
    const BYTES: usize = 4;
    #[inline(always)]
    fn value(w: &[u8]) -> f32 {
        f32::from_le_bytes([w[0], w[1], w[2], w[3]])
    }
}

impl Plain for F16 {
    const BYTES: usize = 2;
    #[inline(always)]
    fn value(w: &[u8]) -> f32 {
        f16::to_f32(u16::from_le_bytes([w[0], w[1]]))
    }
}

impl Plain for BF16 {
    const BYTES: usize = 2;
    #[inline(always)]
    fn value(w: &[u8]) -> f32 {
        f16::bf16_to_f32(u16::from_le_bytes([w[0], w[1]]))
    }
}

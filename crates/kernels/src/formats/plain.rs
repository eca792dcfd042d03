use crate::f16;

/// A type whose weights are floats, each on its own.
pub(crate) trait Plain {
    /// The bytes of a weight.
    type Raw: Copy;

    /// The weights that the bytes hold.
    fn weights(bytes: &[u8]) -> &[Self::Raw];

    fn value(weight: Self::Raw) -> f32;

    /// Eight weights at once.
    ///
    /// # Safety
    ///
    /// Needs AVX2 and F16C.
    #[cfg(target_arch = "x86_64")]
    unsafe fn widen_avx2(weights: &[Self::Raw; 8]) -> [f32; 8];

    /// Eight weights at once.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    fn widen_simd128(weights: &[Self::Raw; 8]) -> [f32; 8];
}

pub(crate) enum F32 {}
pub(crate) enum F16 {}
pub(crate) enum BF16 {}

impl Plain for F32 {
    type Raw = [u8; 4];

    #[inline(always)]
    fn weights(bytes: &[u8]) -> &[[u8; 4]] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn value(weight: [u8; 4]) -> f32 {
        f32::from_le_bytes(weight)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn widen_avx2(weights: &[[u8; 4]; 8]) -> [f32; 8] {
        // SAFETY: the caller's promise.
        unsafe { crate::floats::avx2::widen_floats(weights) }
    }

    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    fn widen_simd128(weights: &[[u8; 4]; 8]) -> [f32; 8] {
        crate::floats::simd128::widen_floats(weights)
    }
}

impl Plain for F16 {
    type Raw = [u8; 2];

    #[inline(always)]
    fn weights(bytes: &[u8]) -> &[[u8; 2]] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn value(weight: [u8; 2]) -> f32 {
        f16::to_f32(u16::from_le_bytes(weight))
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn widen_avx2(weights: &[[u8; 2]; 8]) -> [f32; 8] {
        // SAFETY: the caller's promise.
        unsafe { crate::floats::avx2::widen_halves(weights) }
    }

    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    fn widen_simd128(weights: &[[u8; 2]; 8]) -> [f32; 8] {
        crate::floats::simd128::widen_halves(weights)
    }
}

impl Plain for BF16 {
    type Raw = [u8; 2];

    #[inline(always)]
    fn weights(bytes: &[u8]) -> &[[u8; 2]] {
        bytes.as_chunks().0
    }

    #[inline(always)]
    fn value(weight: [u8; 2]) -> f32 {
        f16::bf16_to_f32(u16::from_le_bytes(weight))
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    unsafe fn widen_avx2(weights: &[[u8; 2]; 8]) -> [f32; 8] {
        // SAFETY: the caller's promise.
        unsafe { crate::floats::avx2::widen_bfloats(weights) }
    }

    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    #[inline(always)]
    fn widen_simd128(weights: &[[u8; 2]; 8]) -> [f32; 8] {
        crate::floats::simd128::widen_bfloats(weights)
    }
}

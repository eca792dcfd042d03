//! Weights that are floats, with AVX2.

use std::arch::x86_64::*;

use super::Octets;
use crate::formats::Plain;
use crate::lanes::instructions;

/// Proof that the machine has AVX2 and F16C.
#[derive(Clone, Copy)]
struct Avx2(());

#[target_feature(enable = "avx2,f16c")]
pub(crate) fn products<P: Plain>(
    weights: &[u8],
    row_bytes: usize,
    x: &[f32],
    y: &mut [&mut [f32]],
) {
    super::products::<P, _>(Avx2(()), weights, row_bytes, x, y);
}

impl Octets for Avx2 {
    const ROWS: usize = 8;
    type Octet = __m256;

    instructions! {
        fn zero(self) -> __m256 { _mm256_setzero_ps() }
        fn load(self, from: &[f32; 8]) -> __m256 { _mm256_loadu_ps(from.as_ptr()) }
        fn floats(self, raw: &[[u8; 4]; 8]) -> __m256 { _mm256_loadu_ps(raw.as_ptr().cast()) }
        fn halves(self, raw: &[[u8; 2]; 8]) -> __m256 {
            _mm256_cvtph_ps(_mm_loadu_si128(raw.as_ptr().cast()))
        }
        fn bfloats(self, raw: &[[u8; 2]; 8]) -> __m256 {{
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(raw.as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }}
        fn add_product(self, sum: __m256, a: __m256, b: __m256) -> __m256 {
            _mm256_add_ps(sum, _mm256_mul_ps(a, b))
        }
        fn to_array(self, v: __m256) -> [f32; 8] {{
            let mut out = [0.0; 8];
            _mm256_storeu_ps(out.as_mut_ptr(), v);
            out
        }}
        fn prefetch(self, at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

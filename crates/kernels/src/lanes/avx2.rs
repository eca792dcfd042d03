//! Eight blocks at a time, on x86-64 with AVX2, and with its products of bytes (AVX-VNNI) if the
//! machine has them.

use std::arch::x86_64::*;

use super::{Chunks, Lanes, Operands, Task, Work, instructions};

/// Proof that the machine has the instructions; `VNNI`: AVX-VNNI too.
#[derive(Clone, Copy)]
pub(crate) struct Avx2<const VNNI: bool>(());

/// Whether the machine has AVX2 and the conversion of half precision.
pub(crate) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c")
}

/// Whether it has AVX-VNNI as well.
pub(crate) fn is_vnni_available() -> bool {
    is_available() && is_x86_feature_detected!("avxvnni")
}

#[target_feature(enable = "avx2,f16c")]
pub(crate) fn run(work: impl Work) {
    work.with(Avx2::<false>(()));
}

#[target_feature(enable = "avx2,f16c,avxvnni")]
pub(crate) fn run_vnni(work: impl Work) {
    work.with(Avx2::<true>(()));
}

#[target_feature(enable = "avx2,f16c")]
fn enter<const VNNI: bool>(l: Avx2<VNNI>, task: impl Task<Avx2<VNNI>>) {
    task.run(l);
}

#[target_feature(enable = "avx2,f16c,avxvnni")]
fn enter_vnni<const VNNI: bool>(l: Avx2<VNNI>, task: impl Task<Avx2<VNNI>>) {
    task.run(l);
}

impl<const VNNI: bool> Avx2<VNNI> {
    /// The products with one quad in pairs, as 16-bit integers, saturated.
    #[inline(always)]
    fn pairs(self, unsigned: __m256i, signed: __m256i) -> __m256i {
        // SAFETY: `self` is the proof of the instructions.
        unsafe { _mm256_maddubs_epi16(unsigned, signed) }
    }

    /// Adds pairs of 16-bit integers.
    #[inline(always)]
    fn add_pairs(self, sum: __m256i, pairs: __m256i) -> __m256i {
        // SAFETY: `self` is the proof of the instructions.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))) }
    }

    #[inline(always)]
    fn add_16(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: `self` is the proof of the instructions.
        unsafe { _mm256_add_epi16(a, b) }
    }

    #[inline(always)]
    fn dot_vnni(self, sum: __m256i, weights: &[__m256i; 4], x: &impl Operands<Self>) -> __m256i {
        let mut sum = sum;
        for (i, &w) in weights.iter().enumerate() {
            let x = x.get(self, i);
            // SAFETY: `self` with `VNNI` is the proof of the instructions.
            sum = unsafe { _mm256_dpbusd_avx_epi32(sum, w, x) };
        }
        sum
    }
}

impl<const VNNI: bool> Lanes for Avx2<VNNI> {
    const LANES: usize = 8;
    const TOKENS: usize = 4;
    type Word = Aligned<u32>;
    const ZERO: Aligned<u32> = Aligned([0; 8]);
    type Int = __m256i;
    type Float = __m256;
    type Floats = Aligned<f32>;
    const ZEROS: Aligned<f32> = Aligned([0.0; 8]);
    type Quad = [i8; 4];
    type More = ();
    type Operand = __m256i;

    #[inline(always)]
    fn quad(activations: [i8; 4], _signed: bool) -> [i8; 4] {
        activations
    }

    #[inline(always)]
    fn left_out(activations: [i8; 4]) -> i32 {
        // With VNNI, `signed` adds 128 to each weight.
        if VNNI {
            -128 * activations.iter().map(|&x| i32::from(x)).sum::<i32>()
        } else {
            0
        }
    }

    #[inline(always)]
    fn put(word: &mut Self::Word, _: &mut (), lane: usize, quad: [i8; 4]) {
        word.as_mut()[lane] = u32::from_le_bytes(quad.map(|x| x as u8));
    }

    #[inline(always)]
    fn enter(self, task: impl Task<Self>) {
        // SAFETY: `self` is the proof of the instructions.
        unsafe {
            if VNNI {
                enter_vnni(self, task);
            } else {
                enter(self, task);
            }
        }
    }

    #[inline(always)]
    fn spread(self, quad: &[i8; 4]) -> __m256i {
        self.splat(i32::from_le_bytes(quad.map(|x| x as u8)))
    }

    #[inline(always)]
    fn load_quads(self, word: &Self::Word, (): &()) -> __m256i {
        self.load(word)
    }

    #[inline(always)]
    fn transpose(self, chunks: &impl Chunks) -> [__m256i; 4] {
        // Each half is of four blocks; transposing the words of each half brings them into order.
        let vector = |i: usize| {
            let chunk = |lane: usize| chunks.chunk(lane).as_ptr().cast();
            // SAFETY: `self` is the proof of the instructions; a chunk has the 16 bytes.
            unsafe {
                let v = _mm256_castsi128_si256(_mm_loadu_si128(chunk(i)));
                _mm256_inserti128_si256::<1>(v, _mm_loadu_si128(chunk(4 + i)))
            }
        };
        let (a, b, c, d) = (vector(0), vector(1), vector(2), vector(3));
        // SAFETY: as above; these touch no memory.
        unsafe {
            let (ab, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (cd, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            [
                _mm256_unpacklo_epi64(ab, cd),
                _mm256_unpackhi_epi64(ab, cd),
                _mm256_unpacklo_epi64(ab_high, cd_high),
                _mm256_unpackhi_epi64(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    fn dot<const BITS: u32>(
        self,
        sum: __m256i,
        weights: &[__m256i; 4],
        x: &impl Operands<Self>,
    ) -> __m256i {
        if VNNI {
            return self.dot_vnni(sum, weights, x);
        }
        let pairs = |i: usize| self.pairs(weights[i], x.get(self, i));
        let (low, high) = (
            self.add_16(pairs(0), pairs(1)),
            self.add_16(pairs(2), pairs(3)),
        );
        // Sums of 16 bits hold 4 · 2 · 31 · 127, and 2 · 2 · 63 · 127.
        if BITS <= 5 {
            self.add_pairs(sum, self.add_16(low, high))
        } else {
            self.add_pairs(self.add_pairs(sum, low), high)
        }
    }

    #[inline(always)]
    fn dot_signed(self, sum: __m256i, weights: &[__m256i; 4], x: &impl Operands<Self>) -> __m256i {
        if VNNI {
            return self.dot_vnni(sum, weights, x);
        }
        let mut sum = sum;
        for (i, &w) in weights.iter().enumerate() {
            let x = x.get(self, i);
            // The sign of the weight moves to the activation. That is never −128, so neither its
            // negation nor the sum of two products, at most 2 · 128 · 127, overflows.
            // SAFETY: `self` is the proof of the instructions.
            let (w, x) = unsafe { (_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)) };
            sum = self.add_pairs(sum, self.pairs(w, x));
        }
        sum
    }

    instructions! {
        fn load(self, from: &Aligned<u32>) -> __m256i { _mm256_loadu_si256(from.0.as_ptr().cast()) }
        fn store(self, v: __m256i, to: &mut Aligned<u32>) {
            _mm256_storeu_si256(to.0.as_mut_ptr().cast(), v)
        }
        fn splat(self, value: i32) -> __m256i { _mm256_set1_epi32(value) }
        fn and(self, a: __m256i, b: __m256i) -> __m256i { _mm256_and_si256(a, b) }
        fn or(self, a: __m256i, b: __m256i) -> __m256i { _mm256_or_si256(a, b) }
        fn xor(self, a: __m256i, b: __m256i) -> __m256i { _mm256_xor_si256(a, b) }
        fn shl(self, a: __m256i, by: u32) -> __m256i {
            _mm256_sll_epi32(a, _mm_cvtsi32_si128(by as i32))
        }
        fn shr(self, a: __m256i, by: u32) -> __m256i {
            _mm256_srl_epi32(a, _mm_cvtsi32_si128(by as i32))
        }
        fn sar(self, a: __m256i, by: u32) -> __m256i {
            _mm256_sra_epi32(a, _mm_cvtsi32_si128(by as i32))
        }
        fn add(self, a: __m256i, b: __m256i) -> __m256i { _mm256_add_epi32(a, b) }
        fn sub(self, a: __m256i, b: __m256i) -> __m256i { _mm256_sub_epi32(a, b) }
        fn mul(self, a: __m256i, b: __m256i) -> __m256i { _mm256_mullo_epi32(a, b) }
        fn signed(self, weights: __m256i) -> __m256i {
            if VNNI { _mm256_xor_si256(weights, _mm256_set1_epi8(-128)) } else { weights }
        }
        fn dot_pair(self, sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
            _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
        }
        fn half(self, bits: __m256i) -> __m256 {{
            let low = _mm256_and_si256(bits, _mm256_set1_epi32(0xffff));
            let halves = _mm256_permute4x64_epi64::<0b10_00>(_mm256_packus_epi32(low, low));
            _mm256_cvtph_ps(_mm256_castsi256_si128(halves))
        }}
        fn float(self, v: __m256i) -> __m256 { _mm256_cvtepi32_ps(v) }
        fn float_from_bits(self, v: __m256i) -> __m256 { _mm256_castsi256_ps(v) }
        fn bits_of_float(self, v: __m256) -> __m256i { _mm256_castps_si256(v) }
        fn splat_float(self, value: f32) -> __m256 { _mm256_set1_ps(value) }
        fn add_float(self, a: __m256, b: __m256) -> __m256 { _mm256_add_ps(a, b) }
        fn sub_float(self, a: __m256, b: __m256) -> __m256 { _mm256_sub_ps(a, b) }
        fn mul_float(self, a: __m256, b: __m256) -> __m256 { _mm256_mul_ps(a, b) }
        fn load_float(self, from: &Aligned<f32>) -> __m256 { _mm256_loadu_ps(from.0.as_ptr()) }
        fn store_float(self, v: __m256, to: &mut Aligned<f32>) {
            _mm256_storeu_ps(to.0.as_mut_ptr(), v)
        }
        fn prefetch(self, at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

/// A vector in memory: aligned, so that it never lies in two lines of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
pub(crate) struct Aligned<T>([T; 8]);

impl AsRef<[f32]> for Aligned<f32> {
    fn as_ref(&self) -> &[f32] {
        &self.0
    }
}

impl<T> AsMut<[T]> for Aligned<T> {
    fn as_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

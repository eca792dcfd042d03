//! Sixteen blocks at a time, on x86-64 with AVX-512 and its products of bytes (VNNI).

use std::arch::x86_64::*;

use super::{Chunks, Lanes, Operands, Task, Work, instructions};

/// Proof that the machine has the instructions.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

/// Whether the machine has them, and those of AVX2.
pub(crate) fn is_available() -> bool {
    super::avx2::is_available()
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(crate) fn run(work: impl Work) {
    work.with(Avx512(()));
}

#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
fn enter(l: Avx512, task: impl Task<Avx512>) {
    task.run(l);
}

impl Lanes for Avx512 {
    const LANES: usize = 16;
    const TOKENS: usize = 8;
    type Word = Aligned<u32>;
    const ZERO: Aligned<u32> = Aligned([0; 16]);
    type Int = __m512i;
    type Float = __m512;
    type Floats = Aligned<f32>;
    const ZEROS: Aligned<f32> = Aligned([0.0; 16]);
    type Quad = [i8; 4];
    type More = ();
    type Operand = __m512i;

    #[inline(always)]
    fn quad(activations: [i8; 4], _signed: bool) -> [i8; 4] {
        activations
    }

    #[inline(always)]
    fn left_out(activations: [i8; 4]) -> i32 {
        // `signed` adds 128 to each weight.
        -128 * activations.iter().map(|&x| i32::from(x)).sum::<i32>()
    }

    #[inline(always)]
    fn put(word: &mut Self::Word, _: &mut (), lane: usize, quad: [i8; 4]) {
        word.as_mut()[lane] = u32::from_le_bytes(quad.map(|x| x as u8));
    }

    #[inline(always)]
    fn enter(self, task: impl Task<Self>) {
        // SAFETY: `self` is the proof of the instructions.
        unsafe { enter(self, task) };
    }

    #[inline(always)]
    fn spread(self, quad: &[i8; 4]) -> __m512i {
        self.splat(i32::from_le_bytes(quad.map(|x| x as u8)))
    }

    #[inline(always)]
    fn load_quads(self, word: &Self::Word, (): &()) -> __m512i {
        self.load(word)
    }

    #[inline(always)]
    fn transpose(self, chunks: &impl Chunks) -> [__m512i; 4] {
        // Each quarter is of four blocks, in such an order that transposing the words of each
        // quarter by itself brings all blocks into theirs.
        let vector = |i: usize| {
            let chunk = |lane: usize| chunks.chunk(lane).as_ptr().cast();
            // SAFETY: `self` is the proof of the instructions; a chunk has the 16 bytes.
            unsafe {
                let v = _mm512_castsi128_si512(_mm_loadu_si128(chunk(i)));
                let v = _mm512_inserti32x4::<1>(v, _mm_loadu_si128(chunk(4 + i)));
                let v = _mm512_inserti32x4::<2>(v, _mm_loadu_si128(chunk(8 + i)));
                _mm512_inserti32x4::<3>(v, _mm_loadu_si128(chunk(12 + i)))
            }
        };
        let (a, b, c, d) = (vector(0), vector(1), vector(2), vector(3));
        // SAFETY: as above; these touch no memory.
        unsafe {
            let (ab, ab_high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (cd, cd_high) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            [
                _mm512_unpacklo_epi64(ab, cd),
                _mm512_unpackhi_epi64(ab, cd),
                _mm512_unpacklo_epi64(ab_high, cd_high),
                _mm512_unpackhi_epi64(ab_high, cd_high),
            ]
        }
    }

    #[inline(always)]
    fn dot<const BITS: u32>(
        self,
        sum: __m512i,
        weights: &[__m512i; 4],
        x: &impl Operands<Self>,
    ) -> __m512i {
        self.dot_signed(sum, weights, x)
    }

    #[inline(always)]
    fn dot_signed(self, sum: __m512i, weights: &[__m512i; 4], x: &impl Operands<Self>) -> __m512i {
        let mut sum = sum;
        for (i, &w) in weights.iter().enumerate() {
            let x = x.get(self, i);
            // SAFETY: `self` is the proof of the instructions.
            sum = unsafe { _mm512_dpbusd_epi32(sum, w, x) };
        }
        sum
    }

    instructions! {
        fn load(self, from: &Aligned<u32>) -> __m512i { _mm512_loadu_si512(from.0.as_ptr().cast()) }
        fn store(self, v: __m512i, to: &mut Aligned<u32>) {
            _mm512_storeu_si512(to.0.as_mut_ptr().cast(), v)
        }
        fn splat(self, value: i32) -> __m512i { _mm512_set1_epi32(value) }
        fn and(self, a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or(self, a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn xor(self, a: __m512i, b: __m512i) -> __m512i { _mm512_xor_si512(a, b) }
        fn shl(self, a: __m512i, by: u32) -> __m512i {
            _mm512_sll_epi32(a, _mm_cvtsi32_si128(by as i32))
        }
        fn shr(self, a: __m512i, by: u32) -> __m512i {
            _mm512_srl_epi32(a, _mm_cvtsi32_si128(by as i32))
        }
        fn sar(self, a: __m512i, by: u32) -> __m512i {
            _mm512_sra_epi32(a, _mm_cvtsi32_si128(by as i32))
        }
        fn add(self, a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn sub(self, a: __m512i, b: __m512i) -> __m512i { _mm512_sub_epi32(a, b) }
        fn mul(self, a: __m512i, b: __m512i) -> __m512i { _mm512_mullo_epi32(a, b) }
        fn signed(self, weights: __m512i) -> __m512i {
            _mm512_xor_si512(weights, _mm512_set1_epi8(-128))
        }
        fn dot_pair(self, sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
            _mm512_dpwssd_epi32(sum, a, b)
        }
        fn half(self, bits: __m512i) -> __m512 {
            _mm512_cvtph_ps(_mm512_cvtepi32_epi16(bits))
        }
        fn float(self, v: __m512i) -> __m512 { _mm512_cvtepi32_ps(v) }
        fn float_from_bits(self, v: __m512i) -> __m512 { _mm512_castsi512_ps(v) }
        fn bits_of_float(self, v: __m512) -> __m512i { _mm512_castps_si512(v) }
        fn splat_float(self, value: f32) -> __m512 { _mm512_set1_ps(value) }
        fn add_float(self, a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub_float(self, a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul_float(self, a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn load_float(self, from: &Aligned<f32>) -> __m512 { _mm512_loadu_ps(from.0.as_ptr()) }
        fn store_float(self, v: __m512, to: &mut Aligned<f32>) {
            _mm512_storeu_ps(to.0.as_mut_ptr(), v)
        }
        fn prefetch(self, at: *const u8) { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

/// A vector in memory: aligned, so that it never lies in two lines of the cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Aligned<T>([T; 16]);

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

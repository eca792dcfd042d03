//! Eight blocks at a time in two vectors, on 64-bit ARM, and with its products of bytes (`dotprod`)
//! if the machine has them.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Chunks, Lanes, Operands, Task, Vectors, Work, instructions};

/// Two vectors, so that what is spread over all lanes is spread for both at once.
type Pair<T> = [T; 2];

/// Proof that the machine has the instructions; `DOT`: the products of bytes too.
#[derive(Clone, Copy)]
pub(crate) struct Neon<const DOT: bool>(());

/// Every 64-bit ARM has these.
pub(crate) fn run(work: impl Work) {
    work.with(Neon::<false>(()));
}

#[target_feature(enable = "dotprod")]
pub(crate) fn run_dot(work: impl Work) {
    work.with(Neon::<true>(()));
}

#[target_feature(enable = "dotprod")]
fn enter_dot<const DOT: bool>(l: Neon<DOT>, task: impl Task<Neon<DOT>>) {
    task.run(l);
}

/// Adds the products of four neighbouring bytes to each lane.
///
/// # Safety
///
/// Needs `dotprod`. The intrinsic of this instruction is not stable.
#[inline(always)]
unsafe fn dot(sum: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let mut sum = sum;
    // SAFETY: the caller's promise; registers only.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sum:v}.4s, {a:v}.16b, {b:v}.16b",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

impl<const DOT: bool> Neon<DOT> {
    /// Adds the products with two quads of weights of at most eight bits with a sign, or with four
    /// of at most six without.
    #[inline(always)]
    fn widening(self, sum: int32x4_t, weights: &[int8x16_t], x: &[int8x16_t]) -> int32x4_t {
        // Sums of 16 bits hold 2 · 128 · 127 and 4 · 63 · 127.
        // SAFETY: every 64-bit ARM has these; registers only.
        unsafe {
            let mut low = vdupq_n_s16(0);
            let mut high = vdupq_n_s16(0);
            for (&w, &x) in weights.iter().zip(x) {
                low = vmlal_s8(low, vget_low_s8(w), vget_low_s8(x));
                high = vmlal_high_s8(high, w, x);
            }
            vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)))
        }
    }

    #[inline(always)]
    fn dot_bytes(
        self,
        sum: Pair<int32x4_t>,
        weights: &[Pair<int32x4_t>; 4],
        x: &impl Operands<Self>,
        together: usize,
    ) -> Pair<int32x4_t> {
        let mut sum = sum;
        for n in 0..2 {
            let mut xs = [self.bytes(self.splat(0)[0]); 4];
            for (i, to) in xs.iter_mut().enumerate() {
                *to = self.bytes(x.get(self, i)[n]);
            }
            let mut w = xs;
            for (to, w) in w.iter_mut().zip(weights) {
                *to = self.bytes(w[n]);
            }
            if DOT {
                for i in 0..4 {
                    // SAFETY: `self` with `DOT` is the proof of the instruction.
                    sum[n] = unsafe { dot(sum[n], w[i], xs[i]) };
                }
            } else {
                for i in (0..4).step_by(together) {
                    sum[n] = self.widening(sum[n], &w[i..i + together], &xs[i..i + together]);
                }
            }
        }
        sum
    }

    #[inline(always)]
    fn bytes(self, v: int32x4_t) -> int8x16_t {
        // SAFETY: every 64-bit ARM has this; registers only.
        unsafe { vreinterpretq_s8_s32(v) }
    }
}

impl<const DOT: bool> Lanes for Neon<DOT> {
    const LANES: usize = 8;
    const TOKENS: usize = 4;
    type Word = Vectors<u32, 2>;
    const ZERO: Vectors<u32, 2> = Vectors([[0; 4]; 2]);
    type Int = Pair<int32x4_t>;
    type Float = Pair<float32x4_t>;
    type Floats = Vectors<f32, 2>;
    const ZEROS: Vectors<f32, 2> = Vectors([[0.0; 4]; 2]);
    type Quad = [i8; 4];
    type More = ();
    type Operand = Pair<int32x4_t>;

    #[inline(always)]
    fn quad(activations: [i8; 4], _signed: bool) -> [i8; 4] {
        activations
    }

    #[inline(always)]
    fn left_out(_: [i8; 4]) -> i32 {
        0
    }

    #[inline(always)]
    fn put(word: &mut Self::Word, _: &mut (), lane: usize, quad: [i8; 4]) {
        word.as_mut()[lane] = u32::from_le_bytes(quad.map(|x| x as u8));
    }

    #[inline(always)]
    fn enter(self, task: impl Task<Self>) {
        if DOT {
            // SAFETY: `self` with `DOT` is the proof of the instructions.
            unsafe { enter_dot(self, task) };
        } else {
            task.run(self);
        }
    }

    #[inline(always)]
    fn spread(self, quad: &[i8; 4]) -> Pair<int32x4_t> {
        self.splat(i32::from_le_bytes(quad.map(|x| x as u8)))
    }

    #[inline(always)]
    fn load_quads(self, word: &Self::Word, (): &()) -> Pair<int32x4_t> {
        self.load(word)
    }

    #[inline(always)]
    fn transpose(self, chunks: &impl Chunks) -> [Pair<int32x4_t>; 4] {
        let mut out = [self.splat(0); 4];
        #[allow(
            clippy::needless_range_loop,
            reason = "it is the second index of the results"
        )]
        for n in 0..2 {
            // SAFETY: every 64-bit ARM has these; a chunk has the 16 bytes of a vector.
            unsafe {
                let chunk = |lane: usize| {
                    vreinterpretq_s32_u8(vld1q_u8(chunks.chunk(4 * n + lane).as_ptr()))
                };
                let (a, b, c, d) = (chunk(0), chunk(1), chunk(2), chunk(3));
                let (ab, ab_odd) = (vtrn1q_s32(a, b), vtrn2q_s32(a, b));
                let (cd, cd_odd) = (vtrn1q_s32(c, d), vtrn2q_s32(c, d));
                let low = |a, b| {
                    vreinterpretq_s32_s64(vtrn1q_s64(
                        vreinterpretq_s64_s32(a),
                        vreinterpretq_s64_s32(b),
                    ))
                };
                let high = |a, b| {
                    vreinterpretq_s32_s64(vtrn2q_s64(
                        vreinterpretq_s64_s32(a),
                        vreinterpretq_s64_s32(b),
                    ))
                };
                out[0][n] = low(ab, cd);
                out[1][n] = low(ab_odd, cd_odd);
                out[2][n] = high(ab, cd);
                out[3][n] = high(ab_odd, cd_odd);
            }
        }
        out
    }

    #[inline(always)]
    fn dot<const BITS: u32>(
        self,
        sum: Pair<int32x4_t>,
        weights: &[Pair<int32x4_t>; 4],
        x: &impl Operands<Self>,
    ) -> Pair<int32x4_t> {
        self.dot_bytes(sum, weights, x, 4)
    }

    #[inline(always)]
    fn dot_signed(
        self,
        sum: Pair<int32x4_t>,
        weights: &[Pair<int32x4_t>; 4],
        x: &impl Operands<Self>,
    ) -> Pair<int32x4_t> {
        self.dot_bytes(sum, weights, x, 2)
    }

    #[inline(always)]
    fn signed(self, weights: Pair<int32x4_t>) -> Pair<int32x4_t> {
        weights
    }

    #[inline(always)]
    fn dot_pair(
        self,
        sum: Pair<int32x4_t>,
        a: Pair<int32x4_t>,
        b: Pair<int32x4_t>,
    ) -> Pair<int32x4_t> {
        let low = |v| self.sar(self.shl(v, 16), 16);
        let sum = self.add(sum, self.mul(low(a), low(b)));
        self.add(sum, self.mul(self.sar(a, 16), self.sar(b, 16)))
    }

    instructions! {
        fn load(self, from: &Vectors<u32, 2>) -> Pair<int32x4_t> {
            from.0.map(|from| vreinterpretq_s32_u32(vld1q_u32(from.as_ptr())))
        }
        fn store(self, v: Pair<int32x4_t>, to: &mut Vectors<u32, 2>) {{
            vst1q_u32(to.0[0].as_mut_ptr(), vreinterpretq_u32_s32(v[0]));
            vst1q_u32(to.0[1].as_mut_ptr(), vreinterpretq_u32_s32(v[1]));
        }}
        fn splat(self, value: i32) -> Pair<int32x4_t> { [vdupq_n_s32(value); 2] }
        fn and(self, a: Pair<int32x4_t>, b: Pair<int32x4_t>) -> Pair<int32x4_t> {
            [vandq_s32(a[0], b[0]), vandq_s32(a[1], b[1])]
        }
        fn or(self, a: Pair<int32x4_t>, b: Pair<int32x4_t>) -> Pair<int32x4_t> {
            [vorrq_s32(a[0], b[0]), vorrq_s32(a[1], b[1])]
        }
        fn xor(self, a: Pair<int32x4_t>, b: Pair<int32x4_t>) -> Pair<int32x4_t> {
            [veorq_s32(a[0], b[0]), veorq_s32(a[1], b[1])]
        }
        fn shl(self, a: Pair<int32x4_t>, by: u32) -> Pair<int32x4_t> {{
            let by = vdupq_n_s32(by as i32);
            [vshlq_s32(a[0], by), vshlq_s32(a[1], by)]
        }}
        fn shr(self, a: Pair<int32x4_t>, by: u32) -> Pair<int32x4_t> {{
            let by = vdupq_n_s32(-(by as i32));
            let shift = |a| vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), by));
            [shift(a[0]), shift(a[1])]
        }}
        fn sar(self, a: Pair<int32x4_t>, by: u32) -> Pair<int32x4_t> {{
            let by = vdupq_n_s32(-(by as i32));
            [vshlq_s32(a[0], by), vshlq_s32(a[1], by)]
        }}
        fn add(self, a: Pair<int32x4_t>, b: Pair<int32x4_t>) -> Pair<int32x4_t> {
            [vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1])]
        }
        fn sub(self, a: Pair<int32x4_t>, b: Pair<int32x4_t>) -> Pair<int32x4_t> {
            [vsubq_s32(a[0], b[0]), vsubq_s32(a[1], b[1])]
        }
        fn mul(self, a: Pair<int32x4_t>, b: Pair<int32x4_t>) -> Pair<int32x4_t> {
            [vmulq_s32(a[0], b[0]), vmulq_s32(a[1], b[1])]
        }
        fn float(self, v: Pair<int32x4_t>) -> Pair<float32x4_t> {
            [vcvtq_f32_s32(v[0]), vcvtq_f32_s32(v[1])]
        }
        fn float_from_bits(self, v: Pair<int32x4_t>) -> Pair<float32x4_t> {
            [vreinterpretq_f32_s32(v[0]), vreinterpretq_f32_s32(v[1])]
        }
        fn bits_of_float(self, v: Pair<float32x4_t>) -> Pair<int32x4_t> {
            [vreinterpretq_s32_f32(v[0]), vreinterpretq_s32_f32(v[1])]
        }
        fn splat_float(self, value: f32) -> Pair<float32x4_t> { [vdupq_n_f32(value); 2] }
        fn add_float(self, a: Pair<float32x4_t>, b: Pair<float32x4_t>) -> Pair<float32x4_t> {
            [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1])]
        }
        fn sub_float(self, a: Pair<float32x4_t>, b: Pair<float32x4_t>) -> Pair<float32x4_t> {
            [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1])]
        }
        fn mul_float(self, a: Pair<float32x4_t>, b: Pair<float32x4_t>) -> Pair<float32x4_t> {
            [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1])]
        }
        fn load_float(self, from: &Vectors<f32, 2>) -> Pair<float32x4_t> {
            from.0.map(|from| vld1q_f32(from.as_ptr()))
        }
        fn store_float(self, v: Pair<float32x4_t>, to: &mut Vectors<f32, 2>) {{
            vst1q_f32(to.0[0].as_mut_ptr(), v[0]);
            vst1q_f32(to.0[1].as_mut_ptr(), v[1]);
        }}
    }
}

//! WebAssembly with vectors of 128 bits: four blocks in each of `N` of them, so that what is spread
//! over all lanes is spread for `N` vectors at once.
//!
//! Plain simd128 has no products of bytes: activations are widened to 16 bits beforehand, the even
//! ones apart from the odd ones, as are the weights when they are used. Relaxed SIMD has products
//! of a signed byte with one of seven bits, and those it defines as exact are the same everywhere.
//! A module that contains them is refused by engines that do not know them, hence two builds.

use std::arch::wasm32::*;

use super::{Chunks, Lanes, Operands, Task, Vectors, Work};

/// Methods that do the same to each of the `N` vectors.
macro_rules! each {
    ($(fn $name:ident($self:ident $(, $arg:ident: $ty:ty)*) = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name($self $(, $arg: $ty)*) -> [v128; N] {
            $self.each($body)
        }
    )*};
}

/// `RELAXED`: with the instructions of relaxed SIMD, which this build must have.
#[derive(Clone, Copy)]
pub(crate) struct Wasm<const RELAXED: bool, const N: usize>(());

impl Wasm<false, 1> {
    /// One vector, and what every build has.
    pub(crate) const ONE: Self = Self(());
}

// Measured in Chromium: for one token, whose weights are unpacked into registers, two vectors are
// more than there are registers for; for several they are worth it.

#[inline(never)]
pub(crate) fn run<W: Work>(work: W) {
    if W::ONE_TOKEN {
        work.with(Wasm::<false, 1>(()));
    } else {
        work.with(Wasm::<false, 2>(()));
    }
}

#[cfg(target_feature = "relaxed-simd")]
#[inline(never)]
pub(crate) fn run_relaxed<W: Work>(work: W) {
    if W::ONE_TOKEN {
        work.with(Wasm::<true, 1>(()));
    } else {
        work.with(Wasm::<true, 2>(()));
    }
}

impl<const RELAXED: bool, const N: usize> Wasm<RELAXED, N> {
    #[inline(always)]
    fn each(self, f: impl Fn(usize) -> v128) -> [v128; N] {
        let mut out = [i32x4_splat(0); N];
        for (i, out) in out.iter_mut().enumerate() {
            *out = f(i);
        }
        out
    }
}

impl<const RELAXED: bool, const N: usize> Lanes for Wasm<RELAXED, N> {
    const LANES: usize = 4 * N;
    const TOKENS: usize = 4;
    type Word = Vectors<u32, N>;
    const ZERO: Vectors<u32, N> = Vectors([[0; 4]; N]);
    type Int = [v128; N];
    type Float = [v128; N];
    type Floats = Vectors<f32, N>;
    const ZEROS: Vectors<f32, N> = Vectors([[0.0; 4]; N]);
    type Quad = [u32; 2];
    type More = Vectors<u32, N>;
    type Operand = [[v128; N]; 2];

    #[inline(always)]
    fn quad(activations: [i8; 4], signed: bool) -> [u32; 2] {
        if !RELAXED {
            let [a, b, c, d] = activations.map(|x| u32::from(i16::from(x) as u16));
            return [a | c << 16, b | d << 16];
        }
        if signed {
            // The magnitudes, which have seven bits, and a mask of the negative ones.
            let mask = activations.map(|x| if x < 0 { 0xff } else { 0 });
            let magnitudes = activations.map(i8::unsigned_abs);
            [u32::from_le_bytes(magnitudes), u32::from_le_bytes(mask)]
        } else {
            [u32::from_le_bytes(activations.map(|x| x as u8)), 0]
        }
    }

    #[inline(always)]
    fn left_out(activations: [i8; 4]) -> i32 {
        if !RELAXED {
            return 0;
        }
        // A weight that meets a negative activation has its bits flipped, which makes it −w − 1.
        let negative = activations.iter().filter(|&&x| x < 0);
        -negative.map(|&x| i32::from(x)).sum::<i32>()
    }

    #[inline(always)]
    fn put(word: &mut Self::Word, more: &mut Self::More, lane: usize, quad: [u32; 2]) {
        word.as_mut()[lane] = quad[0];
        more.as_mut()[lane] = quad[1];
    }

    #[inline(always)]
    fn enter(self, task: impl Task<Self>) {
        task.run(self);
    }

    #[inline(always)]
    fn spread(self, quad: &[u32; 2]) -> [[v128; N]; 2] {
        // Not both at once: that would be one load and the work of taking it apart.
        [self.splat(quad[0] as i32), self.splat(quad[1] as i32)]
    }

    #[inline(always)]
    fn load_quads(self, word: &Self::Word, more: &Self::More) -> [[v128; N]; 2] {
        [self.load(word), self.load(more)]
    }

    #[inline(always)]
    fn operands<'a>(
        self,
        words: &'a [Self::Word; 4],
        more: &'a [Self::More; 4],
    ) -> impl Operands<Self> {
        Late { words, more }
    }

    #[inline(always)]
    fn transpose(self, chunks: &impl Chunks) -> [[v128; N]; 4] {
        let mut out = [[i32x4_splat(0); N]; 4];
        #[allow(
            clippy::needless_range_loop,
            reason = "it is the second index of the results"
        )]
        for n in 0..N {
            let chunk = |lane: usize| {
                // SAFETY: a chunk has the 16 bytes of a vector.
                unsafe { v128_load(chunks.chunk(4 * n + lane).as_ptr().cast()) }
            };
            let (a, b, c, d) = (chunk(0), chunk(1), chunk(2), chunk(3));
            let (ab, cd) = (
                i32x4_shuffle::<0, 4, 1, 5>(a, b),
                i32x4_shuffle::<0, 4, 1, 5>(c, d),
            );
            let (ab_high, cd_high) = (
                i32x4_shuffle::<2, 6, 3, 7>(a, b),
                i32x4_shuffle::<2, 6, 3, 7>(c, d),
            );
            out[0][n] = i64x2_shuffle::<0, 2>(ab, cd);
            out[1][n] = i64x2_shuffle::<1, 3>(ab, cd);
            out[2][n] = i64x2_shuffle::<0, 2>(ab_high, cd_high);
            out[3][n] = i64x2_shuffle::<1, 3>(ab_high, cd_high);
        }
        out
    }

    #[inline(always)]
    fn dot<const BITS: u32>(
        self,
        sum: [v128; N],
        weights: &[[v128; N]; 4],
        x: &impl Operands<Self>,
    ) -> [v128; N] {
        let mut sum = sum;
        for (i, w) in weights.iter().enumerate() {
            let x = x.get(self, i);
            for n in 0..N {
                sum[n] = if RELAXED {
                    dot_bytes(x[0][n], w[n], sum[n])
                } else {
                    let even = v128_and(w[n], u32x4_splat(0x00ff_00ff));
                    let odd = u16x8_shr(w[n], 8);
                    let even = i32x4_dot_i16x8(even, x[0][n]);
                    i32x4_add(i32x4_add(sum[n], even), i32x4_dot_i16x8(odd, x[1][n]))
                };
            }
        }
        sum
    }

    #[inline(always)]
    fn dot_signed(
        self,
        sum: [v128; N],
        weights: &[[v128; N]; 4],
        x: &impl Operands<Self>,
    ) -> [v128; N] {
        let mut sum = sum;
        for (i, w) in weights.iter().enumerate() {
            let x = x.get(self, i);
            for n in 0..N {
                sum[n] = if RELAXED {
                    dot_bytes(v128_xor(w[n], x[1][n]), x[0][n], sum[n])
                } else {
                    let even = i16x8_shr(i16x8_shl(w[n], 8), 8);
                    let odd = i16x8_shr(w[n], 8);
                    let even = i32x4_dot_i16x8(even, x[0][n]);
                    i32x4_add(i32x4_add(sum[n], even), i32x4_dot_i16x8(odd, x[1][n]))
                };
            }
        }
        sum
    }

    #[inline(always)]
    fn signed(self, weights: [v128; N]) -> [v128; N] {
        weights
    }

    #[inline(always)]
    fn load(self, from: &Vectors<u32, N>) -> [v128; N] {
        // SAFETY: four words are the 16 bytes of a vector.
        self.each(|i| unsafe { v128_load(from.0[i].as_ptr().cast()) })
    }

    #[inline(always)]
    fn store(self, v: [v128; N], to: &mut Vectors<u32, N>) {
        for (v, to) in v.into_iter().zip(&mut to.0) {
            // SAFETY: four words are the 16 bytes of a vector.
            unsafe { v128_store(to.as_mut_ptr().cast(), v) };
        }
    }

    #[inline(always)]
    fn load_float(self, from: &Vectors<f32, N>) -> [v128; N] {
        // SAFETY: four numbers are the 16 bytes of a vector.
        self.each(|i| unsafe { v128_load(from.0[i].as_ptr().cast()) })
    }

    #[inline(always)]
    fn store_float(self, v: [v128; N], to: &mut Vectors<f32, N>) {
        for (v, to) in v.into_iter().zip(&mut to.0) {
            // SAFETY: four numbers are the 16 bytes of a vector.
            unsafe { v128_store(to.as_mut_ptr().cast(), v) };
        }
    }

    each! {
        fn splat(self, value: i32) = |_| i32x4_splat(value);
        fn and(self, a: [v128; N], b: [v128; N]) = |i| v128_and(a[i], b[i]);
        fn or(self, a: [v128; N], b: [v128; N]) = |i| v128_or(a[i], b[i]);
        fn xor(self, a: [v128; N], b: [v128; N]) = |i| v128_xor(a[i], b[i]);
        fn shl(self, a: [v128; N], by: u32) = |i| i32x4_shl(a[i], by);
        fn shr(self, a: [v128; N], by: u32) = |i| u32x4_shr(a[i], by);
        fn sar(self, a: [v128; N], by: u32) = |i| i32x4_shr(a[i], by);
        fn add(self, a: [v128; N], b: [v128; N]) = |i| i32x4_add(a[i], b[i]);
        fn sub(self, a: [v128; N], b: [v128; N]) = |i| i32x4_sub(a[i], b[i]);
        fn mul(self, a: [v128; N], b: [v128; N]) = |i| i32x4_mul(a[i], b[i]);
        fn dot_pair(self, sum: [v128; N], a: [v128; N], b: [v128; N]) =
            |i| i32x4_add(sum[i], i32x4_dot_i16x8(a[i], b[i]));
        fn float(self, v: [v128; N]) = |i| f32x4_convert_i32x4(v[i]);
        fn float_from_bits(self, v: [v128; N]) = |i| v[i];
        fn bits_of_float(self, v: [v128; N]) = |i| v[i];
        fn splat_float(self, value: f32) = |_| f32x4_splat(value);
        fn add_float(self, a: [v128; N], b: [v128; N]) = |i| f32x4_add(a[i], b[i]);
        fn sub_float(self, a: [v128; N], b: [v128; N]) = |i| f32x4_sub(a[i], b[i]);
        fn mul_float(self, a: [v128; N], b: [v128; N]) = |i| f32x4_mul(a[i], b[i]);
    }
}

/// Adds the products of 16 signed bytes with 16 of seven bits, four neighbours together.
#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
fn dot_bytes(signed: v128, seven_bits: v128, sum: v128) -> v128 {
    i32x4_relaxed_dot_i8x16_i7x16_add(signed, seven_bits, sum)
}

/// Never called: this build has no relaxed SIMD.
#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
fn dot_bytes(_: v128, _: v128, sum: v128) -> v128 {
    sum
}

/// The quads of each lane, loaded one after the other where they are used: engines keep them in
/// registers from where they are loaded, and there are few.
struct Late<'a, const N: usize> {
    words: &'a [Vectors<u32, N>; 4],
    more: &'a [Vectors<u32, N>; 4],
}

impl<const RELAXED: bool, const N: usize> Operands<Wasm<RELAXED, N>> for Late<'_, N> {
    #[inline(always)]
    fn get(&self, l: Wasm<RELAXED, N>, i: usize) -> [[v128; N]; 2] {
        l.load_quads(&self.words[i], &self.more[i])
    }
}

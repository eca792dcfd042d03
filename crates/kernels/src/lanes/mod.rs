//! Vectors whose lanes are blocks.
//!
//! The arithmetic of a row is a long chain: exact integers within a block, then one term after the
//! other, in order. A vector along a block would have to be added up across its lanes at the end
//! of every block. So each lane here has a block of its own, does for it what the scalar code does,
//! and the bits are the same by construction. Which blocks lie side by side is the products' choice
//! ([`crate::blocks`]): for one token the next few in memory, for several those of neighbouring
//! rows. What it takes is that four neighbouring weights of every block lie side by side, which
//! [`Lanes::transpose`] brings about, 16 bytes of each block at a time.
//!
//! [`Lanes`] is the little that an instruction set has to know. The formats and the products are
//! written once, for any of them ([`crate::formats`], [`crate::blocks`]).
//!
//! A value that implements it is the proof that the machine has the instructions: whoever makes
//! one has checked, and so every method is safe. All of them are `inline(always)`, because only
//! inside a function compiled for the instructions do they become those instructions.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) mod wasm;

/// A vector instruction set.
///
/// A lane of an integer vector is a 32-bit integer, or four bytes of which the lowest is that of
/// the leftmost column, or two 16-bit integers.
pub(crate) trait Lanes: Copy + Send + Sync {
    /// Blocks in a vector.
    const LANES: usize;
    /// Tokens that are worked on at once: as many as there are registers for.
    const TOKENS: usize;
    /// How integers lie in memory.
    type Word: Copy + Sync + AsMut<[u32]>;
    /// Zeros in memory.
    const ZERO: Self::Word;
    type Int: Copy;
    type Float: Copy;
    /// How floats lie in memory.
    type Floats: Copy + Sync + AsRef<[f32]> + AsMut<[f32]>;
    /// Zeros in memory.
    const ZEROS: Self::Floats;
    /// Four neighbouring activations of a token.
    type Quad: Copy + Default + Sync;
    /// What of a quad for each lane does not fit into a [`Lanes::Word`], in memory. Kept apart, because
    /// not every type of weights asks for it, and the cache has other uses.
    type More: Copy + Sync + Default;
    /// One of them for each lane, ready to meet weights.
    type Operand: Copy;

    /// Prepares activations; `signed`: the weights they will meet are signed bytes.
    fn quad(activations: [i8; 4], signed: bool) -> Self::Quad;
    /// What [`Lanes::dot_signed`] leaves out of the products with these activations.
    fn left_out(activations: [i8; 4]) -> i32;

    /// Puts a quad into a lane.
    fn put(word: &mut Self::Word, more: &mut Self::More, lane: usize, quad: Self::Quad);

    /// Does a task in a function compiled for these instructions; needed where the code that calls
    /// may not be, such as in another thread.
    fn enter(self, task: impl Task<Self>);

    /// The four words of 16 bytes of each block, the first words of all blocks first.
    fn transpose(self, chunks: &impl Chunks) -> [Self::Int; 4];

    /// The same quad in all lanes.
    fn spread(self, quad: &Self::Quad) -> Self::Operand;
    fn load_quads(self, word: &Self::Word, more: &Self::More) -> Self::Operand;
    /// The quads of each lane.
    #[inline(always)]
    fn operands<'a>(
        self,
        words: &'a [Self::Word; 4],
        more: &'a [Self::More; 4],
    ) -> impl Operands<Self> {
        Loaded::new(self, words, more)
    }

    fn load(self, from: &Self::Word) -> Self::Int;
    fn store(self, v: Self::Int, to: &mut Self::Word);
    fn splat(self, value: i32) -> Self::Int;
    fn and(self, a: Self::Int, b: Self::Int) -> Self::Int;
    fn or(self, a: Self::Int, b: Self::Int) -> Self::Int;
    fn xor(self, a: Self::Int, b: Self::Int) -> Self::Int;
    /// Towards the higher bits.
    fn shl(self, a: Self::Int, by: u32) -> Self::Int;
    /// Towards the lower bits, filling up with zeros.
    fn shr(self, a: Self::Int, by: u32) -> Self::Int;
    /// Towards the lower bits, filling up with the sign.
    fn sar(self, a: Self::Int, by: u32) -> Self::Int;
    fn add(self, a: Self::Int, b: Self::Int) -> Self::Int;
    fn sub(self, a: Self::Int, b: Self::Int) -> Self::Int;
    fn mul(self, a: Self::Int, b: Self::Int) -> Self::Int;

    /// Adds the products of 16 unsigned weights below `2^BITS` with activations; `BITS` is at most
    /// 6.
    fn dot<const BITS: u32>(
        self,
        sum: Self::Int,
        weights: &[Self::Int; 4],
        x: &impl Operands<Self>,
    ) -> Self::Int;
    /// Makes signed weights what [`Lanes::dot_signed`] expects.
    fn signed(self, weights: Self::Int) -> Self::Int;
    /// Adds the products of 16 signed weights with activations, but for [`Lanes::left_out`].
    fn dot_signed(
        self,
        sum: Self::Int,
        weights: &[Self::Int; 4],
        x: &impl Operands<Self>,
    ) -> Self::Int;
    /// Adds the products of two 16-bit integers with two others.
    fn dot_pair(self, sum: Self::Int, a: Self::Int, b: Self::Int) -> Self::Int;

    fn float(self, v: Self::Int) -> Self::Float;
    /// The number that has these bits.
    fn float_from_bits(self, v: Self::Int) -> Self::Float;
    /// The bits of a number.
    fn bits_of_float(self, v: Self::Float) -> Self::Int;
    fn splat_float(self, value: f32) -> Self::Float;
    fn add_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn sub_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn mul_float(self, a: Self::Float, b: Self::Float) -> Self::Float;
    fn load_float(self, from: &Self::Floats) -> Self::Float;
    fn store_float(self, v: Self::Float, to: &mut Self::Floats);

    /// The values of the half-precision numbers in the low 16 bits; the others are ignored.
    ///
    /// Shifted into the place of a single-precision number, exponent and mantissa are right but
    /// for a factor of 2^112, subnormal ones included; only infinity and NaN need their exponent.
    #[inline(always)]
    fn half(self, bits: Self::Int) -> Self::Float {
        let sign = self.shl(self.and(bits, self.splat(0x8000)), 16);
        let magnitude = self.shl(self.and(bits, self.splat(0x7fff)), 13);
        let is_special = self.sar(self.sub(self.splat(0x0f7f_ffff), magnitude), 31);
        let special = self.and(is_special, self.splat(0x7f80_0000));
        let scale = self.float_from_bits(self.splat(0x7780_0000));
        let value = self.bits_of_float(self.mul_float(self.float_from_bits(magnitude), scale));
        self.float_from_bits(self.or(self.or(value, special), sign))
    }

    /// Hints that what lies there will be read soon. No address is wrong.
    #[inline(always)]
    fn prefetch(self, _at: *const u8) {}
}

/// The activations that 16 weights meet, one quad after the other.
pub(crate) trait Operands<L: Lanes> {
    /// Quad number `i`. Must be `inline(always)`.
    fn get(&self, l: L, i: usize) -> L::Operand;
}

/// The same for all lanes; made ready only where they are used, because several tokens leave few
/// registers.
pub(crate) struct Spread<'a, L: Lanes>(pub(crate) &'a [L::Quad; 4]);

impl<L: Lanes> Operands<L> for Spread<'_, L> {
    #[inline(always)]
    fn get(&self, l: L, i: usize) -> L::Operand {
        l.spread(&self.0[i])
    }
}

/// Those of each lane, all loaded at once.
struct Loaded<L: Lanes>([L::Operand; 4]);

impl<L: Lanes> Loaded<L> {
    #[inline(always)]
    fn new(l: L, words: &[L::Word; 4], more: &[L::More; 4]) -> Self {
        Self([
            l.load_quads(&words[0], &more[0]),
            l.load_quads(&words[1], &more[1]),
            l.load_quads(&words[2], &more[2]),
            l.load_quads(&words[3], &more[3]),
        ])
    }
}

impl<L: Lanes> Operands<L> for Loaded<L> {
    #[inline(always)]
    fn get(&self, _: L, i: usize) -> L::Operand {
        self.0[i]
    }
}

/// 16 bytes of each of as many blocks as there are lanes.
pub(crate) trait Chunks {
    /// Those of the block in this lane.
    fn chunk(&self, lane: usize) -> &[u8; 16];
}

/// Something that can be done with any instruction set; it runs compiled for the one at hand.
pub(crate) trait Work {
    /// Whether it is for one token only.
    #[allow(dead_code, reason = "not every instruction set makes a difference")]
    const ONE_TOKEN: bool;

    /// Must be `inline(always)`, and what it calls.
    fn with<L: Lanes>(self, lanes: L);
}

/// A part of some work, for one instruction set.
pub(crate) trait Task<L> {
    /// Must be `inline(always)`, and what it calls.
    fn run(self, lanes: L);
}

/// `N` vectors of 128 bits in memory.
#[cfg(any(
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
#[derive(Clone, Copy)]
pub(crate) struct Vectors<T, const N: usize>([[T; 4]; N]);

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
impl<T: Copy + Default, const N: usize> Default for Vectors<T, N> {
    fn default() -> Self {
        Self([[T::default(); 4]; N])
    }
}

#[cfg(any(
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
impl<T, const N: usize> AsRef<[T]> for Vectors<T, N> {
    fn as_ref(&self) -> &[T] {
        self.0.as_flattened()
    }
}

#[cfg(any(
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128")
))]
impl<T, const N: usize> AsMut<[T]> for Vectors<T, N> {
    fn as_mut(&mut self) -> &mut [T] {
        self.0.as_flattened_mut()
    }
}

/// Methods that are an instruction or few.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! instructions {
    ($(fn $name:ident($self:ident $(, $arg:ident: $ty:ty)*) $(-> $out:ty)? { $body:expr })*) => {$(
        #[inline(always)]
        fn $name($self $(, $arg: $ty)*) $(-> $out)? {
            // SAFETY: `self` is the proof that the machine has the instructions, and they touch no
            // memory but through references to as many bytes as they move.
            unsafe { $body }
        }
    )*};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use instructions;

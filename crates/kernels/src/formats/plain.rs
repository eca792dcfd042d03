use crate::f16;
use crate::floats::Octets;

/// A type whose weights are floats, each on its own.
pub(crate) trait Plain: Sync {
    /// The bytes of a weight.
    type Raw: Copy;

    /// The weights that the bytes hold.
    fn weights(bytes: &[u8]) -> &[Self::Raw];

    fn value(weight: Self::Raw) -> f32;

    /// Eight weights at once. Must be `inline(always)`.
    fn widen<O: Octets>(o: O, weights: &[Self::Raw; 8]) -> O::Octet;
}

pub(crate) enum F32 {}
pub(crate) enum F16 {}
pub(crate) enum BF16 {}

/// A type of so many bytes: the value of one weight, and of eight.
macro_rules! plain {
    ($($ty:ty: $bytes:literal, $value:expr, $widen:ident;)*) => {$(
        impl Plain for $ty {
            type Raw = [u8; $bytes];

            #[inline(always)]
            fn weights(bytes: &[u8]) -> &[[u8; $bytes]] {
                bytes.as_chunks().0
            }

            #[inline(always)]
            fn value(weight: [u8; $bytes]) -> f32 {
                $value(weight)
            }

            #[inline(always)]
            fn widen<O: Octets>(o: O, weights: &[[u8; $bytes]; 8]) -> O::Octet {
                o.$widen(weights)
            }
        }
    )*};
}

plain! {
    F32: 4, f32::from_le_bytes, floats;
    F16: 2, |weight| f16::to_f32(u16::from_le_bytes(weight)), halves;
    BF16: 2, |weight| f16::bf16_to_f32(u16::from_le_bytes(weight)), bfloats;
}

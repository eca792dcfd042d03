use std::fmt;

macro_rules! tensor_types {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $block_len:literal, $block_bytes:literal;)*) => {
        /// How a tensor's weights are stored. The numbers are those of the file format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(non_camel_case_types, reason = "the names are the format's own")]
        #[non_exhaustive]
        pub enum TensorType { $($(#[$doc])* $variant,)* }

        impl TensorType {
            /// Every type whose layout is known.
            pub const ALL: &'static [TensorType] = &[$(TensorType::$variant),*];

            /// The type with this number, if its layout is known.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// The type's number in files.
            pub fn id(self) -> u32 {
                match self { $(Self::$variant => $id),* }
            }

            /// Weights of a block.
            pub fn block_len(self) -> usize {
                match self { $(Self::$variant => $block_len),* }
            }

            /// Bytes of a block.
            pub fn block_bytes(self) -> usize {
                match self { $(Self::$variant => $block_bytes),* }
            }

            /// The type's usual name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),* }
            }
        }
    };
}

tensor_types! {
    /// 32-bit floats.
    F32 = 0, 1, 4;
    /// 16-bit floats.
    F16 = 1, 1, 2;
    /// 4-bit weights, one scale per 32.
    Q4_0 = 2, 32, 18;
    /// 4-bit weights, scale and minimum per 32.
    Q4_1 = 3, 32, 20;
    /// 5-bit weights, one scale per 32.
    Q5_0 = 6, 32, 22;
    /// 5-bit weights, scale and minimum per 32.
    Q5_1 = 7, 32, 24;
    /// 8-bit weights, one scale per 32.
    Q8_0 = 8, 32, 34;
    /// 8-bit values with their sum, per 32; an activation format.
    Q8_1 = 9, 32, 36;
    /// 2-bit weights in super-blocks of 256.
    Q2_K = 10, 256, 84;
    /// 3-bit weights in super-blocks of 256.
    Q3_K = 11, 256, 110;
    /// 4-bit weights in super-blocks of 256.
    Q4_K = 12, 256, 144;
    /// 5-bit weights in super-blocks of 256.
    Q5_K = 13, 256, 176;
    /// 6-bit weights in super-blocks of 256.
    Q6_K = 14, 256, 210;
    /// 8-bit values in super-blocks of 256; an activation format.
    Q8_K = 15, 256, 292;
    /// 2-bit code book.
    IQ2_XXS = 16, 256, 66;
    /// 2-bit code book.
    IQ2_XS = 17, 256, 74;
    /// 3-bit code book.
    IQ3_XXS = 18, 256, 98;
    /// 1-bit code book.
    IQ1_S = 19, 256, 50;
    /// 4-bit code book, one scale per 32.
    IQ4_NL = 20, 32, 18;
    /// 3-bit code book.
    IQ3_S = 21, 256, 110;
    /// 2-bit code book.
    IQ2_S = 22, 256, 82;
    /// 4-bit code book.
    IQ4_XS = 23, 256, 136;
    /// 8-bit integers.
    I8 = 24, 1, 1;
    /// 16-bit integers.
    I16 = 25, 1, 2;
    /// 32-bit integers.
    I32 = 26, 1, 4;
    /// 64-bit integers.
    I64 = 27, 1, 8;
    /// 64-bit floats.
    F64 = 28, 1, 8;
    /// 1-bit code book.
    IQ1_M = 29, 256, 56;
    /// 16-bit floats with the exponent of 32-bit ones.
    BF16 = 30, 1, 2;
    /// Ternary weights.
    TQ1_0 = 34, 256, 54;
    /// Ternary weights.
    TQ2_0 = 35, 256, 66;
    /// 4-bit floats with a shared exponent per 32.
    MXFP4 = 39, 32, 17;
}

impl TensorType {
    /// Bytes of a row of `weights` weights; `None` if that is not a whole number of blocks or exceeds 64 bits.
    pub fn row_bytes(self, weights: u64) -> Option<u64> {
        let block_len = self.block_len() as u64;
        if !weights.is_multiple_of(block_len) {
            return None;
        }
        (weights / block_len).checked_mul(self.block_bytes() as u64)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

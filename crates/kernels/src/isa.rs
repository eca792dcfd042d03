use std::fmt;

/// The instructions a product is computed with. They decide its speed, never its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, on any target.
    Scalar,
    /// x86-64 with AVX2 and F16C, detected when the program runs.
    Avx2,
    /// WebAssembly with 128-bit SIMD, decided when the program is built.
    Simd128,
}

impl Isa {
    /// All of them, for tests that compare one with another.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Simd128];

    /// The fastest one that runs here.
    #[must_use]
    pub fn best() -> Self {
        if Self::Avx2.is_available() {
            Self::Avx2
        } else if Self::Simd128.is_available() {
            Self::Simd128
        } else {
            Self::Scalar
        }
    }

    /// Whether this machine and this build can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            // The standard library detects once and remembers.
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 => false,
            Self::Simd128 => cfg!(all(target_arch = "wasm32", target_feature = "simd128")),
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "AVX2",
            Self::Simd128 => "simd128",
        })
    }
}

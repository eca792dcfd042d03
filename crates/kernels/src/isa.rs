use std::fmt;

/// The instructions a product is computed with. They decide its speed, never its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, on any target: the definition of the bits.
    Scalar,
    /// x86-64 with AVX2 and F16C, detected when the program runs.
    Avx2,
    /// The same with AVX-VNNI, detected when the program runs.
    AvxVnni,
    /// x86-64 with AVX-512 F, BW and VNNI, detected when the program runs.
    Avx512,
    /// 64-bit ARM, which always has its vectors.
    Neon,
    /// The same with products of bytes (the `dotprod` extension), detected when the program runs.
    NeonDot,
    /// WebAssembly with 128-bit SIMD, decided when the program is built.
    Simd128,
    /// The same with relaxed SIMD, decided when the program is built; which build to load is
    /// decided when the page runs.
    RelaxedSimd,
}

impl Isa {
    /// All of them, the slower before the faster, for tests that compare one with another.
    pub const ALL: [Self; 8] = [
        Self::Scalar,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Neon,
        Self::NeonDot,
        Self::Simd128,
        Self::RelaxedSimd,
    ];

    /// The fastest one that runs here.
    #[must_use]
    pub fn best() -> Self {
        let fastest = Self::ALL.into_iter().rev().find(|isa| isa.is_available());
        fastest.unwrap_or(Self::Scalar)
    }

    /// Whether this machine and this build can run it.
    #[must_use]
    pub fn is_available(self) -> bool {
        // The standard library detects once and remembers.
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => crate::lanes::avx2::is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::AvxVnni => crate::lanes::avx2::is_vnni_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => crate::lanes::avx512::is_available(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon => true,
            #[cfg(target_arch = "aarch64")]
            Self::NeonDot => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Self::Simd128 => true,
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Self::RelaxedSimd => true,
            _ => false,
        }
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "AVX2",
            Self::AvxVnni => "AVX-VNNI",
            Self::Avx512 => "AVX-512",
            Self::Neon => "NEON",
            Self::NeonDot => "NEON with dotprod",
            Self::Simd128 => "simd128",
            Self::RelaxedSimd => "relaxed SIMD",
        })
    }
}

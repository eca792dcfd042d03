//! Products of quantised weights and activations, with the same bits on every CPU.
//!
//! Two nodes that hold the same fragment must answer the same request with the same bytes: only
//! then can a replica replace another in the middle of a token, and only then does a hash convict
//! a liar. This crate is where that promise is kept or broken, so its arithmetic is fixed down to
//! the order of additions:
//!
//! - Activations are rounded to what the weights' type asks for ([`encoding_for`]), by one
//!   implementation ([`Activations::encode`]), and travel in that form.
//! - The products inside one block are exact 32-bit integers. Each block then yields one `f32`
//!   term, `(d·dx)·sum` or `(d·dx)·sum − (dmin·dx)·minsum`, and the terms of a row are added in
//!   block order, starting from zero. No fused multiply-add, no reassociation.
//! - Weights that are floats (F32, F16, BF16) are multiplied in eight lanes: lane `i` adds the
//!   products of the columns `c` with `c % 8 == i` in order; the lanes are then added as
//!   `((0+4)+(2+6)) + ((1+5)+(3+7))`.
//! - A result that is not a number is the one canonical NaN, because CPUs disagree on its sign
//!   and payload.
//! - `exp`, `sin`, `cos` and `pow` ([`math`]) are computed here, never by the platform.
//!
//! Which instructions compute it ([`Isa`]) then changes nothing but the speed; the tests compare
//! bits. The vector kernels are written once, over vectors whose lanes are blocks; an instruction
//! set is a small table of operations, and a format says how its bytes become integers.
//! The crate knows nothing of models, files or networks, starts no threads (but may use those
//! of a rayon pool, with the feature `threads`), and never panics, whatever the bytes and lengths it is given: weights and activations come from strangers.
//!
//! ```
//! use gguf::TensorType;
//! use kernels::{Activations, encoding_for, matmul};
//!
//! let weights: Vec<u8> = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|w| w.to_le_bytes()).collect();
//! let encoding = encoding_for(TensorType::F32).ok_or("unsupported")?;
//! let x = Activations::encode(encoding, 2, &[10.0, 1.0])?;
//! let mut y = [0.0; 2];
//! matmul(TensorType::F32, &weights, 2, &x, &mut y)?;
//! assert_eq!(y, [12.0, 34.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

// The flags in .cargo/config.toml are dropped without a word when cargo runs from outside the
// workspace or RUSTFLAGS is set. Better no build than a build that is ten times too slow.
#[cfg(all(
    target_arch = "wasm32",
    not(target_feature = "simd128"),
    not(feature = "scalar-only")
))]
compile_error!(
    "built for wasm without simd128: set RUSTFLAGS=\"-C target-feature=+simd128\" or the feature `scalar-only`"
);

mod activations;
mod blocks;
mod encoding;
mod error;
pub mod f16;
mod floats;
mod formats;
mod isa;
mod lanes;
pub mod math;
mod product;
mod quantise;
pub mod reference;
mod scalar;
mod sharing;
mod sums;

pub use activations::Activations;
pub use encoding::{Encoding, encoding_for};
pub use error::Error;
pub use isa::Isa;
pub use product::{matmul, matmul_with};
pub use sums::add_tree;

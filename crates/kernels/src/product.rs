use std::marker::PhantomData;

use gguf::TensorType;

use crate::activations::{Quantised, Values};
use crate::formats::{Blocks, Plain, with_blocks, with_plain};
use crate::{Activations, Error, Isa, encoding_for, scalar};
use crate::{blocks::Product, floats, lanes, sharing::share};

/// Multiplies packed weights with activations: `y[t·rows + r] = Σ w[r, c] · x[t, c]`.
///
/// `weights` are `rows` packed rows of as many weights as the activations are wide. All sizes are
/// checked; on an error nothing was written. The bits of `y` depend on the arguments only, not on
/// the machine; each row and each token is computed independently of how many others there are.
///
/// With the feature `threads`, a large product is shared out among the threads of the current rayon
/// pool, by rows.
pub fn matmul(
    ty: TensorType,
    weights: &[u8],
    rows: usize,
    x: &Activations,
    y: &mut [f32],
) -> Result<(), Error> {
    matmul_with(Isa::best(), ty, weights, rows, x, y)
}

/// [`matmul`] with chosen instructions, for tests and benchmarks.
pub fn matmul_with(
    isa: Isa,
    ty: TensorType,
    weights: &[u8],
    rows: usize,
    x: &Activations,
    y: &mut [f32],
) -> Result<(), Error> {
    if !isa.is_available() {
        return Err(Error::Unavailable(isa));
    }
    let needed = encoding_for(ty).ok_or(Error::Unsupported(ty))?;
    if x.encoding() != needed {
        return Err(Error::Encoding {
            weights: ty,
            needed,
            found: x.encoding(),
        });
    }
    let row_bytes = row_bytes(ty, x.width())?;
    check("bytes of weights", rows, row_bytes, weights.len())?;
    check("results", rows, x.tokens(), y.len())?;
    if y.is_empty() {
        return Ok(());
    }
    let y = &mut *y.chunks_exact_mut(rows).collect::<Vec<_>>();
    let supported = match x.values() {
        Values::Plain(x) => with_plain!(ty, plain(isa, weights, row_bytes, x, y)),
        Values::Quantised(x) => with_blocks!(ty, blocks(isa, weights, row_bytes, x, y)),
    };
    supported.ok_or(Error::Unsupported(ty))
}

/// Bytes of a row of `cols` weights.
pub(crate) fn row_bytes(ty: TensorType, cols: usize) -> Result<usize, Error> {
    if encoding_for(ty).is_none() {
        return Err(Error::Unsupported(ty));
    }
    let block = ty.block_len();
    if cols == 0 || !cols.is_multiple_of(block) {
        return Err(Error::Width { width: cols, block });
    }
    (cols / block)
        .checked_mul(ty.block_bytes())
        .ok_or(Error::Overflow("a row of weights"))
}

fn check(what: &'static str, a: usize, b: usize, found: usize) -> Result<(), Error> {
    let expected = a.checked_mul(b).ok_or(Error::Overflow(what))?;
    if found == expected {
        Ok(())
    } else {
        Err(Error::Length {
            what,
            expected,
            found,
        })
    }
}

fn blocks<B: Blocks>(
    isa: Isa,
    weights: &[u8],
    row_bytes: usize,
    x: &Quantised,
    y: &mut [&mut [f32]],
) {
    if isa == Isa::Scalar {
        scalar::blocks::<B>(weights, row_bytes, x, y);
    } else if y.len() == 1 {
        vectors::<B, true>(isa, weights, row_bytes, x, y);
    } else {
        vectors::<B, false>(isa, weights, row_bytes, x, y);
    }
}

fn vectors<B: Blocks, const ONE: bool>(
    isa: Isa,
    weights: &[u8],
    row_bytes: usize,
    x: &Quantised,
    y: &mut [&mut [f32]],
) {
    let product = Product::<B, ONE> {
        weights,
        row_bytes,
        x,
        y,
        format: PhantomData,
    };
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `matmul_with` has checked that this machine has the instructions.
        Isa::Avx512 if !ONE || B::BYTES.is_multiple_of(16) => unsafe {
            lanes::avx512::run(product);
        },
        // Measured: where blocks lie across the lines of the cache, sixteen at a time are too many
        // for one token, which waits for memory.
        #[cfg(target_arch = "x86_64")]
        // SAFETY: just checked.
        Isa::Avx512 if lanes::avx2::is_vnni_available() => unsafe {
            lanes::avx2::run_vnni(product);
        },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above; AVX2 is part of what was checked for AVX-512.
        Isa::Avx512 => unsafe { lanes::avx2::run(product) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::AvxVnni => unsafe { lanes::avx2::run_vnni(product) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx2 => unsafe { lanes::avx2::run(product) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::NeonDot => unsafe { lanes::neon::run_dot(product) },
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => lanes::neon::run(product),
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        Isa::RelaxedSimd => lanes::wasm::run_relaxed(product),
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Isa::Simd128 => lanes::wasm::run(product),
        // The others are not of this architecture, and refused before.
        _ => {}
    }
}

fn plain<P: Plain>(isa: Isa, weights: &[u8], row_bytes: usize, x: &[f32], y: &mut [&mut [f32]]) {
    share(weights, row_bytes, y, |weights, y| match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `matmul_with` has checked that this machine has the instructions; the others
        // are more of the same.
        Isa::Avx2 | Isa::AvxVnni | Isa::Avx512 => unsafe {
            floats::avx2::products::<P>(weights, row_bytes, x, y);
        },
        #[cfg(target_arch = "aarch64")]
        Isa::Neon | Isa::NeonDot => {
            floats::products::<P, _>(floats::portable::Portable, weights, row_bytes, x, y);
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        Isa::Simd128 | Isa::RelaxedSimd => {
            floats::products::<P, _>(floats::simd128::Simd128, weights, row_bytes, x, y);
        }
        _ => scalar::plain::<P>(weights, row_bytes, x, y),
    });
}

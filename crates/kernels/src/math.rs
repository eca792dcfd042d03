//! The few functions between products, the same bits on every target.
//!
//! `exp`, `sin`, `cos` and `pow` of the platform differ in their last digits from one machine to
//! the next, so they come from the `libm` crate, which is plain Rust. Square roots, additions and
//! products are exact to the last digit by IEEE 754 and need no care but a fixed order.

use crate::Error;
use crate::scalar::add_lanes;

/// `e` to the power `x`.
#[must_use]
pub fn exp(x: f32) -> f32 {
    libm::expf(x)
}

/// `x / (1 + exp(−x))`.
#[must_use]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// Sine of an angle in radians, also of large ones.
#[must_use]
pub fn sin(x: f32) -> f32 {
    libm::sinf(x)
}

/// Cosine of an angle in radians, also of large ones.
#[must_use]
pub fn cos(x: f32) -> f32 {
    libm::cosf(x)
}

/// `base` to the power `exponent`.
#[must_use]
pub fn pow(base: f32, exponent: f32) -> f32 {
    libm::powf(base, exponent)
}

/// Natural logarithm.
#[must_use]
pub fn ln(x: f32) -> f32 {
    libm::logf(x)
}

/// `silu(gate) · up`, element by element, into `gate`: the middle of a feed-forward layer.
pub fn swiglu(gate: &mut [f32], up: &[f32]) -> Result<(), Error> {
    same_length("values of up", gate.len(), up.len())?;
    for (gate, up) in gate.iter_mut().zip(up) {
        *gate = silu(*gate) * up;
    }
    Ok(())
}

/// Replaces values by `exp(value)`, scaled so that their sum is one.
///
/// The largest value is subtracted first; the sum runs in order and in `f64`.
pub fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0f64;
    for value in values.iter_mut() {
        *value = exp(*value - largest);
        sum += f64::from(*value);
    }
    let scale = (1.0 / sum) as f32;
    values.iter_mut().for_each(|v| *v *= scale);
}

/// `x / sqrt(mean(x²) + eps) · weight`, for one token.
///
/// The squares are added in order and in `f64`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Result<Vec<f32>, Error> {
    same_length("weights of the norm", x.len(), weight.len())?;
    let sum: f64 = x.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
    let mean = (sum / x.len() as f64) as f32;
    let scale = 1.0 / (mean + eps).sqrt();
    Ok(x.iter().zip(weight).map(|(x, w)| x * scale * w).collect())
}

/// The inner product, in the eight lanes that [`crate::matmul`] uses for floats.
///
/// If one is longer, the rest of it is ignored.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    let ((a, a_rest), (b, b_rest)) = (a[..length].as_chunks::<8>(), b[..length].as_chunks::<8>());
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane += a * b;
    }
    add_lanes(lanes)
}

/// `y += factor · x`, as far as both reach.
pub fn add_scaled(y: &mut [f32], factor: f32, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += factor * x;
    }
}

fn same_length(what: &'static str, expected: usize, found: usize) -> Result<(), Error> {
    if expected == found {
        Ok(())
    } else {
        Err(Error::Length {
            what,
            expected,
            found,
        })
    }
}

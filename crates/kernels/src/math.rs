//! The few functions between products, the same bits on every target.
//!
//! `exp`, `sin`, `cos` and `pow` of the platform differ in their last digits from one machine to
//! the next. Here they are plain Rust: a polynomial for `exp`, which softmax and SiLU need by the
//! thousand and which the compiler turns into vector instructions, and the `libm` crate for the
//! others. Square roots, additions and products are exact to the last digit by IEEE 754 and need no
//! care but a fixed order.

use crate::Error;
use crate::scalar::add_lanes;

/// `e` to the power `x`, within 1.1 units in the last place (2 for results below 2⁻¹²⁶).
///
/// `x = k·ln 2 + r` with an integer `k` and `|r| ≤ ln 2 / 2`; `exp(r)` is `1 + r + r²·q(r)` with
/// the polynomial of degree 4 that makes the largest relative error least (4·10⁻⁹), fitted for
/// this project.
#[must_use]
#[inline]
#[allow(
    clippy::manual_clamp,
    reason = "what becomes of NaN matters, and so does speed"
)]
pub fn exp(x: f32) -> f32 {
    // Adding this leaves the nearest integer in the lowest bits of a float.
    const MAGIC: f32 = 12_582_912.0;
    // ln 2 in two parts; the first has so few digits that its product with `k` is exact.
    const LN_2_HIGH: f32 = 355.0 / 512.0;
    const LN_2_LOW: f32 = -0.000_212_194_44;
    // Beyond these the result is zero or infinity. Comparisons with NaN are false: it stays.
    let x = if x < -104.0 { -104.0 } else { x };
    let x = if x > 89.0 { 89.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let k = shifted - MAGIC;
    let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
    let q = 0.001_381_446_7_f32;
    let q = q * r + 0.008_368_781;
    let q = q * r + 0.041_668_393;
    let q = q * r + 0.166_665_2;
    let q = q * r + 0.499_999_94;
    let power = (q * (r * r) + r) + 1.0;
    // Two factors, since 2^k alone may be too large or too small. Wrapping: NaN has any bits.
    let k = shifted.to_bits().wrapping_sub(MAGIC.to_bits()) as i32;
    let half = k >> 1;
    let power_of_two = |k: i32| f32::from_bits((k.wrapping_add(127) as u32) << 23);
    power * power_of_two(half) * power_of_two(k.wrapping_sub(half))
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
    values.iter_mut().for_each(|v| *v = exp(*v - largest));
    let sum: f64 = values.iter().map(|&v| f64::from(v)).sum();
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    /// The distance from `exact` in units of the last place of a result of that size.
    fn error(found: f32, exact: f64) -> f64 {
        let exponent = exact.abs().log2().floor().max(-126.0);
        (f64::from(found) - exact).abs() / (exponent - 23.0).exp2()
    }

    #[test]
    fn exp_is_right_to_about_the_last_place() {
        let mut largest = 0f64;
        for bits in (0..=u32::MAX).step_by(641) {
            let x = f32::from_bits(bits);
            if (-103.0..=88.7).contains(&x) {
                let error = error(exp(x), f64::from(x).exp());
                assert!(
                    error < if x < -87.0 { 2.0 } else { 1.1 },
                    "exp({x}) is off by {error}"
                );
                largest = largest.max(error);
            }
        }
        assert!(largest > 0.5, "the test looks at something: {largest}");
    }

    #[test]
    fn exp_of_extremes_is_zero_infinity_or_nan() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(f32::MIN), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::MAX), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(-f32::NAN).is_nan());
    }

    #[test]
    fn softmax_adds_up_to_one_whatever_the_values() {
        let mut values = [1000.0, 999.0, -1000.0, f32::NEG_INFINITY];
        softmax(&mut values);
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(values[3], 0.0);
        softmax(&mut []);
    }

    #[test]
    fn rms_norm_brings_the_mean_square_to_one() {
        let x: Vec<f32> = (0..100).map(|i| (i as f32).sin() * 7.0).collect();
        let y = rms_norm(&x, &[1.0; 100], 1e-5).unwrap();
        let mean = y.iter().map(|v| v * v).sum::<f32>() / 100.0;
        assert!((mean - 1.0).abs() < 1e-4, "{mean}");
        assert!(rms_norm(&x, &[1.0], 1e-5).is_err());
    }

    #[test]
    fn silu_of_extremes_is_zero_or_the_value() {
        assert_eq!(silu(-1000.0), 0.0);
        assert_eq!(silu(1000.0), 1000.0);
        assert_eq!(silu(0.0), 0.0);
    }
}

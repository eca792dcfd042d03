//! Rounding of activations to bytes, one block at a time, exactly as ggml's reference code does it.

use crate::f16;

/// What a block with an infinity or a NaN becomes: every product with it is NaN, instead of the
/// damage being rounded away.
const POISONED: f32 = f32::NAN;

/// Quotients are at most 127, give or take a rounding error, so adding 1.5·2²³ leaves the integer
/// nearest to them, ties to even, in the lowest bits. Plain additions are fast on every target;
/// `round_ties_even` is a library call on x86-64 without SSE4.1.
const MAGIC: f32 = 12_582_912.0;

/// Largest absolute value, or `None` if a value is not finite.
fn largest(values: &[f32]) -> Option<f32> {
    // As integers, absolute values compare like the floats they are, and NaN is above infinity.
    let bits = values
        .iter()
        .fold(0, |m, v| m.max(v.to_bits() & 0x7fff_ffff));
    (bits < 0x7f80_0000).then(|| f32::from_bits(bits))
}

/// Rounds 32 values to bytes; returns the scale, already rounded to half precision.
pub(crate) fn q8_0(values: &[f32; 32], quants: &mut [i8]) -> f32 {
    let Some(largest) = largest(values) else {
        quants.fill(0);
        return POISONED;
    };
    let d = largest / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    if inverse.is_infinite() {
        // The scale is far below what half precision can hold: the block is zero.
        quants.fill(0);
        return 0.0;
    }
    for (quant, value) in quants.iter_mut().zip(values) {
        // Half away from zero. Just below one half, so that what lies just below a tie stays there.
        let scaled = value * inverse;
        let rounded = scaled + f32::from_bits(0x3eff_ffff).copysign(scaled);
        *quant = (rounded as i32).clamp(-127, 127) as i8;
    }
    f16::to_f32(f16::from_f32(d))
}

/// Rounds 256 values to bytes; returns the scale.
pub(crate) fn q8_k(values: &[f32; 256], quants: &mut [i8]) -> f32 {
    let Some(largest) = largest(values) else {
        quants.fill(0);
        return POISONED;
    };
    // The first of the largest values becomes −127, whatever its sign.
    let extreme = values
        .iter()
        .copied()
        .find(|v| v.abs() == largest)
        .unwrap_or(0.0);
    let inverse = -127.0 / extreme;
    if extreme == 0.0 || inverse.is_infinite() {
        quants.fill(0);
        return 0.0;
    }
    for (quant, value) in quants.iter_mut().zip(values) {
        let rounded = ((value * inverse + MAGIC).to_bits() & 0x007f_ffff) as i32 - 0x0040_0000;
        *quant = rounded.min(127) as i8;
    }
    1.0 / inverse
}

//! Half precision and bfloat16, converted in plain integer and `f32` arithmetic.
//!
//! Rust has no stable `f16`, and hardware conversion is not available everywhere; these few lines
//! give what IEEE 754 says for every input.

/// The value of half-precision bits; exact.
#[must_use]
#[inline]
pub fn to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let value = match magnitude >> 23 {
        // Subnormal: as if the hidden bit were there, which is then subtracted exactly.
        0 => (f32::from_bits(magnitude + 0x3880_0000) - f32::from_bits(0x3880_0000)).to_bits(),
        // Infinity and NaN.
        0x1f => magnitude + 0x7000_0000,
        _ => magnitude + 0x3800_0000,
    };
    f32::from_bits(sign | value)
}

/// Half-precision bits nearest to `value`, ties to even; too large becomes infinity.
#[must_use]
#[inline]
pub fn from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let half = if magnitude > 0x7f80_0000 {
        0x7e00 // every NaN becomes the same quiet one
    } else if magnitude >= 0x4780_0000 {
        0x7c00 // 65536 and above
    } else if magnitude >= 0x3880_0000 {
        // Normal. A carry out of the mantissa raises the exponent, up to infinity, as it should.
        ((magnitude - 0x3800_0000 + 0x0fff + ((magnitude >> 13) & 1)) >> 13) as u16
    } else {
        // Subnormal or zero: next to one half, the last bit of an f32 weighs 2^-24 as well.
        ((f32::from_bits(magnitude) + 0.5).to_bits() - 0x3f00_0000) as u16
    };
    sign | half
}

/// The value of bfloat16 bits; exact.
#[must_use]
#[inline]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_has_its_ieee_value() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            let found = to_f32(bits);
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn every_half_survives_the_way_to_single_precision_and_back() {
        for bits in (0..=u16::MAX).filter(|b| b & 0x7fff <= 0x7c00) {
            assert_eq!(from_f32(to_f32(bits)), bits);
        }
    }

    #[test]
    fn rounding_to_half_is_to_nearest_even_everywhere() {
        // Every 97th single-precision value, and the neighbours of every half and of every tie.
        let mut values: Vec<u32> = (0..=u32::MAX).step_by(97).collect();
        for bits in 0..0x7c00u16 {
            let tie = (to_f32(bits).to_bits() + to_f32(bits + 1).to_bits()) / 2;
            let subnormal_tie = ((to_f32(bits) + to_f32(bits + 1)) / 2.0).to_bits();
            for centre in [to_f32(bits).to_bits(), tie, subnormal_tie] {
                values.extend([centre.saturating_sub(1), centre, centre + 1]);
            }
        }
        for value in values
            .into_iter()
            .map(f32::from_bits)
            .filter(|v| !v.is_nan())
        {
            assert_eq!(
                from_f32(value),
                half::f16::from_f32(value).to_bits(),
                "{value:e}"
            );
        }
    }

    #[test]
    fn every_nan_becomes_the_same_half() {
        for bits in [0x7fc0_0000, 0x7f80_0001, 0x7fff_ffff] {
            assert_eq!(from_f32(f32::from_bits(bits)), 0x7e00);
        }
    }
}

use crate::{TensorInfo, TensorType};

/// A xorshift generator: quick, reproducible, and of no use for secrets.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        // Neighbouring seeds are spread first; zero would stay zero.
        let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self((mixed ^ (mixed >> 31)).max(1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From -1 to 1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn bytes(&mut self, count: usize, out: &mut Vec<u8>) {
        let end = out.len() + count;
        while out.len() < end {
            out.extend_from_slice(&self.next().to_le_bytes());
        }
        out.truncate(end);
    }

    /// Appends a block of weights of about this scale.
    pub(super) fn block(&mut self, tensor: &TensorInfo, scale: f32, out: &mut Vec<u8>) {
        match tensor.ty {
            TensorType::Q4_K => {
                // Sub-scales and quants average 32 × 8, the minimum takes the mean away.
                let step = scale / 256.0;
                out.extend_from_slice(&half(step));
                out.extend_from_slice(&half(step * 8.0));
                self.bytes(12 + 128, out);
            }
            TensorType::Q6_K => {
                // Signed sub-scales average 64, signed quants 16.
                self.bytes(128 + 64 + 16, out);
                out.extend_from_slice(&half(scale / 1024.0));
            }
            TensorType::Q8_0 => {
                out.extend_from_slice(&half(scale / 64.0));
                self.bytes(32, out);
            }
            TensorType::Q4_0 | TensorType::Q5_0 => {
                out.extend_from_slice(&half(scale / 16.0));
                self.bytes(tensor.ty.block_bytes() - 2, out);
            }
            TensorType::Q2_K => {
                // Sub-scales average 8, quants 1.5.
                self.bytes(16 + 64, out);
                out.extend_from_slice(&half(scale / 16.0));
                out.extend_from_slice(&half(scale / 16.0 * 1.5));
            }
            TensorType::Q3_K => {
                self.bytes(32 + 64 + 12, out);
                out.extend_from_slice(&half(scale / 64.0));
            }
            // Norms multiply: they stay about one. Routers have more than one row.
            TensorType::F32 if tensor.rows() == 1 => {
                out.extend_from_slice(&(1.0 + 0.1 * self.float()).to_le_bytes());
            }
            TensorType::F32 => out.extend_from_slice(&(scale * self.float()).to_le_bytes()),
            other => unreachable!("generated models have no tensors of type {other}"),
        }
    }
}

/// A positive number below 65,504 as a 16-bit float, cut off to its precision.
fn half(value: f32) -> [u8; 2] {
    let exponent = (value.to_bits() >> 23) as i32 - 127 + 15;
    let half = if exponent < 1 {
        // Subnormal: multiples of 2^-24.
        (value * (1u32 << 24) as f32) as u32
    } else {
        ((exponent as u32) << 10) | ((value.to_bits() >> 13) & 0x3ff)
    };
    (half as u16).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::half;

    #[test]
    fn sixteen_bit_floats_have_the_right_bits() {
        assert_eq!(half(1.0), 0x3c00u16.to_le_bytes());
        assert_eq!(half(0.5), 0x3800u16.to_le_bytes());
        assert_eq!(half(1.5), 0x3e00u16.to_le_bytes());
        assert_eq!(half(1.0 / 32768.0), 0x0200u16.to_le_bytes());
        assert_eq!(half(1e-9), [0, 0]);
    }
}

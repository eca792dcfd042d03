use super::{Blocks, Unpacked, half};

/// 256 weights: 32 bytes of third bits, 64 bytes of four quants, 12 bytes of six-bit scales that
/// are 32 too large, `d`; quants are 4 too large.
pub(crate) enum Q3K {}

impl Blocks for Q3K {
    const LEN: usize = 256;
    const BYTES: usize = 110;
    const MINS: bool = false;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 108);
        let packed = &block[96..108];
        for (i, scale) in out.scales.iter_mut().enumerate() {
            let low = if i < 8 {
                packed[i] & 15
            } else {
                packed[i - 8] >> 4
            };
            let high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
            *scale = i16::from(low | (high << 4)) - 32;
        }
        let third = &block[..32];
        for (h, bytes) in block[32..96].chunks_exact(32).enumerate() {
            let quants = &mut out.quants[128 * h..128 * h + 128];
            for (i, b) in bytes.iter().enumerate() {
                for j in 0..4 {
                    let high = (third[i] >> (4 * h + j)) & 1;
                    quants[32 * j + i] = (((b >> (2 * j)) & 3) | (high << 2)) as i8 - 4;
                }
            }
        }
    }
}

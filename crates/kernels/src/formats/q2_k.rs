use super::{Blocks, Unpacked, half};

/// 256 weights: 16 bytes of a four-bit scale and a four-bit minimum, 64 bytes of four quants, `d`,
/// `dmin`.
pub(crate) enum Q2K {}

impl Blocks for Q2K {
    const LEN: usize = 256;
    const BYTES: usize = 84;
    const MINS: bool = true;
    const SCALES: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], out: &mut Unpacked) {
        out.d = half(block, 80);
        out.dmin = half(block, 82);
        for (i, b) in block[..16].iter().enumerate() {
            out.scales[i] = i16::from(b & 15);
            out.mins[i] = i16::from(b >> 4);
        }
        for (bytes, quants) in block[16..80]
            .chunks_exact(32)
            .zip(out.quants.chunks_exact_mut(128))
        {
            for (i, b) in bytes.iter().enumerate() {
                for j in 0..4 {
                    quants[32 * j + i] = ((b >> (2 * j)) & 3) as i8;
                }
            }
        }
    }
}

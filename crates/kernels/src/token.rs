use crate::activations::Quantised;

/// The activations of one token, as bytes or widened to 16 bits.
pub(crate) struct Token<'a, Q> {
    pub(crate) quants: &'a [Q],
    /// Sums of 16 quants.
    pub(crate) sums16: &'a [i16],
    /// Sums of 32 quants.
    pub(crate) sums32: &'a [i16],
    /// One per block.
    pub(crate) scales: &'a [f32],
}

/// A block of 256 activations.
pub(crate) struct Wide<'a, Q> {
    pub(crate) quants: &'a [Q; 256],
    pub(crate) sums16: &'a [i16; 16],
    pub(crate) sums32: &'a [i16; 8],
    pub(crate) scale: f32,
}

impl<'a, Q> Token<'a, Q> {
    /// Token number `t` of several, with its quants as they are or widened.
    pub(crate) fn new(x: &'a Quantised, quants: &'a [Q], t: usize) -> Self {
        let width = quants.len();
        let scales = x.scales.len() / (x.quants.len() / width);
        Self {
            quants,
            sums16: &x.sums16[t * width / 16..(t + 1) * width / 16],
            sums32: &x.sums32[t * width / 32..(t + 1) * width / 32],
            scales: &x.scales[t * scales..(t + 1) * scales],
        }
    }

    /// The blocks of activations rounded to Q8_K.
    #[inline(always)]
    pub(crate) fn wide_blocks(&self) -> impl Iterator<Item = Wide<'a, Q>> {
        let quants = self.quants.as_chunks().0.iter();
        let sums = self
            .sums16
            .as_chunks()
            .0
            .iter()
            .zip(self.sums32.as_chunks().0);
        quants
            .zip(sums)
            .zip(self.scales)
            .map(|((quants, (sums16, sums32)), &scale)| Wide {
                quants,
                sums16,
                sums32,
                scale,
            })
    }
}

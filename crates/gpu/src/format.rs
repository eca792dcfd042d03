//! The weights as shaders read them: words of 32 bits, each block beginning at one.

use gguf::TensorType;

/// A type of weights that there is a shader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Q4K,
    Q6K,
    Q80,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Q4K, Self::Q6K, Self::Q80];

    pub(crate) fn of(ty: TensorType) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.tensor_type() == ty)
    }

    pub(crate) const fn tensor_type(self) -> TensorType {
        match self {
            Self::Q4K => TensorType::Q4_K,
            Self::Q6K => TensorType::Q6_K,
            Self::Q80 => TensorType::Q8_0,
        }
    }

    pub(crate) const fn shader(self) -> &'static str {
        match self {
            Self::Q4K => include_str!("shaders/q4_k.wgsl"),
            Self::Q6K => include_str!("shaders/q6_k.wgsl"),
            Self::Q80 => include_str!("shaders/q8_0.wgsl"),
        }
    }

    /// Where in a block zeros are put in so that everything behind begins at a word: after how many bytes, how many.
    const fn gap(self) -> (usize, usize) {
        match self {
            Self::Q4K => (0, 0),
            // Behind the last scale.
            Self::Q6K => (210, 2),
            // Between the scale and the quants.
            Self::Q80 => (2, 2),
        }
    }

    /// Words of a block.
    pub(crate) fn block_words(self) -> usize {
        (self.tensor_type().block_bytes() + self.gap().1) / 4
    }

    /// The blocks, each with its gap.
    pub(crate) fn pack(self, weights: &[u8]) -> Vec<u8> {
        let (at, len) = self.gap();
        if len == 0 {
            return weights.to_vec();
        }
        let block = self.tensor_type().block_bytes();
        let mut packed = Vec::with_capacity(weights.len() / block * (block + len));
        for bytes in weights.chunks_exact(block) {
            packed.extend_from_slice(&bytes[..at]);
            packed.resize(packed.len() + len, 0);
            packed.extend_from_slice(&bytes[at..]);
        }
        packed
    }
}

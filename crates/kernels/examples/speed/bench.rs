//! What is timed, natively and in a browser: products over more weights than the caches hold, and
//! a plain read of as many bytes.
#![allow(unreachable_pub, reason = "each user takes what it needs")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run may stop")]

use gguf::TensorType;
use kernels::{Activations, Isa, encoding_for, matmul_with};

/// Weights in a row.
pub const WIDTH: usize = 4096;

/// Random bytes, and what is computed from them.
pub struct Bench {
    bytes: Vec<u8>,
    y: Vec<f32>,
    /// Where the next work begins: each finds weights that have left the caches.
    next: usize,
}

impl Bench {
    pub fn new(bytes: usize) -> Self {
        let mut state = 1u64;
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Exponents neither high nor low: what is infinite or subnormal is none of a model's
            // weights, and some processors take long over it.
            (state & 0xbfbf_bfbf_bfbf_bfbf | 0x2000_2000_2000_2000).to_le_bytes()
        });
        Self {
            bytes: words.take(bytes / 8).flatten().collect(),
            y: Vec::new(),
            next: 0,
        }
    }

    /// Activations for weights of a type.
    pub fn activations(ty: TensorType, tokens: usize) -> Activations {
        let x: Vec<f32> = (0..WIDTH * tokens)
            .map(|i| ((i * 37) % 255) as f32 - 127.0)
            .collect();
        Activations::encode(encoding_for(ty).unwrap(), WIDTH, &x).unwrap()
    }

    fn slice(&mut self, bytes: usize) -> std::ops::Range<usize> {
        if self.next + bytes > self.bytes.len() {
            self.next = 0;
        }
        let start = self.next;
        self.next += bytes;
        start..start + bytes
    }

    /// Multiplies about so many bytes of weights; returns how many exactly.
    pub fn multiply(&mut self, isa: Isa, ty: TensorType, bytes: usize, x: &Activations) -> usize {
        let row = WIDTH / ty.block_len() * ty.block_bytes();
        let rows = bytes / row;
        self.y.resize(rows * x.tokens(), 0.0);
        let range = self.slice(rows * row);
        matmul_with(isa, ty, &self.bytes[range], rows, x, &mut self.y).unwrap();
        rows * row
    }

    /// Reads about so many bytes; returns how many exactly.
    pub fn read(&mut self, bytes: usize) -> usize {
        let range = self.slice(bytes);
        let mut sums = [0u64; 32];
        for chunk in self.bytes[range].as_chunks::<256>().0 {
            for (sum, word) in sums.iter_mut().zip(chunk.as_chunks::<8>().0) {
                *sum ^= u64::from_le_bytes(*word);
            }
        }
        std::hint::black_box(sums);
        bytes
    }
}

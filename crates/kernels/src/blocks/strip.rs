use std::marker::PhantomData;

use crate::formats::{Blocks, WORDS};
use crate::lanes::{Lanes, Rows};

/// Packed rows, one after the other, as many as a vector has lanes.
pub(super) struct Strip<'a> {
    bytes: &'a [u8],
    row_bytes: usize,
}

impl<'a> Strip<'a> {
    /// The rows from `first` on.
    #[inline(always)]
    pub(super) fn new<L: Lanes>(weights: &'a [u8], row_bytes: usize, first: usize) -> Self {
        Self {
            bytes: &weights[first * row_bytes..(first + L::LANES) * row_bytes],
            row_bytes,
        }
    }

    /// Block number `b` of each row as words.
    #[inline(always)]
    pub(super) fn words<L: Lanes, B: Blocks>(&self, l: L, b: usize, words: &mut [L::Word; WORDS]) {
        assert!(
            self.bytes.len() == L::LANES * self.row_bytes && (b + 1) * B::BYTES <= self.row_bytes
        );
        let (chunks, _) = words.as_chunks_mut::<4>();
        for (&at, words) in B::CHUNKS.iter().zip(chunks) {
            debug_assert!(at + 16 <= B::BYTES);
            let chunk = Chunk {
                // SAFETY: the block is within the row, as asserted above, and so this place.
                start: unsafe { self.bytes.as_ptr().add(b * B::BYTES + at) },
                stride: self.row_bytes,
                lanes: L::LANES,
                lifetime: PhantomData,
            };
            let transposed = l.transpose(&chunk);
            for (v, word) in transposed.into_iter().zip(words) {
                l.store(v, word);
            }
        }
        // What comes after this strip lies together: a little of it is fetched with each block.
        let size = L::LANES * B::BYTES;
        let ahead = self.bytes.as_ptr_range().end.wrapping_add(b * size);
        for line in (0..size).step_by(64) {
            l.prefetch(ahead.wrapping_add(line));
        }
    }
}

/// 16 bytes at the same place of each row of a strip.
struct Chunk<'a> {
    /// Of the first row. As many rows as there are lanes have 16 bytes there, `stride` apart.
    start: *const u8,
    stride: usize,
    lanes: usize,
    lifetime: PhantomData<&'a [u8]>,
}

impl Rows for Chunk<'_> {
    #[inline(always)]
    fn chunk(&self, lane: usize) -> &[u8; 16] {
        debug_assert!(lane < self.lanes);
        // SAFETY: the bytes are those of a strip that outlives this, see `start`; instruction sets
        // ask for the lanes they have.
        unsafe { &*self.start.add(lane * self.stride).cast() }
    }
}

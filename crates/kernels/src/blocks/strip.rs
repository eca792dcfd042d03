use std::marker::PhantomData;

use crate::formats::{Block, Blocks};
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

    /// Block number `b` of each row.
    #[inline(always)]
    pub(super) fn block<L: Lanes, B: Blocks>(&self, b: usize) -> StripBlock<'a> {
        assert!(
            self.bytes.len() == L::LANES * self.row_bytes && (b + 1) * B::BYTES <= self.row_bytes
        );
        StripBlock {
            // SAFETY: the block is within the row, as asserted above.
            start: unsafe { self.bytes.as_ptr().add(b * B::BYTES) },
            ahead: self
                .bytes
                .as_ptr_range()
                .end
                .wrapping_add(b * L::LANES * B::BYTES),
            len: B::BYTES,
            stride: self.row_bytes,
            lanes: L::LANES,
            lifetime: PhantomData,
        }
    }
}

/// The same block of each row of a strip.
pub(super) struct StripBlock<'a> {
    /// Of the first row. As many rows as there are `lanes` have `len` bytes there, `stride` apart.
    start: *const u8,
    /// A part of the strip after this one, as long as this block of all rows.
    ahead: *const u8,
    len: usize,
    stride: usize,
    lanes: usize,
    lifetime: PhantomData<&'a [u8]>,
}

impl<L: Lanes> Block<L> for StripBlock<'_> {
    #[inline(always)]
    fn chunk(&self, l: L, at: usize) -> [L::Int; 4] {
        assert!(at + 16 <= self.len && L::LANES == self.lanes);
        // What comes after this strip lies together: as much of it is fetched as is used here.
        for line in (0..16 * L::LANES).step_by(64) {
            l.prefetch(self.ahead.wrapping_add(at * L::LANES + line));
        }
        l.transpose(&Chunk { block: self, at })
    }
}

/// 16 bytes at the same place, not too near to the end, of the same block of each row of a strip.
struct Chunk<'a> {
    block: &'a StripBlock<'a>,
    at: usize,
}

impl Rows for Chunk<'_> {
    #[inline(always)]
    fn chunk(&self, lane: usize) -> &[u8; 16] {
        debug_assert!(lane < self.block.lanes);
        // SAFETY: instruction sets ask for the lanes they have; there the row has the bytes, which
        // live as long as the block.
        unsafe {
            let row = self.block.start.add(lane * self.block.stride);
            &*row.add(self.at).cast()
        }
    }
}

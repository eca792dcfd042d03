use std::{cell::Cell, marker::PhantomData};

use crate::formats::{Block, Blocks};
use crate::lanes::{Chunks, Lanes};

/// As many blocks as a vector has lanes, at equal distances.
pub(super) struct Beside<'a> {
    /// Of the first block. As many as there are `lanes` have `len` bytes there, `stride` apart.
    start: *const u8,
    /// What will be read soon, as long as these blocks together.
    ahead: *const u8,
    /// Bytes of each block for which as much was asked for ahead.
    fetched: Cell<usize>,
    len: usize,
    stride: usize,
    lanes: usize,
    lifetime: PhantomData<&'a [u8]>,
}

impl<'a> Beside<'a> {
    /// The blocks that begin at `first` and every `stride` bytes after it.
    #[inline(always)]
    pub(super) fn new<L: Lanes, B: Blocks>(
        bytes: &'a [u8],
        first: usize,
        stride: usize,
        ahead: *const u8,
    ) -> Self {
        assert!(first + (L::LANES - 1) * stride + B::BYTES <= bytes.len());
        Self {
            // SAFETY: the last block, which is the furthest, is within the bytes, as asserted above.
            start: unsafe { bytes.as_ptr().add(first) },
            ahead,
            fetched: Cell::new(0),
            len: B::BYTES,
            stride,
            lanes: L::LANES,
            lifetime: PhantomData,
        }
    }
}

impl<L: Lanes> Block<L> for Beside<'_> {
    #[inline(always)]
    fn chunk(&self, l: L, at: usize) -> [L::Int; 4] {
        assert!(at + 16 <= self.len && L::LANES == self.lanes);
        // As much is asked for as is used here, in the order in which it lies: all at once would be
        // more requests than memory keeps open.
        let fetched = self.fetched.get();
        if fetched < self.len {
            self.fetched.set(fetched + 16);
            for line in (0..16 * L::LANES).step_by(64) {
                l.prefetch(self.ahead.wrapping_add(fetched * L::LANES + line));
            }
        }
        l.transpose(&Chunk { blocks: self, at })
    }
}

/// 16 bytes at the same place, not too near to the end, of each block.
struct Chunk<'a> {
    blocks: &'a Beside<'a>,
    at: usize,
}

impl Chunks for Chunk<'_> {
    #[inline(always)]
    fn chunk(&self, lane: usize) -> &[u8; 16] {
        debug_assert!(lane < self.blocks.lanes);
        // SAFETY: instruction sets ask for the lanes they have; there the block has the bytes,
        // which live as long as this.
        unsafe {
            let block = self.blocks.start.add(lane * self.blocks.stride);
            &*block.add(self.at).cast()
        }
    }
}

//! Digests of a model's files, made piece by piece behind whoever reads or writes them: what was just read or written
//! is still in the system's cache, and need not come from the disk again.

use std::{
    io::{Read, Seek},
    ops::Range,
};

use sha2::{Digest, Sha256};

use crate::{
    assemble::{SourceError, read_at},
    model_files::{Extent, ranges},
    progress::Progress,
};

/// Files are read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// SHA-256 of each of a model's files.
pub(crate) struct Trailing {
    hashes: Vec<Sha256>,
    /// What of the imaginary file belongs to which file, in order.
    segments: Vec<(Range<u64>, usize)>,
    position: u64,
    piece: Vec<u8>,
}

impl Trailing {
    pub(crate) fn new(extents: &[Extent]) -> Self {
        let of = |file| ranges(extents, file).map(|range| (range, file));
        let mut segments: Vec<_> = (0..extents.len()).flat_map(of).collect();
        segments.sort_unstable_by_key(|(range, file)| (range.start, range.end, *file));
        Self {
            hashes: vec![Sha256::new(); extents.len()],
            segments,
            position: 0,
            piece: Vec::new(),
        }
    }

    /// Up to where the imaginary file was read.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Reads on up to a position in the imaginary file, or to its end.
    pub(crate) fn advance(
        &mut self,
        source: &mut (impl Read + Seek),
        to: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        for (range, file) in &self.segments {
            let end = range.end.min(to);
            while range.contains(&self.position) && self.position < end {
                let len = (end - self.position).min(PIECE_BYTES);
                self.piece.resize(len as usize, 0);
                read_at(source, self.position, &mut self.piece)?;
                self.hashes[*file].update(&self.piece);
                self.position += len;
                progress.advance(len);
            }
        }
        Ok(())
    }

    /// The digests, once everything was read.
    pub(crate) fn finish(self) -> Vec<[u8; 32]> {
        let digests = self.hashes.into_iter();
        digests.map(|hash| hash.finalize().into()).collect()
    }
}

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
    progress::{Progress, Stage},
};

/// Files are read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// Makes SHA-256 of each of a model's files, behind whoever reads or writes them as one imaginary file `S`.
pub(crate) trait Follow<S> {
    /// Everything before this position was just read or written, or most of it.
    fn follow(&mut self, files: &mut S, to: u64) -> Result<(), SourceError>;

    /// Hashes what is left, as a stage of its own, and returns the digests.
    fn finish(
        self,
        files: &mut S,
        stage: Stage,
        progress: &mut dyn Progress,
    ) -> Result<Vec<[u8; 32]>, SourceError>;
}

/// Follows between the reads or writes of its caller.
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

    /// Hashes on up to a position in the imaginary file.
    pub(crate) fn advance(
        &mut self,
        files: &mut (impl Read + Seek),
        to: u64,
        progress: &mut dyn Progress,
    ) -> Result<(), SourceError> {
        for (range, file) in &self.segments {
            let end = range.end.min(to);
            while range.contains(&self.position) && self.position < end {
                let len = (end - self.position).min(PIECE_BYTES);
                self.piece.resize(len as usize, 0);
                read_at(files, self.position, &mut self.piece)?;
                self.hashes[*file].update(&self.piece);
                self.position += len;
                progress.advance(len);
            }
        }
        Ok(())
    }
}

impl<S: Read + Seek> Follow<S> for Trailing {
    fn follow(&mut self, files: &mut S, to: u64) -> Result<(), SourceError> {
        self.advance(files, to, &mut ())
    }

    fn finish(
        mut self,
        files: &mut S,
        stage: Stage,
        progress: &mut dyn Progress,
    ) -> Result<Vec<[u8; 32]>, SourceError> {
        let end = self.segments.last().map_or(0, |(range, _)| range.end);
        progress.begin(stage, end - self.position);
        self.advance(files, end, progress)?;
        let digests = self.hashes.into_iter();
        Ok(digests.map(|hash| hash.finalize().into()).collect())
    }
}

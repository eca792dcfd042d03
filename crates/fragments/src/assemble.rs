//! Reads the bytes of fragments from a model's file.
//!
//! Feed-forward slices take a few columns of every row of `down`. Read fragment by fragment, that would be a
//! few hundred bytes out of every 20 KB, again and again over the whole tensor. So several fragments are
//! filled at once, and rows are read whole, in order, in pieces of a megabyte.

use std::io::{self, Read, Seek, SeekFrom};

use gguf::Header;

use crate::{
    fragment::prefix_and_description,
    plan::FragmentPlan,
    runs::{Run, runs},
};

/// Fragments that are filled at once take this much memory together, or are one.
const WINDOW_BYTES: u64 = 64 << 20;

/// Rows are read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// Skipping less than this costs more than reading it, on most disks.
const WORTH_SKIPPING: u64 = 128 << 10;

/// The model's file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the model's file at byte {position}: {source}")]
pub struct SourceError {
    /// Where.
    pub position: u64,
    /// Why.
    pub source: io::Error,
}

/// How many of the next fragments to assemble at once.
pub(crate) fn window(fragments: &[FragmentPlan]) -> usize {
    let mut bytes = 0;
    let fitting = fragments.iter().take_while(|fragment| {
        bytes += u64::from(fragment.file_len);
        bytes <= WINDOW_BYTES
    });
    fitting.count().max(1).min(fragments.len())
}

/// Makes `files` those of these fragments. Their memory is taken over: that of new ones would come from the system page by
/// page, which takes longer than to fill it.
pub(crate) fn assemble(
    header: &Header,
    fragments: &[FragmentPlan],
    source: &mut (impl Read + Seek),
    files: &mut Vec<Vec<u8>>,
) -> Result<(), SourceError> {
    files.resize_with(fragments.len(), Vec::new);
    let mut wanted = Vec::new();
    for (index, (fragment, file)) in fragments.iter().zip(files.iter_mut()).enumerate() {
        file.clear();
        file.extend_from_slice(&prefix_and_description(header, fragment));
        let start = file.len();
        file.resize(start + fragment.payload_len as usize, 0);
        wanted.extend(
            runs(header, fragment)
                .into_iter()
                .map(|run| (run, index, start)),
        );
    }
    // In the file's order, and those that share rows together.
    wanted.sort_unstable();
    for group in wanted.chunk_by(|(a, ..), (b, ..)| {
        a.count > 1 && (a.base, a.stride, a.count) == (b.base, b.stride, b.count)
    }) {
        match group {
            [(run, file, start)] if run.count == 1 => {
                let target = &mut files[*file][start + run.offset as usize..][..run.len as usize];
                read_at(source, run.position(0), target)?;
            }
            _ => read_columns(source, group, files)?,
        }
    }
    Ok(())
}

/// Reads pieces of the same rows into several files.
fn read_columns(
    source: &mut (impl Read + Seek),
    group: &[(Run, usize, usize)],
    files: &mut [Vec<u8>],
) -> Result<(), SourceError> {
    let Some(&(rows, ..)) = group.first() else {
        return Ok(());
    };
    let from = group.iter().map(|(run, ..)| run.skip).min().unwrap_or(0);
    let to = group
        .iter()
        .map(|(run, ..)| run.skip + run.len)
        .max()
        .unwrap_or(0);
    let span = to - from;
    let batch = if rows.stride - span < WORTH_SKIPPING {
        (PIECE_BYTES / rows.stride).max(1)
    } else {
        1
    };
    let mut buffer = Vec::new();
    for first in (0..rows.count).step_by(batch as usize) {
        let count = batch.min(rows.count - first);
        buffer.resize(((count - 1) * rows.stride + span) as usize, 0);
        read_at(source, rows.base + first * rows.stride + from, &mut buffer)?;
        for &(run, file, start) in group {
            let len = run.len as usize;
            for row in 0..count {
                let piece = &buffer[(row * rows.stride + run.skip - from) as usize..][..len];
                let target = start + run.offset as usize + (first + row) as usize * len;
                files[file][target..][..len].copy_from_slice(piece);
            }
        }
    }
    Ok(())
}

pub(crate) fn read_at(
    source: &mut (impl Read + Seek),
    position: u64,
    target: &mut [u8],
) -> Result<(), SourceError> {
    let mut read = || {
        source.seek(SeekFrom::Start(position))?;
        source.read_exact(target)
    };
    read().map_err(|source| SourceError { position, source })
}

//! Column slices on their way back into their tensor.
//!
//! A fragment has a few hundred bytes of each of some thousand rows. Written row by row, that would be millions of
//! writes; so slices wait until their neighbours are there and go out as long pieces of rows, or whole ones.

use std::collections::BTreeMap;

use crate::runs::Run;

/// Slices that wait take this much memory at most, or are those of one fragment.
const WAITING_BYTES: usize = 64 << 20;

/// Whole rows are put together in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;

/// The rows that slices share: where the first starts in the file, how far they are apart, how many there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rows {
    base: u64,
    stride: u64,
    count: u64,
}

/// The same columns of all of these rows.
struct Slice {
    skip: u64,
    len: u64,
    bytes: Vec<u8>,
}

/// Slices that wait for their neighbours.
#[derive(Default)]
pub(crate) struct Bands {
    waiting: BTreeMap<Rows, Vec<Slice>>,
    bytes: usize,
}

impl Bands {
    /// Takes the bytes of a run of more than one piece. What has to be written is given to `write`.
    pub(crate) fn add<E>(
        &mut self,
        run: &Run,
        bytes: &[u8],
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let rows = Rows {
            base: run.base,
            stride: run.stride,
            count: run.count,
        };
        let band = self.waiting.entry(rows).or_default();
        band.push(Slice {
            skip: run.skip,
            len: run.len,
            bytes: bytes.to_vec(),
        });
        self.bytes += bytes.len();
        if band.iter().map(|slice| slice.len).sum::<u64>() == rows.stride {
            let band = std::mem::take(band);
            self.waiting.remove(&rows);
            self.bytes -= band.iter().map(|slice| slice.bytes.len()).sum::<usize>();
            write_band(rows, band, write)?;
        }
        if self.bytes > WAITING_BYTES {
            self.write_all(write)?;
        }
        Ok(())
    }

    /// Where the first byte is that waits.
    pub(crate) fn first(&self) -> Option<u64> {
        // Rows that share bytes have the same base, and keys are in its order.
        self.waiting.keys().next().map(|rows| rows.base)
    }

    /// Writes all that waits.
    pub(crate) fn write_all<E>(
        &mut self,
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
            .into_iter()
            .try_for_each(|(rows, band)| write_band(rows, band, write))
    }
}

fn write_band<E>(
    rows: Rows,
    mut band: Vec<Slice>,
    write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    band.sort_unstable_by_key(|slice| slice.skip);
    let mut buffer = Vec::new();
    for neighbours in band.chunk_by(|a, b| a.skip + a.len == b.skip) {
        let width: u64 = neighbours.iter().map(|slice| slice.len).sum();
        let skip = neighbours.first().map_or(0, |first| first.skip);
        // Whole rows follow each other in the file.
        let batch = if width == rows.stride {
            (PIECE_BYTES / width).max(1)
        } else {
            1
        };
        for first in (0..rows.count).step_by(batch as usize) {
            let count = batch.min(rows.count - first);
            buffer.clear();
            for row in first..first + count {
                for slice in neighbours {
                    let len = slice.len as usize;
                    buffer.extend_from_slice(&slice.bytes[row as usize * len..][..len]);
                }
            }
            write(rows.base + first * rows.stride + skip, &buffer)?;
        }
    }
    Ok(())
}

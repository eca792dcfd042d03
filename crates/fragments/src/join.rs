use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::{
    assemble::SourceError,
    cut::sha256,
    fragment::FragmentError,
    id::FragmentId,
    manifest::Manifest,
    progress::{Progress, Stage},
    runs::runs,
    size::Size,
    store::{Store, StoreError},
};

/// Fragments could not be joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Some fragments are not there.
    #[error("{} of {total} fragments are missing, first {}", .missing.len(), .missing[0])]
    Missing {
        /// Which. Not empty.
        missing: Vec<FragmentId>,
        /// Fragments of the model.
        total: usize,
    },
    /// A fragment is not what it must be.
    #[error(transparent)]
    Fragment(#[from] FragmentError),
    /// A fragment cannot be read.
    #[error("cannot read a fragment: {0}")]
    Store(#[from] StoreError),
    /// There is no room for the model.
    #[error(
        "no room left: {} more are needed for the model; the fragments are untouched",
        Size(*.missing)
    )]
    Full {
        /// Bytes that were not written yet.
        missing: u64,
    },
    /// The output cannot be written.
    #[error("cannot write the model at byte {position}: {source}")]
    Output {
        /// Where.
        position: u64,
        /// Why.
        source: io::Error,
    },
    /// The output cannot be read back.
    #[error("cannot check the joined model: {0}")]
    ReadBack(#[from] SourceError),
    /// The joined file is not the model. The fragments are what the manifest names, so the manifest is false.
    #[error("the joined file is not the model: its manifest is false")]
    WrongDigest,
    /// The output's file exists already.
    #[error("{0} exists already")]
    Exists(std::path::PathBuf),
}

/// Joins a model's fragments into an empty output and checks that it is the identical file. Holds one fragment
/// at a time.
pub fn join(
    manifest: &Manifest,
    store: &(impl Store + ?Sized),
    output: &mut (impl Read + Write + Seek),
    progress: &mut dyn Progress,
) -> Result<(), JoinError> {
    let ids = manifest.fragment_ids();
    let mut missing = Vec::new();
    for id in ids {
        if !store.contains(id)? {
            missing.push(*id);
        }
    }
    if !missing.is_empty() {
        return Err(JoinError::Missing {
            missing,
            total: ids.len(),
        });
    }

    let file_len = manifest.file_len();
    progress.begin(Stage::Joining, file_len);
    let mut output = Output {
        output,
        position: u64::MAX,
        written: 0,
        file_len,
    };
    output.write(0, manifest.header_bytes())?;
    for (position, bytes) in manifest.padding() {
        output.write(position, bytes)?;
    }
    progress.advance(output.written);
    for ((index, id), plan) in (0..).zip(ids).zip(&manifest.plan().fragments) {
        let missing = || JoinError::Missing {
            missing: vec![*id],
            total: ids.len(),
        };
        let bytes = store.get(id)?.ok_or_else(missing)?;
        let fragment = manifest.open_fragment(index, bytes)?;
        for run in runs(manifest.header(), plan) {
            let pieces = fragment.payload()[run.offset as usize..].chunks_exact(run.len as usize);
            for (row, piece) in (0..run.count).zip(pieces) {
                output.write(run.position(row), piece)?;
            }
        }
        progress.advance(plan.payload_len.into());
    }
    output.fill_end()?;

    if sha256(output.output, file_len, Stage::Checking, progress)? == *manifest.sha256() {
        Ok(())
    } else {
        Err(JoinError::WrongDigest)
    }
}

struct Output<'a, W> {
    output: &'a mut W,
    /// Where the output is, to seek only when needed.
    position: u64,
    written: u64,
    file_len: u64,
}

impl<W: Write + Seek> Output<'_, W> {
    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), JoinError> {
        let mut write = || {
            if self.position != position {
                self.output.seek(SeekFrom::Start(position))?;
            }
            self.output.write_all(bytes)
        };
        if let Err(source) = write() {
            return Err(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JoinError::Full {
                    missing: self.file_len.saturating_sub(self.written),
                },
                _ => JoinError::Output { position, source },
            });
        }
        self.position = position + bytes.len() as u64;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Padding of zeros at the end was skipped; makes the file as long as it must be.
    fn fill_end(&mut self) -> Result<(), JoinError> {
        let end = self.output.seek(SeekFrom::End(0));
        let end = end.map_err(|source| JoinError::Output {
            position: self.file_len,
            source,
        })?;
        self.position = end;
        if end < self.file_len {
            // At most one gap of padding.
            self.write(end, &vec![0; (self.file_len - end) as usize])?;
        }
        Ok(())
    }
}

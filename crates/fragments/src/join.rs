use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::{
    assemble::SourceError,
    bands::Bands,
    fragment::FragmentError,
    id::FragmentId,
    manifest::Manifest,
    model_files::Span,
    progress::{Progress, Stage},
    runs::runs,
    size::Size,
    store::{Store, StoreError},
    trailing::{Follow, Trailing},
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
    /// Not one output for each of the model's files.
    #[error("the model has {expected} files, {found} outputs were given")]
    Outputs {
        /// Files of the model.
        expected: usize,
        /// Outputs.
        found: usize,
    },
    /// The output's file exists already.
    #[error("{0} exists already")]
    Exists(std::path::PathBuf),
}

/// Joins a model's fragments into empty outputs, one for each of the model's files, and checks that they are the
/// identical files. Holds one fragment at a time, and some 64 MiB of slices that wait for their neighbours.
pub fn join<W: Read + Write + Seek>(
    manifest: &Manifest,
    store: &(impl Store + ?Sized),
    outputs: Vec<W>,
    progress: &mut dyn Progress,
) -> Result<(), JoinError> {
    let hashing = Trailing::new(manifest.extents());
    join_with(manifest, store, outputs, hashing, progress)
}

/// The same with another way to hash what was written.
pub(crate) fn join_with<W: Read + Write + Seek>(
    manifest: &Manifest,
    store: &(impl Store + ?Sized),
    outputs: Vec<W>,
    mut hashing: impl Follow<Span<W>>,
    progress: &mut dyn Progress,
) -> Result<(), JoinError> {
    let extents = manifest.extents();
    let (expected, found) = (extents.len(), outputs.len());
    if expected != found {
        return Err(JoinError::Outputs { expected, found });
    }
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
        files: Span::new(outputs, extents),
        written: 0,
        file_len,
    };
    output.write(0, manifest.header_bytes())?;
    for (position, bytes) in manifest.padding() {
        output.write(position, bytes)?;
    }
    progress.advance(output.written);
    let mut bands = Bands::default();
    let still_missing = first_missing(manifest);
    for ((index, id), plan) in (0..).zip(ids).zip(&manifest.plan().fragments) {
        let missing = || JoinError::Missing {
            missing: vec![*id],
            total: ids.len(),
        };
        let bytes = store.get(id)?.ok_or_else(missing)?;
        let fragment = manifest.open_fragment(index, bytes)?;
        let mut write = |position, bytes: &[u8]| output.write(position, bytes);
        for run in runs(manifest.header(), plan) {
            let bytes =
                &fragment.payload()[run.offset as usize..][..(run.count * run.len) as usize];
            match run.count {
                1 => write(run.position(0), bytes)?,
                _ => bands.add(&run, bytes, &mut write)?,
            }
        }
        progress.advance(plan.payload_len.into());
        let complete = still_missing[index as usize].min(bands.first().unwrap_or(u64::MAX));
        hashing.follow(&mut output.files, complete)?;
    }
    bands.write_all(&mut |position, bytes| output.write(position, bytes))?;

    let sha256 = hashing.finish(&mut output.files, Stage::Checking, progress)?;
    if sha256 == manifest.sha256() {
        Ok(())
    } else {
        Err(JoinError::WrongDigest)
    }
}

/// For each fragment, where the first byte is that only later fragments have.
fn first_missing(manifest: &Manifest) -> Vec<u64> {
    let plans = &manifest.plan().fragments;
    let mut missing = vec![manifest.file_len(); plans.len()];
    let mut first = manifest.file_len();
    for (index, plan) in plans.iter().enumerate().rev() {
        missing[index] = first;
        let runs = runs(manifest.header(), plan);
        let start = runs.iter().map(|run| run.position(0)).min();
        first = first.min(start.unwrap_or(u64::MAX));
    }
    missing
}

struct Output<W> {
    files: Span<W>,
    written: u64,
    file_len: u64,
}

impl<W: Write + Seek> Output<W> {
    fn write(&mut self, position: u64, bytes: &[u8]) -> Result<(), JoinError> {
        let mut write = || {
            self.files.seek(SeekFrom::Start(position))?;
            self.files.write_all(bytes)
        };
        if let Err(source) = write() {
            return Err(match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => JoinError::Full {
                    missing: self.file_len.saturating_sub(self.written),
                },
                _ => JoinError::Output { position, source },
            });
        }
        self.written += bytes.len() as u64;
        Ok(())
    }
}

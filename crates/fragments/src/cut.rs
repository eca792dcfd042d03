use std::io::{self, Read, Seek, SeekFrom};

use gguf::Header;
use sha2::{Digest, Sha256};

use crate::{
    assemble::{SourceError, assemble, read_at, window},
    id::FragmentId,
    manifest::{Contents, Manifest},
    plan::{Plan, PlanError, gaps},
    progress::{Progress, Stage},
    size::Size,
    store::{Store, StoreError},
};

/// The model's file is hashed in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// A model could not be cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// Its header cannot be read.
    #[error("cannot read the model: {0}")]
    Gguf(#[from] gguf::Error),
    /// It cannot be cut with this fragment size.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Its file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// There is no room for all fragments.
    #[error(
        "no room left at {place}: up to {} more are needed; the {stored} of {total} fragments \
         stored so far are safe, and cutting again goes on from there",
        Size(*.missing)
    )]
    Full {
        /// Where.
        place: String,
        /// Bytes of the fragments that are not stored yet. Some may be, from an earlier attempt.
        missing: u64,
        /// Fragments stored.
        stored: usize,
        /// Fragments of the model.
        total: usize,
    },
    /// A fragment could not be stored.
    #[error("cannot store a fragment: {0}")]
    Store(#[from] StoreError),
}

/// Cuts a model into a store and returns its manifest, which the caller keeps. Holds some 64 MiB, or one
/// fragment if that is more. Interrupted and started again, it does not write again what is stored.
pub fn cut(
    source: &mut (impl Read + Seek),
    fragment_size: u32,
    store: &(impl Store + ?Sized),
    progress: &mut dyn Progress,
) -> Result<Manifest, CutError> {
    cut_with(source, fragment_size, progress, |id, bytes| {
        store.put(&id, &bytes).map(drop)
    })
}

pub(crate) fn cut_with(
    source: &mut (impl Read + Seek),
    fragment_size: u32,
    progress: &mut dyn Progress,
    mut store: impl FnMut(FragmentId, Vec<u8>) -> Result<(), StoreError>,
) -> Result<Manifest, CutError> {
    let file_len = source
        .seek(SeekFrom::End(0))
        .map_err(|source| SourceError {
            position: 0,
            source,
        })?;
    source.rewind().map_err(|source| SourceError {
        position: 0,
        source,
    })?;
    let (header, header_bytes) = Header::read(source, Some(file_len))?;
    let plan = Plan::new(&header, file_len, fragment_size)?;

    let total = plan.fragments.len();
    let mut missing: u64 = plan
        .fragments
        .iter()
        .map(|fragment| u64::from(fragment.file_len))
        .sum();
    progress.begin(Stage::Cutting, missing);
    let mut digests = Vec::with_capacity(total);
    while digests.len() < total {
        let rest = &plan.fragments[digests.len()..];
        for file in assemble(&header, &rest[..window(rest)], source)? {
            let (id, len) = (FragmentId::of(&file), file.len() as u64);
            store(id, file).map_err(|error| match error {
                StoreError::Full { place, .. } => CutError::Full {
                    place,
                    missing,
                    stored: digests.len(),
                    total,
                },
                error => error.into(),
            })?;
            digests.push(id);
            missing -= len;
            progress.advance(len);
        }
    }

    let sha256 = sha256(source, file_len, Stage::Hashing, progress)?;
    let mut padding = Vec::new();
    for gap in gaps(&header, file_len).padding {
        let start = padding.len();
        padding.resize(start + (gap.end - gap.start) as usize, 0);
        read_at(source, gap.start, &mut padding[start..])?;
    }
    let contents = Contents {
        fragment_size,
        file_len,
        sha256,
        padding,
        digests,
    };
    Ok(Manifest::new(header, header_bytes, plan, contents))
}

/// SHA-256 of the first `len` bytes of a file.
pub(crate) fn sha256(
    source: &mut (impl Read + Seek),
    len: u64,
    stage: Stage,
    progress: &mut dyn Progress,
) -> Result<[u8; 32], SourceError> {
    progress.begin(stage, len);
    let mut hash = Sha256::new();
    let mut piece = vec![0; len.min(PIECE_BYTES as u64) as usize];
    let mut position = 0;
    source
        .rewind()
        .map_err(|source| SourceError { position, source })?;
    while position < len {
        let wanted = (len - position).min(piece.len() as u64) as usize;
        let mut read = || loop {
            match source.read(&mut piece[..wanted]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        };
        let count = read().map_err(|source| SourceError { position, source })?;
        hash.update(&piece[..count]);
        position += count as u64;
        progress.advance(count as u64);
    }
    Ok(hash.finalize().into())
}

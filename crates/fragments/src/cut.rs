use std::io::{Read, Seek};

use gguf::{MAX_HEADER_BYTES, SplitError};

use crate::{
    assemble::{SourceError, assemble, read_at, window},
    id::FragmentId,
    manifest::{Contents, Manifest},
    model_files::ModelFiles,
    plan::{Plan, PlanError, gaps},
    progress::{Progress, Stage},
    size::Size,
    store::{Store, StoreError},
    trailing::{Follow, Trailing},
};

/// A model could not be cut.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutError {
    /// Its header cannot be read.
    #[error("cannot read the model: {0}")]
    Gguf(#[from] gguf::Error),
    /// Its files do not belong together.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The headers of its files are too long together.
    #[error("the headers of the model's files are longer than {MAX_HEADER_BYTES} bytes together")]
    HeadersTooLong,
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
pub fn cut<F: Read + Seek>(
    model: &mut ModelFiles<F>,
    fragment_size: u32,
    store: &(impl Store + ?Sized),
    progress: &mut dyn Progress,
) -> Result<Manifest, CutError> {
    let hashing = Trailing::new(model.extents());
    cut_with(model, fragment_size, hashing, progress, |id, bytes| {
        store.put(&id, bytes).map(drop)
    })
}

/// The same with another way to hash the model's files, or to store what is cut.
pub(crate) fn cut_with<F: Read + Seek>(
    model: &mut ModelFiles<F>,
    fragment_size: u32,
    mut hashing: impl Follow<ModelFiles<F>>,
    progress: &mut dyn Progress,
    mut store: impl FnMut(FragmentId, &[u8]) -> Result<(), StoreError>,
) -> Result<Manifest, CutError> {
    let file_len = model.total_len();
    let header = model.header().clone();
    let plan = Plan::new(&header, file_len, fragment_size)?;

    let total = plan.fragments.len();
    let mut missing: u64 = plan
        .fragments
        .iter()
        .map(|fragment| u64::from(fragment.file_len))
        .sum();
    progress.begin(Stage::Cutting, missing);
    let mut digests = Vec::with_capacity(total);
    let mut files = Vec::new();
    while digests.len() < total {
        let rest = &plan.fragments[digests.len()..];
        assemble(&header, &rest[..window(rest)], model, &mut files)?;
        for file in &files {
            let (id, len) = (FragmentId::of(file), file.len() as u64);
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
        // About where fragments were just read.
        let done = plan.fragments[..digests.len()].iter();
        let read = done.map(|fragment| u64::from(fragment.payload_len)).sum();
        hashing.follow(model, read)?;
    }

    let sha256 = hashing.finish(model, Stage::Hashing, progress)?;
    let mut padding = Vec::new();
    for gap in gaps(&header, file_len).padding {
        let start = padding.len();
        padding.resize(start + (gap.end - gap.start) as usize, 0);
        read_at(model, gap.start, &mut padding[start..])?;
    }
    let header_bytes = model.header_bytes().to_vec();
    let contents = Contents {
        fragment_size,
        file_len,
        extents: model.extents().to_vec(),
        sha256,
        padding,
        digests,
    };
    Ok(Manifest::new(header, header_bytes, plan, contents))
}

//! Models cut into folders: `manifest.iap2p` and one file for each fragment.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
};

use gguf::{Header, SplitName};

use crate::{
    beside::Beside,
    cut::{CutError, cut_with},
    files::{self, PARTIAL, Partial},
    join::{JoinError, join_with},
    manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestError},
    model_files::{ModelFiles, Span},
    progress::Progress,
    store::{FolderStore, StoreError},
    trailing::Trailing,
    verify::{Report, verify},
};

/// The manifest's file name in a folder.
pub const MANIFEST_FILE: &str = "manifest.iap2p";

/// Held while a folder is cut into, so that two processes do not do it at once.
const LOCK_FILE: &str = ".cutting.lock";

/// What can go wrong with a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// Cutting failed.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// Joining failed.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The folder's manifest is not usable.
    #[error("{path}: {source}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: ManifestError,
    },
    /// The folder has no manifest: no model was cut into it, or not to the end.
    #[error("{0} holds no complete model: it has no {MANIFEST_FILE}")]
    NoManifest(PathBuf),
    /// Another process is cutting into the folder.
    #[error("another process is cutting into {0}")]
    Busy(PathBuf),
    /// The folder holds another model, or the same with another fragment size.
    #[error(
        "{0} holds another model, or the same with another fragment size: choose another folder"
    )]
    OtherModel(PathBuf),
    /// A file of a split model has a name that does not say where the others are.
    #[error(
        "{path} is one of {count} files of a split model; to find the others, its name must end in \
         -00001-of-{count:05}.gguf"
    )]
    SplitName {
        /// The file.
        path: PathBuf,
        /// How many files there are.
        count: usize,
    },
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError + use<'_> {
    move |source| FolderError::Io {
        path: path.to_owned(),
        source,
    }
}

/// The files of a model: `path` alone, or all the files it was split into, of which it may be any.
pub fn model_paths(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let mut file = File::open(path).map_err(at(path))?;
    let len = file.metadata().map_err(at(path))?.len();
    let (header, _) = Header::read(&mut file, Some(len)).map_err(CutError::from)?;
    let count = header.split_count().map_err(CutError::from)?;
    if count == 1 {
        return Ok(vec![path.to_owned()]);
    }
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.and_then(SplitName::parse);
    let name = name.filter(|name| name.count == count);
    let name = name.ok_or_else(|| FolderError::SplitName {
        path: path.to_owned(),
        count,
    })?;
    Ok(name.files().map(|name| path.with_file_name(name)).collect())
}

/// Opens a model's file, or all the files it was split into, of which `path` may be any.
pub fn open_model(path: &Path) -> Result<ModelFiles<File>, FolderError> {
    let paths = model_paths(path)?;
    let open = |path: &PathBuf| File::open(path).map_err(at(path));
    let files = paths.iter().map(open).collect::<Result<_, _>>()?;
    Ok(ModelFiles::open(files)?)
}

/// Cuts a model's file into a folder. Any of the files of a split model stands for all of them. Started again after an interruption it goes on from there; nothing is
/// ever half written under a final name, and the manifest comes last.
pub fn cut_to_folder(
    model: &Path,
    folder: &Path,
    fragment_size: u32,
    progress: &mut dyn Progress,
) -> Result<Manifest, FolderError> {
    let mut source = open_model(model)?;
    let store = FolderStore::create(folder)?;
    let lock_path = folder.join(LOCK_FILE);
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(FolderError::Busy(folder.to_owned())),
        Err(TryLockError::Error(source)) => return Err(at(&lock_path)(source)),
    }
    remove_partial_files(folder)?;
    let old = match read_manifest(folder) {
        Ok(manifest) => Some(manifest),
        Err(FolderError::NoManifest(_)) => None,
        // A newer program's manifest is not ours to replace; a damaged one is written again.
        Err(FolderError::Manifest { source, .. })
            if !matches!(source, ManifestError::UnsupportedVersion(_)) =>
        {
            None
        }
        Err(error) => return Err(error),
    };
    if let Some(old) = &old {
        let other = || FolderError::OtherModel(folder.to_owned());
        if old.fragment_size() != fragment_size
            || old.extents() != source.extents()
            || old.header_bytes() != source.header_bytes()
        {
            return Err(other());
        }
    }
    // Waiting for the disk once is much faster than waiting for each fragment. Until then there is no manifest, and
    // what is there is compared before it counts as stored.
    let hashing = Trailing::new(source.extents());
    let hashing = Beside::start(hashing, open_model(model)?).map_err(at(model))?;
    let manifest = cut_with(
        &mut source,
        fragment_size,
        hashing,
        progress,
        |id, bytes| store.put_unsynced(&id, bytes),
    )?;
    let stored = manifest.fragment_ids().iter().map(|id| store.path(id));
    files::sync(stored).map_err(at(folder))?;
    let mut manifest = manifest;
    if let Some(old) = old {
        let other = |_| FolderError::OtherModel(folder.to_owned());
        manifest = manifest
            .with_web_seeds(old.web_seeds().to_vec())
            .map_err(other)?;
        if old.id() != manifest.id() {
            return Err(FolderError::OtherModel(folder.to_owned()));
        }
    }
    write_manifest(folder, &manifest)?;
    // Closing unlocks it. Who opened it before it is gone locks a file without a name; the worst that
    // comes of it is an error, since every process writes under names of its own.
    let _ = fs::remove_file(&lock_path);
    Ok(manifest)
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<(), FolderError> {
    let bytes = manifest.encode();
    let path = folder.join(MANIFEST_FILE);
    if !files::holds(&path, &bytes) {
        let needed = bytes.len() as u64;
        files::write(&path, &bytes)
            .map_err(|error| StoreError::from_io(error, path.display().to_string(), needed))?;
    }
    Ok(())
}

/// Has a folder's manifest name these web seeds and no others ([`Manifest::web_seeds`]). The model gets another id by
/// it; the fragments stay as they are.
pub fn name_web_seeds(folder: &Path, web_seeds: Vec<String>) -> Result<Manifest, FolderError> {
    let manifest = read_manifest(folder)?;
    let named = manifest
        .with_web_seeds(web_seeds)
        .map_err(|source| FolderError::Manifest {
            path: folder.join(MANIFEST_FILE),
            source,
        })?;
    write_manifest(folder, &named)?;
    Ok(named)
}

/// What a process that was killed may have left.
fn remove_partial_files(folder: &Path) -> Result<(), FolderError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == PARTIAL)
        {
            fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// Reads the manifest of a folder.
pub fn read_manifest(folder: &Path) -> Result<Manifest, FolderError> {
    let path = folder.join(MANIFEST_FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(FolderError::NoManifest(folder.to_owned()));
        }
        other => other.map_err(at(&path))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_MANIFEST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(at(&path))?;
    Manifest::decode(&bytes).map_err(|source| FolderError::Manifest { path, source })
}

/// Checks all fragments of a folder.
pub fn verify_folder(folder: &Path, progress: &mut dyn Progress) -> Result<Report, FolderError> {
    let manifest = read_manifest(folder)?;
    Ok(verify(&manifest, &FolderStore::open(folder)?, progress))
}

/// Joins the fragments of a folder into a file that must not exist yet, and returns what was written. A model that
/// was split becomes the same files again: `output` then says where, and what their names begin with.
pub fn join_folder(
    folder: &Path,
    output: &Path,
    progress: &mut dyn Progress,
) -> Result<(Manifest, Vec<PathBuf>), FolderError> {
    let manifest = read_manifest(folder)?;
    let paths = output_paths(output, manifest.extents().len());
    let mut partials = Vec::with_capacity(paths.len());
    for path in &paths {
        if path.try_exists().map_err(at(path))? {
            return Err(JoinError::Exists(path.clone()).into());
        }
        partials.push(Partial::create(path).map_err(at(path))?);
    }
    let reopen = |partial: &Partial| partial.reopen().map_err(at(output));
    let written = partials.iter().map(reopen).collect::<Result<_, _>>()?;
    let written = Span::new(written, manifest.extents());
    let hashing = Trailing::new(manifest.extents());
    let hashing = Beside::start(hashing, written).map_err(at(output))?;
    let files = partials.iter().map(|partial| &partial.file).collect();
    let store = FolderStore::open(folder)?;
    join_with(&manifest, &store, files, hashing, progress)?;
    for (partial, path) in partials.into_iter().zip(&paths) {
        partial.finish().map_err(at(path))?;
    }
    Ok((manifest, paths))
}

/// The files that a model of so many is joined into.
fn output_paths(output: &Path, count: usize) -> Vec<PathBuf> {
    let name = output.file_name().and_then(|name| name.to_str());
    let Some(name) = name.filter(|_| count > 1) else {
        return vec![output.to_owned()];
    };
    let prefix = match SplitName::parse(name) {
        Some(name) => name.prefix,
        None => name.strip_suffix(".gguf").unwrap_or(name).to_owned(),
    };
    let names = SplitName { prefix, count };
    names
        .files()
        .map(|name| output.with_file_name(name))
        .collect()
}

//! Models cut into folders: `manifest.iap2p` and one file for each fragment.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{
    cut::{CutError, cut},
    files::{self, PARTIAL, Partial},
    join::{JoinError, join},
    manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestError},
    progress::Progress,
    store::{FolderStore, StoreError},
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

/// Cuts a model's file into a folder. Started again after an interruption it goes on from there; nothing is
/// ever half written under a final name, and the manifest comes last.
pub fn cut_to_folder(
    model: &Path,
    folder: &Path,
    fragment_size: u32,
    progress: &mut dyn Progress,
) -> Result<Manifest, FolderError> {
    let mut source = File::open(model).map_err(at(model))?;
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
        let len = source.metadata().map_err(at(model))?.len();
        if old.fragment_size() != fragment_size || old.file_len() != len {
            return Err(other());
        }
        let mut start = vec![0; old.header_bytes().len()];
        source.read_exact(&mut start).map_err(at(model))?;
        if start != old.header_bytes() {
            return Err(other());
        }
    }
    let manifest = cut(&mut source, fragment_size, &store, progress)?;
    if old.is_some_and(|old| old.id() != manifest.id()) {
        return Err(FolderError::OtherModel(folder.to_owned()));
    }
    let bytes = manifest.encode();
    let path = folder.join(MANIFEST_FILE);
    if !files::holds(&path, &bytes) {
        let needed = bytes.len() as u64;
        files::write(&path, &bytes)
            .map_err(|error| StoreError::from_io(error, path.display().to_string(), needed))?;
    }
    // Closing unlocks it. Who opened it before it is gone locks a file without a name; the worst that
    // comes of it is an error, since every process writes under names of its own.
    let _ = fs::remove_file(&lock_path);
    Ok(manifest)
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

/// Joins the fragments of a folder into a file that must not exist yet.
pub fn join_folder(
    folder: &Path,
    output: &Path,
    progress: &mut dyn Progress,
) -> Result<Manifest, FolderError> {
    if output.try_exists().map_err(at(output))? {
        return Err(JoinError::Exists(output.to_owned()).into());
    }
    let manifest = read_manifest(folder)?;
    let mut partial = Partial::create(output).map_err(at(output))?;
    join(
        &manifest,
        &FolderStore::open(folder)?,
        &mut partial.file,
        progress,
    )?;
    partial.finish().map_err(at(output))?;
    Ok(manifest)
}

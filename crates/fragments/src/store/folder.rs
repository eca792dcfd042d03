use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{Store, StoreError, Stored};
use crate::{files, id::FragmentId, plan::MAX_FRAGMENT_SIZE};

/// Keeps fragments in a folder, each as `<id>.fragment`.
///
/// Files are written under a temporary name and renamed when they are complete and on disk.
#[derive(Clone, Debug)]
pub struct FolderStore {
    folder: PathBuf,
}

impl FolderStore {
    /// The store in this folder, which is created if it does not exist.
    pub fn create(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(|error| at(error, &folder, 0))?;
        Ok(Self { folder })
    }

    /// The store in this folder, which must exist.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        fs::read_dir(&folder).map_err(|error| at(error, &folder, 0))?;
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Stores a fragment, though after a power cut it may be damaged until its file was synced.
    pub(crate) fn put_unsynced(&self, id: &FragmentId, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.path(id);
        if files::holds(&path, bytes) {
            return Ok(());
        }
        let needed = bytes.len() as u64;
        files::write_unsynced(&path, bytes).map_err(|error| at(error, &self.folder, needed))
    }

    /// The file of a fragment, whether it exists or not.
    pub fn path(&self, id: &FragmentId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}

fn at(error: io::Error, path: &Path, needed: u64) -> StoreError {
    StoreError::from_io(error, path.display().to_string(), needed)
}

impl Store for FolderStore {
    fn get(&self, id: &FragmentId) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(id);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| at(error, &path, 0))?,
        };
        let len = file.metadata().map_err(|error| at(error, &path, 0))?.len();
        if len > u64::from(MAX_FRAGMENT_SIZE) {
            return Err(StoreError::TooLong { path, len });
        }
        let mut bytes = Vec::with_capacity(len as usize);
        // A file that grows meanwhile is read to the limit and found to be damaged.
        file.by_ref()
            .take(len + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| at(error, &path, 0))?;
        Ok(Some(bytes.into()))
    }

    fn put(&self, id: &FragmentId, bytes: &[u8]) -> Result<Stored, StoreError> {
        let path = self.path(id);
        if files::holds(&path, bytes) {
            return Ok(Stored::Already);
        }
        files::write(&path, bytes).map_err(|error| at(error, &self.folder, bytes.len() as u64))?;
        Ok(Stored::New)
    }

    fn contains(&self, id: &FragmentId) -> Result<bool, StoreError> {
        let path = self.path(id);
        path.try_exists().map_err(|error| at(error, &path, 0))
    }

    fn remove(&self, id: &FragmentId) -> Result<(), StoreError> {
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(error, &path, 0)),
            _ => Ok(()),
        }
    }

    fn list(&self) -> Result<Vec<FragmentId>, StoreError> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(|error| at(error, &self.folder, 0))? {
            let path = entry.map_err(|error| at(error, &self.folder, 0))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if path
                .extension()
                .is_some_and(|extension| extension == FragmentId::EXTENSION)
            {
                // Files that are named otherwise are somebody else's.
                ids.extend(stem.and_then(|stem| stem.parse::<FragmentId>().ok()));
            }
        }
        Ok(ids)
    }
}

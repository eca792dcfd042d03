#[cfg(all(feature = "fs", not(target_arch = "wasm32")))]
mod folder;
mod memory;

use std::{io, path::PathBuf};

use bytes::Bytes;

use crate::{id::FragmentId, size::Size};
#[cfg(all(feature = "fs", not(target_arch = "wasm32")))]
pub use folder::FolderStore;
pub use memory::MemoryStore;

/// Where fragments are kept.
///
/// Stores do not check contents: what comes out may be damaged, and whoever uses it opens it with
/// [`Fragment::open_verified`](crate::Fragment::open_verified).
pub trait Store {
    /// The bytes stored under this id, if there are any.
    fn get(&self, id: &FragmentId) -> Result<Option<Bytes>, StoreError>;

    /// Stores these bytes, whole or not at all. Cheap if they are there already.
    fn put(&self, id: &FragmentId, bytes: &[u8]) -> Result<Stored, StoreError>;

    /// Whether something is stored under this id.
    fn contains(&self, id: &FragmentId) -> Result<bool, StoreError>;

    /// Forgets what is stored under this id.
    fn remove(&self, id: &FragmentId) -> Result<(), StoreError>;

    /// The ids under which something is stored, in no particular order.
    fn list(&self) -> Result<Vec<FragmentId>, StoreError>;
}

/// What storing came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The bytes were written.
    New,
    /// The same bytes were there already.
    Already,
}

/// Something could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room. Nothing that was stored before is lost.
    #[error(
        "no room for {} at {place}: the disk or quota is full; nothing stored before is lost",
        Size(*.needed)
    )]
    Full {
        /// Where.
        place: String,
        /// Bytes that had to be stored.
        needed: u64,
    },
    /// What is stored is too long to be a fragment.
    #[error("{path} has {len} bytes, too many for a fragment")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// Reading or writing failed.
    #[error("{place}: {source}")]
    Io {
        /// Where.
        place: String,
        /// Why.
        source: io::Error,
    },
}

impl StoreError {
    /// The error of an operation at `place` that had to store `needed` bytes.
    pub fn from_io(source: io::Error, place: String, needed: u64) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { place, needed }
            }
            _ => Self::Io { place, source },
        }
    }
}

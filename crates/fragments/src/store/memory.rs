use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{Store, StoreError, Stored};
use crate::id::FragmentId;

/// Keeps fragments in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    fragments: Mutex<HashMap<FragmentId, Bytes>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FragmentId, Bytes>> {
        // No operation leaves the map half changed, so a panic elsewhere does no harm.
        self.fragments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn get(&self, id: &FragmentId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.lock().get(id).cloned())
    }

    fn put(&self, id: &FragmentId, bytes: &[u8]) -> Result<Stored, StoreError> {
        let old = self.lock().insert(*id, Bytes::copy_from_slice(bytes));
        Ok(if old.is_some_and(|old| old == bytes) {
            Stored::Already
        } else {
            Stored::New
        })
    }

    fn contains(&self, id: &FragmentId) -> Result<bool, StoreError> {
        Ok(self.lock().contains_key(id))
    }

    fn remove(&self, id: &FragmentId) -> Result<(), StoreError> {
        self.lock().remove(id);
        Ok(())
    }

    fn list(&self) -> Result<Vec<FragmentId>, StoreError> {
        Ok(self.lock().keys().copied().collect())
    }
}

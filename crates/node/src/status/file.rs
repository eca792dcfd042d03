//! Where a node tells its status, kept beside its key for `iap2p status`.

use crate::files::{self, Readers};
use crate::key;
use anyhow::Result;
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files are not ours.
const MAX_BYTES: u64 = 1024;
const EXTENSION: &str = "status";

/// The file of a running node; removed when the node stops.
pub(crate) struct StatusFile(PathBuf);

impl StatusFile {
    /// Only who holds the lock on the key comes here.
    pub(crate) fn write(key: &Path, url: &str) -> std::io::Result<Self> {
        let path = key.with_extension(EXTENSION);
        files::write(&path, url.as_bytes(), Readers::Owner)?;
        Ok(Self(path))
    }
}

impl Drop for StatusFile {
    fn drop(&mut self) {
        // What is left of a node that was killed is recognised by nobody answering there.
        let _ = fs::remove_file(&self.0);
    }
}

/// Where the nodes of this account that run, or were killed, tell their status; or the one with this key.
pub(crate) fn running(key: Option<&Path>) -> Result<Vec<String>> {
    if let Some(key) = key {
        return Ok(read(&key.with_extension(EXTENSION)).into_iter().collect());
    }
    // No folder: no node has ever run here.
    let files = fs::read_dir(key::default_folder()?).into_iter().flatten();
    let mut files: Vec<_> = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == EXTENSION))
        .collect();
    files.sort();
    Ok(files.iter().filter_map(|path| read(path)).collect())
}

fn read(path: &Path) -> Option<String> {
    if fs::metadata(path).ok()?.len() > MAX_BYTES {
        return None;
    }
    fs::read_to_string(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_by_its_key_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("serve.key");
        assert!(running(Some(&key)).unwrap().is_empty());
        let file = StatusFile::write(&key, "http://127.0.0.1:1/").unwrap();
        assert_eq!(running(Some(&key)).unwrap(), ["http://127.0.0.1:1/"]);
        drop(file);
        assert!(running(Some(&key)).unwrap().is_empty());
    }
}

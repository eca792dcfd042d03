//! Files that are never seen half written.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// What the names of unfinished files end in.
pub(crate) const PARTIAL: &str = "partial";

/// A file under a temporary name beside its final one. Dropped before [`finish`](Self::finish), it is removed.
pub(crate) struct Partial {
    pub(crate) file: File,
    partial: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Partial {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        // Several processes, and threads of one, may write the same file at the same time.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
        name.push(format!(".{}.{number}.{PARTIAL}", process::id()));
        let partial = path.with_file_name(name);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&partial)?;
        Ok(Self {
            file,
            partial,
            path: path.to_owned(),
            finished: false,
        })
    }

    /// The file once more, to read it at a position of its own.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        File::open(&self.partial)
    }

    /// Gives the file its final name once its content is on disk.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        let path = self.path.clone();
        self.name()?;
        sync_folder_of(&path);
        Ok(())
    }

    /// Gives the file its final name now, though its content may not be on disk.
    fn name(mut self) -> io::Result<()> {
        fs::rename(&self.partial, &self.path)?;
        self.finished = true;
        Ok(())
    }
}

/// A name survives a power cut only if the folder is written too. Not all systems can do that.
fn sync_folder_of(path: &Path) {
    if let Some(Ok(folder)) = path.parent().map(File::open) {
        let _ = folder.sync_all();
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.partial);
        }
    }
}

/// Writes a file whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = Partial::create(path)?;
    partial.file.write_all(bytes)?;
    partial.finish()
}

/// The same, but after a power cut the file may be damaged, until [`sync`] was called.
pub(crate) fn write_unsynced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut partial = Partial::create(path)?;
    partial.file.write_all(bytes)?;
    partial.name()
}

/// Waits until these files of one folder are on disk.
pub(crate) fn sync(paths: impl Iterator<Item = PathBuf>) -> io::Result<()> {
    let mut last = None;
    for path in paths {
        File::open(&path)?.sync_all()?;
        last = Some(path);
    }
    if let Some(path) = last {
        sync_folder_of(&path);
    }
    Ok(())
}

/// Whether the file exists and holds exactly these bytes.
pub(crate) fn holds(path: &Path, bytes: &[u8]) -> bool {
    let compare = || -> io::Result<bool> {
        let mut file = File::open(path)?;
        if file.metadata()?.len() != bytes.len() as u64 {
            return Ok(false);
        }
        let mut piece = vec![0; bytes.len().min(256 << 10)];
        for expected in bytes.chunks(piece.len().max(1)) {
            let piece = &mut piece[..expected.len()];
            file.read_exact(piece)?;
            if piece != expected {
                return Ok(false);
            }
        }
        Ok(true)
    };
    compare().unwrap_or(false)
}

//! The beginning of a download in a file, so that what was interrupted goes on where it stopped.

use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// What an earlier run has left; nothing if there is no such file or it cannot be read. Nobody need trust it: what is
/// wrong with it is noticed when the download is complete.
pub(crate) fn read(path: &Path, longest: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(longest).read_to_end(&mut bytes));
    match read {
        Ok(_) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Writes a download's beginning behind the back of whoever takes part in the swarm: a disk may take its time.
#[derive(Debug)]
pub(crate) struct Writer(Option<mpsc::SyncSender<(u64, Bytes)>>);

/// Blocks that wait for the disk: 64 MiB, several fragments as they usually are.
const WAITING: usize = 256;

impl Writer {
    /// Must be called within a Tokio runtime.
    pub(crate) fn new(path: PathBuf) -> Self {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = write_all(&path, &receiver) {
                // The download itself goes on; storing the whole will say what is wrong with the disk.
                tracing::debug!(path = %path.display(), %error, "a download is not kept on its way");
            }
        });
        Self(Some(sender))
    }

    /// Writes bytes at a place; what is behind them is void.
    pub(crate) fn write(&mut self, offset: u64, bytes: Bytes) {
        let sent = self.0.as_ref().map(|it| it.try_send((offset, bytes)));
        if matches!(sent, Some(Err(_))) {
            // Writing has failed, or the disk is slower than the network: what comes later would leave a gap.
            self.0 = None;
        }
    }
}

fn write_all(path: &Path, bytes: &mpsc::Receiver<(u64, Bytes)>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    while let Ok((offset, bytes)) = bytes.recv() {
        file.set_len(offset)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_written_is_found_and_what_became_void_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.download");
        assert!(read(&path, 100).is_empty());
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        for (offset, bytes) in [(0, "first "), (6, "second"), (6, "third")] {
            sender.send((offset, Bytes::from(bytes))).unwrap();
        }
        drop(sender);
        write_all(&path, &receiver).unwrap();
        assert_eq!(read(&path, 100), b"first third");
        assert_eq!(read(&path, 4), b"firs");
    }
}

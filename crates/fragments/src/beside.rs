//! Hashing beside reading or writing, in a thread of its own: either takes about as long as the other.

use std::{
    io::{self, Read, Seek},
    panic::resume_unwind,
    sync::mpsc::{self, SyncSender},
    thread::{self, JoinHandle},
};

use crate::{
    assemble::SourceError,
    progress::{Progress, Stage},
    trailing::{Follow, Trailing},
};

/// How many steps behind hashing may be before it is waited for: soon enough for the system's cache.
const STEPS_BEHIND: usize = 2;

/// Follows in a thread that has opened the same files once more. Dropped, it ends by itself.
pub(crate) struct Beside {
    positions: SyncSender<u64>,
    thread: JoinHandle<Result<Trailing, SourceError>>,
}

impl Beside {
    pub(crate) fn start(
        mut trailing: Trailing,
        mut files: impl Read + Seek + Send + 'static,
    ) -> io::Result<Self> {
        let (positions, receiver) = mpsc::sync_channel(STEPS_BEHIND);
        let thread = thread::Builder::new().name("hashing".into());
        let thread = thread.spawn(move || {
            for position in receiver {
                trailing.advance(&mut files, position, &mut ())?;
            }
            Ok(trailing)
        })?;
        Ok(Self { positions, thread })
    }
}

impl<S: Read + Seek> Follow<S> for Beside {
    fn follow(&mut self, _: &mut S, to: u64) -> Result<(), SourceError> {
        // Nobody listens any more where reading has failed: finishing says so.
        let _ = self.positions.send(to);
        Ok(())
    }

    fn finish(
        self,
        files: &mut S,
        stage: Stage,
        progress: &mut dyn Progress,
    ) -> Result<Vec<[u8; 32]>, SourceError> {
        drop(self.positions);
        let trailing = self
            .thread
            .join()
            .unwrap_or_else(|panic| resume_unwind(panic))?;
        trailing.finish(files, stage, progress)
    }
}

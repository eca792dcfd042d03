//! Somebody who asks all the time, so that there is something to do.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crate::Program;

/// Asks one question after the other until it is dropped.
pub(super) struct Asking {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Asking {
    /// Answers are as long as that, whatever the model says.
    pub(super) fn start(program: Program, entry: String, tokens: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = stop.clone();
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                // It fails as long as nobody has what is missing.
                let _ = program.run(&[
                    &"generate",
                    &"--peer",
                    &entry,
                    &"--prompt",
                    &"Qu'est-ce qu'un fragment ?",
                    &"--ignore-end",
                    &"--max-tokens",
                    &tokens.to_string(),
                ]);
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

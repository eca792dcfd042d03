//! A native node's network on a thread of its own.

use std::{io, sync::mpsc::sync_channel, thread};

use tokio::runtime;

use crate::{Config, Error, Events, Handle, start};

/// Like [`start`], and runs the driver on a thread of its own, which ends when the driver does: what a node computes
/// does not keep its peers waiting, and what passes between the network's tasks wakes no other thread, which takes
/// longer than the work itself on a connection without delay.
///
/// # Errors
/// As [`start`]; or if no thread can be started.
pub fn start_on_thread(config: Config) -> Result<(Handle, Events), Error> {
    let (tell, told) = sync_channel(1);
    let run = move || {
        let started = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Thread)
            .and_then(|runtime| {
                // Sockets belong to the runtime in which they are opened.
                let entered = runtime.enter();
                let (handle, events, driver) = start(config)?;
                drop(entered);
                Ok((handle, events, (runtime, driver)))
            });
        match started {
            Ok((handle, events, (runtime, driver))) => {
                // Nobody waits any more only if that thread has panicked; then the driver ends at once.
                let _ = tell.send(Ok((handle, events)));
                runtime.block_on(driver);
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        }
    };
    thread::Builder::new()
        .name("network".to_owned())
        .spawn(run)
        .map_err(Error::Thread)?;
    told.recv().unwrap_or_else(|_| {
        let ended = io::Error::other("the network's thread has ended");
        Err(Error::Thread(ended))
    })
}

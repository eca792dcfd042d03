//! A native node's network on a thread of its own.

use std::{io, sync::mpsc::sync_channel, thread};

use tokio::runtime;

use crate::{Config, Error, Events, Handle, start};

/// Like [`start`], and runs the driver on a thread of its own, together with `work`, which takes the events: what passes
/// between the two, and between the network's tasks, wakes no other thread, which takes longer than the work itself on a
/// connection without delay. What takes long `work` gives to other threads, for instance by
/// [`spawn_blocking`](tokio::task::spawn_blocking): peers wait meanwhile. The thread ends when both have.
///
/// # Errors
/// As [`start`]; or if no thread can be started.
pub fn start_on_thread<W>(
    config: Config,
    work: impl FnOnce(Handle, Events) -> W + Send + 'static,
) -> Result<Handle, Error>
where
    W: Future<Output = ()> + Send + 'static,
{
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
                Ok((runtime, handle, events, driver))
            });
        match started {
            Ok((runtime, handle, events, driver)) => {
                let work = runtime.spawn(work(handle.clone(), events));
                // Nobody waits any more only if that thread has panicked; then only `work` has a handle.
                let _ = tell.send(Ok(handle));
                runtime.block_on(async {
                    driver.await;
                    // A panic has been reported where it happened.
                    let _ = work.await;
                });
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

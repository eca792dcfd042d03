//! Waiting for a condition instead of for a time.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

/// How long anything may take before a test gives up: generous, because machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again until there is an answer; an error ends the waiting at once.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() > PATIENCE {
            bail!("after {} s still not: {what}", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(30));
    }
}

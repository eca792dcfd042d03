//! Comings and goings, in a short form of `cargo xtask lab soak`.

use std::time::Duration;

use anyhow::Result;
use e2e::experiments::soak::{Options, run_blocking};

pub(crate) fn nothing_stays_behind_of_those_that_come_and_go() -> Result<()> {
    let table = run_blocking(Options {
        requests: 3000,
        time: Duration::from_secs(30),
    })?;
    println!("{table}");
    Ok(())
}

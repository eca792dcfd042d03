//! Two halves of a swarm, in a short form of `cargo xtask lab partition`.

use std::time::Duration;

use anyhow::Result;
use e2e::experiments::partition::{Options, run_blocking};

pub(crate) fn a_swarm_that_fell_into_two_halves_is_whole_again() -> Result<()> {
    let table = run_blocking(&Options {
        nodes: 4,
        apart: Duration::from_secs(25),
        heartbeat: Duration::from_secs(5),
        delay: Duration::from_millis(10),
    })?;
    println!("{table}");
    Ok(())
}

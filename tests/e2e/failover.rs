//! Nodes that fail in mid-answer, in a short form of `cargo xtask lab failover`.

use std::time::Duration;

use anyhow::Result;
use e2e::experiments::failover::{Options, run_blocking};

pub(crate) fn nodes_that_fail_in_mid_answer_change_no_token() -> Result<()> {
    let outcome = run_blocking(&Options {
        seeds: 1,
        first_seed: 1,
        workers: 6,
        tabs: 1,
        tokens: 20,
        delay: Duration::from_millis(10),
    })?;
    println!("{outcome}");
    Ok(())
}

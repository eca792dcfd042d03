//! What the network adds to a plain socket or channel, in a short form of `cargo xtask lab overhead`.

use std::time::Duration;

use anyhow::Result;
use e2e::experiments::overhead::{Options, Plain, run_blocking};

pub(crate) fn everything_arrives_over_long_links_and_lossy_ones() -> Result<()> {
    let outcome = run_blocking(&Options {
        goes: 1,
        rounds: 5,
        within: Duration::ZERO,
        links: vec![(20, 0.0), (0, 0.01)],
        with: vec![Plain::Socket, Plain::Channel],
    })?;
    println!("{}", outcome.table);
    Ok(())
}

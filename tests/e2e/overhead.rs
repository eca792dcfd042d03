//! What the network adds to a plain socket or channel, in a short form of `cargo xtask lab overhead`.

use anyhow::Result;
use e2e::experiments::overhead::{Options, run_blocking};

pub(crate) fn everything_arrives_over_a_long_and_lossy_link() -> Result<()> {
    let outcome = run_blocking(&Options {
        rounds: 5,
        links: vec![(10, 0.001)],
    })?;
    println!("{}", outcome.table);
    Ok(())
}

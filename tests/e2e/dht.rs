//! The DHT without its entry, in a short form of `cargo xtask lab dht`.

use anyhow::Result;
use e2e::experiments::dht::{Options, run_blocking};

pub(crate) fn fragments_are_found_when_the_entry_is_gone() -> Result<()> {
    let table = run_blocking(Options {
        nodes: 16,
        fragments: 80,
    })?;
    println!("{table}");
    Ok(())
}

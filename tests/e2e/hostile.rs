//! A node under attack, in a short form of `cargo xtask lab hostile`.

use anyhow::Result;
use e2e::experiments::hostile::{Options, run_blocking};

pub(crate) fn a_node_under_attack_answers_and_says_what_it_has_kept_off() -> Result<()> {
    let table = run_blocking(Options {
        attempts: 1000,
        strangers: 10,
        datagrams: 10_000,
        questions: 1,
        // Beside other tests, nothing takes as long as before.
        slower: None,
    })?;
    println!("{table}");
    Ok(())
}

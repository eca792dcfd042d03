//! Experiments: each says what it has measured as a table, and fails when what it must show does not hold. `cargo xtask
//! lab NAME` runs them at full length, the tests in a short form.

mod asking;
pub mod connect;
pub mod dht;
pub mod executor;
pub mod failover;
pub mod first;
pub mod hidden;
pub mod hostile;
mod layers;
pub mod overhead;
pub mod partition;
pub mod soak;
mod spoken;
pub mod wan;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::Program;

/// A table as documents have it.
#[derive(Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new<const N: usize>(header: [&str; N]) -> Self {
        Self {
            header: header.map(str::to_owned).to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        writeln!(f, "{}", line(&self.header))?;
        writeln!(f, "|{}", "---|".repeat(self.header.len()))?;
        self.rows
            .iter()
            .try_for_each(|row| writeln!(f, "{}", line(row)))
    }
}

/// A bar for what takes long; on a terminal only.
pub(crate) fn progress(what: &str, steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    let bar = ProgressBar::new(steps as u64).with_message(what.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// The time below which this share of the times is; nothing if there are none.
pub(crate) fn percentile(times: &[Duration], share: f64) -> Option<Duration> {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).copied()
}

/// What came of a question.
pub(crate) struct Asked {
    pub(crate) tokens: Value,
    /// Requests whose answers the text is made of.
    pub(crate) parts: u64,
    pub(crate) time: Duration,
}

/// Has nodes compute an answer, those that are found by way of this one; a new process each time.
pub(crate) fn ask(program: &Program, node: &str, question: &str, max_tokens: u32) -> Result<Asked> {
    let start = Instant::now();
    let report = program.run(&[
        &"generate",
        &"--peer",
        &node,
        &"--chat",
        &"--json",
        &"--max-tokens",
        &max_tokens.to_string(),
        &"--prompt",
        &question,
    ])?;
    let report: Value = serde_json::from_str(&report)?;
    Ok(Asked {
        tokens: report["tokens"].clone(),
        parts: report["parts"].as_u64().context("no number of parts")?,
        time: start.elapsed(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_times_are_below_the_median() {
        let times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&times, 0.99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&[], 0.5), None);
    }
}

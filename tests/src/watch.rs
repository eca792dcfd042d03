//! What a process takes, and what a node says of itself.

use anyhow::{Context, Result};

use crate::authority::get_at;

/// A figure of a process's memory (`proc_pid_status(5)`), in bytes.
pub(crate) fn memory(process: u32, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.and_then(|line| line.trim_start_matches(':').split_whitespace().next());
    let kilobytes: u64 = value.context("no such figure")?.parse()?;
    Ok(kilobytes << 10)
}

/// What the node that tells its status there says of this metric, one without labels.
pub fn metric(status: &str, name: &str) -> Result<u64> {
    let text = get_at(status.parse()?, status, "/metrics")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(name));
    let value = lines.find_map(|rest| rest.strip_prefix(' '));
    let value = value.with_context(|| format!("no {name} in the metrics"))?;
    Ok(value.trim().parse()?)
}

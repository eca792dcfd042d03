//! How long it takes until all is held as often as wanted again, after many nodes have gone at once.

mod pages;
mod run;
pub mod study;

use std::time::Duration;

use crate::Device;

/// A heartbeat: how often everybody says what it holds.
const ROUND: Duration = Duration::from_secs(30);

/// So many heartbeats have to be missed until somebody is taken for gone.
const MISSED: u32 = 3;

/// What repair may take of a device's line, in bytes a second: up and down. Half of what it has: phones 4 and 20 Mbit/s,
/// computers at home 20 and 100, servers 500.
fn line(device: Device) -> (u64, u64) {
    match device {
        Device::Phone => (250_000, 1_250_000),
        Device::Home => (1_250_000, 6_250_000),
        Device::Server => (31_250_000, 31_250_000),
    }
}

//! Several real processes on the loopback: what a network computes is what one process computes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod answers;
mod api;
#[path = "../common/mod.rs"]
mod common;
mod fetches;
mod healing;
mod status;
mod world;

//! Nodes that meet over real sockets of this machine.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod discovery;
mod messages;
mod node;
mod private;
mod reachability;
mod relay;
mod strangers;

//! Connections between native programs, over UDP on loopback.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod arranged;
mod direct;
mod side;
mod strangers;
mod streams;

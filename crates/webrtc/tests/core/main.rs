//! The core against streams of bytes as honest, slow and hostile peers send them.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod frames;
mod greetings;
mod rules;
mod world;

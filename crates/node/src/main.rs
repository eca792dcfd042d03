//! `iap2p`, the native program: cuts models into fragments, holds fragments and computes on them, is an entry to the
//! network, and asks the network questions.
//!
//! Everything that decides lives in other crates. This one gives them what they must not have themselves: files,
//! sockets, threads, a clock and a terminal.

mod api;
mod backend;
mod cli;
mod client;
mod engine;
mod events;
mod files;
mod jobs;
mod key;
mod layers;
mod npy;
mod partial;
mod peers;
mod progress;
mod shelf;
mod source;
mod status;
mod web;
mod web_seed;

use clap::Parser;
use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A node runs for months while others come and go: what they took goes back to the system. The GNU C library's allocator
/// keeps it, and its heap grows with every burst of connections.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Every connection is an open file, of which many systems allow a program a few hundred unless it asks for more. Where
    // it may have no more, it has to do with what there is.
    #[cfg(unix)]
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    match cli::Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output (`| head`) has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

//! What it takes to test for 64-bit ARM on another processor: Rust's library for it, a linker, an emulator.
//!
//! The library comes from where rustup gets its own; not every machine that builds this project can reach that. Without
//! it the rest is not installed either, and the test is left out, by name.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::{paths, shell::Shell};

pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";

/// Where Debian puts the C library of the other processor.
const C_LIBRARY: &str = "/usr/aarch64-linux-gnu";

/// Where nothing is emulated, because the native tests are those on ARM.
const IS_NATIVE: bool = cfg!(target_arch = "aarch64");

/// Asks rustup for the library if it is not there; a machine that cannot have it goes without.
pub(super) fn prepare(shell: &Shell) {
    if IS_NATIVE || has_library(shell) {
        return;
    }
    println!("      installing Rust's library for ARM");
    let mut rustup = shell.command("rustup");
    rustup.args(["target", "add", TARGET]).stderr(Stdio::null());
    if !rustup.status().is_ok_and(|status| status.success()) {
        println!("      it is not to be had here: nothing will be tested on ARM");
    }
}

/// Whether the packages of the operating system are there, or would be of no use.
pub(super) fn needs_no_packages(shell: &Shell) -> bool {
    IS_NATIVE || !has_library(shell) || missing_program().is_none()
}

/// Why nothing can be tested on ARM here.
pub(crate) fn impossible(shell: &Shell) -> Option<String> {
    if IS_NATIVE {
        return Some("this is an ARM machine: its native tests have done it".into());
    }
    if !has_library(shell) {
        return Some(format!(
            "Rust's library for {TARGET} is not installed (rustup target add {TARGET})"
        ));
    }
    missing_program().map(|program| format!("there is no {program} on this machine"))
}

/// Makes cargo link with the other linker, and run what it has built in the emulator.
pub(crate) fn with_emulator(cargo: &mut Command) -> &mut Command {
    cargo
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env(
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER",
            format!("{EMULATOR} -L {C_LIBRARY}"),
        )
}

fn has_library(shell: &Shell) -> bool {
    super::has_rust_library(shell, TARGET)
}

fn missing_program() -> Option<&'static str> {
    [LINKER, EMULATOR]
        .into_iter()
        .find(|program| paths::on_path(program).is_none())
        .or_else(|| (!Path::new(C_LIBRARY).is_dir()).then_some("C library for ARM"))
}

//! Everything a fresh Debian machine lacks, installed once and kept in the user's cache folder.
//!
//! Sources are crates.io, PyPI, Debian and rustup; nothing is fetched from anywhere else.

pub(crate) mod arm;
mod debian;
pub(crate) mod npm;
mod tools;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::{
    paths,
    shell::{self, Shell},
};

/// What the set-up is for; running needs less than testing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Run,
    Test,
}

/// Installs what is missing and returns the shell in which everything is found.
pub(crate) fn prepare(purpose: Purpose) -> Result<Shell> {
    println!(
        "Set-up: the first time on a machine takes some minutes, afterwards nothing is left to do."
    );
    let plain = Shell::with_tools([])?;
    toolchain(&plain, purpose)?;
    if purpose == Purpose::Test {
        arm::prepare(&plain);
    }
    debian::prepare(&plain, purpose)?;
    let folder = paths::tools()?;
    tools::prepare(purpose, &plain, &folder)?;
    println!("      set-up complete (tools in {})", folder.display());
    Shell::with_tools(tool_folders()?)
}

/// The folders of the installed tools.
pub(crate) fn tool_folders() -> Result<Vec<std::path::PathBuf>> {
    let folder = paths::tools()?;
    Ok(tools::ALL
        .iter()
        .map(|tool| tool.folder(&folder).join("bin"))
        .collect())
}

/// The Python that has a package of PyPI.
pub(crate) fn python_with(package: &str) -> Result<std::path::PathBuf> {
    let folder = tools::folder_of(package, &paths::tools()?);
    Ok(folder.context("no such tool")?.join("bin/python"))
}

/// rustup reads `rust-toolchain.toml` by itself, but not where automatic installation is switched off.
fn toolchain(shell: &Shell, purpose: Purpose) -> Result<()> {
    ensure!(
        paths::on_path("rustc").is_some(),
        "rustc is missing: install Rust from https://rustup.rs and run the command again"
    );
    if !has_rust_library(shell, "wasm32-unknown-unknown") {
        println!("      installing Rust's library for WebAssembly");
        shell::run(
            shell
                .command("rustup")
                .args(["target", "add", "wasm32-unknown-unknown"]),
        )?;
    }
    if purpose == Purpose::Test {
        for component in ["rustfmt", "clippy"] {
            let subcommand = if component == "rustfmt" {
                "fmt"
            } else {
                component
            };
            let found = shell.cargo(&[subcommand, "--version"]).output()?;
            if !found.status.success() {
                println!("      installing {component}");
                shell::run(
                    shell
                        .command("rustup")
                        .args(["component", "add", component]),
                )?;
            }
        }
    }
    if std::env::var_os("RUSTFLAGS").is_some_and(|flags| !flags.is_empty()) {
        // It replaces the flags of `.cargo/config.toml`: the kernels would silently lose their SIMD instructions.
        bail!(
            "RUSTFLAGS is set, which removes the WebAssembly SIMD flags of this project: unset it and try again"
        );
    }
    Ok(())
}

/// Whether Rust's standard library is there for a target.
fn has_rust_library(shell: &Shell, target: &str) -> bool {
    let mut rustc = shell.command("rustc");
    let output = rustc
        .args(["--print", "target-libdir", "--target", target])
        .output();
    output.is_ok_and(|output| {
        let folder = String::from_utf8_lossy(&output.stdout);
        // Nothing would be the current folder.
        !folder.trim().is_empty() && Path::new(folder.trim()).is_dir()
    })
}

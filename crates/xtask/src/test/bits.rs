//! The same bits as natively, on everything else that computes: the promise of the kernels.

use std::process::Command;

use anyhow::Result;

use super::{check, with_driver};
use crate::{
    paths, relaxed, setup,
    shell::{self, Shell, run_tests},
    steps::Tally,
    wasm::{self, TARGET as WASM},
};

/// The tests of these packages that compare bits.
fn tests(shell: &Shell, packages: &[&str], target: &str) -> Command {
    let mut tests = shell.cargo(&["test", "--locked", "--test", "bits", "--target", target]);
    tests.args(packages.iter().flat_map(|package| ["--package", package]));
    tests
}

/// In the engine that most browsers have.
pub(super) fn in_chromium(shell: &Shell) -> Result<Tally> {
    let mut tests = tests(shell, &["kernels", "inference"], WASM);
    with_driver(&mut tests);
    run_tests(&mut tests)
}

/// Relaxed instructions may give other results on other machines; the kernels use them where they may not.
pub(super) fn in_chromium_relaxed(shell: &Shell) -> Result<Tally> {
    let mut tests = tests(shell, &["kernels"], WASM);
    with_driver(&mut tests);
    run_tests(relaxed::with_flags(&mut tests))
}

/// In an engine whose compiler is another, both builds.
pub(super) fn in_wasmtime(shell: &Shell) -> Result<Tally> {
    let mut tally = Tally::default();
    for relaxed in [false, true] {
        let mut build = shell.cargo(&["build", "--locked", "--package", "kernels"]);
        build.args(["--example", "wasmtime", "--target", WASM]);
        if relaxed {
            relaxed::with_flags(&mut build);
        }
        shell::run(&mut build)?;
        let mut python = shell.command(setup::python_with("wasmtime")?);
        python.arg("crates/kernels/tests/run_in_wasmtime.py");
        let module = wasm::module(&paths::target(), "dev", "examples/wasmtime");
        tally += check(python.arg(module))?;
    }
    Ok(tally)
}

/// On a processor that is emulated.
pub(super) fn on_arm(shell: &Shell) -> Result<Tally> {
    let mut tests = tests(shell, &["kernels"], setup::arm::TARGET);
    run_tests(setup::arm::with_emulator(&mut tests))
}

//! The compute worker once more, with relaxed SIMD.
//!
//! A module that contains one such instruction is refused as a whole by a browser that does not know it. So there are
//! two, and the page asks the browser which it can have. Trunk builds everything with the same flags, hence this.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    paths,
    shell::{self, Shell},
    wasm,
};

const PACKAGE: &str = "web-compute";
const NAME: &str = "web-compute-relaxed";

/// Makes cargo build for WebAssembly with relaxed SIMD.
pub(crate) fn with_flags(cargo: &mut Command) -> &mut Command {
    let flags = "-Ctarget-feature=+simd128,+relaxed-simd";
    // This would be taken instead.
    cargo.env_remove("RUSTFLAGS");
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", flags)
}

/// Builds the worker into the folder of the page, beside its twin.
pub(crate) fn build(shell: &Shell, folder: &Path) -> Result<()> {
    let module = compile(shell)?;
    wasm::bind(shell, &module, folder, NAME)?;
    let loader = format!("import init from './{NAME}.js';await init();");
    fs::write(folder.join(format!("{NAME}_loader.js")), loader)?;
    Ok(())
}

/// Compiles the worker; nothing is left to do when that has been done before.
pub(crate) fn compile(shell: &Shell) -> Result<PathBuf> {
    let profile = env::var("TRUNK_BUILD_CARGO_PROFILE").unwrap_or_else(|_| "web".into());
    // Other flags, other files: in one folder each build would undo the other.
    let target = paths::target().join("relaxed-simd");
    let mut cargo = shell.cargo(&[
        "build",
        "--locked",
        "--package",
        PACKAGE,
        "--target",
        wasm::TARGET,
    ]);
    cargo
        .args(["--profile", &profile])
        .arg("--target-dir")
        .arg(&target);
    shell::run(with_flags(&mut cargo))?;
    Ok(wasm::module(&target, &profile, PACKAGE))
}

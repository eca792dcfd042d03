//! Modules for browsers.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::shell::{self, Shell};

/// What they are built for.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// Where cargo leaves a module, by the target folder, the profile and the rest of the way.
pub(crate) fn module(target: &Path, profile: &str, name: &str) -> PathBuf {
    let folder = if profile == "dev" { "debug" } else { profile };
    target
        .join(TARGET)
        .join(folder)
        .join(format!("{name}.wasm"))
}

/// Makes a module and its glue of what cargo has built, in a folder of a page.
pub(crate) fn bind(shell: &Shell, module: &Path, folder: &Path, name: &str) -> Result<()> {
    let mut bindgen = shell.command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-name", name]);
    shell::run(bindgen.arg("--out-dir").arg(folder).arg(module))
}

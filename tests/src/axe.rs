//! axe-core, which looks whether everybody can use a page.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};

/// Its script, which `cargo xtask test` installs and names.
pub fn axe() -> Result<PathBuf> {
    let file = env::var_os("IAP2P_AXE").map(PathBuf::from);
    file.context("IAP2P_AXE names no axe-core: run `cargo xtask test --only end`")
}

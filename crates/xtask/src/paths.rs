//! Where things are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable for `cargo xtask`; a copied binary still knows where it was built.
    let here = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors()
        .nth(2)
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |set| root().join(set))
}

/// The built page.
pub(crate) fn dist() -> PathBuf {
    root().join("dist")
}

/// The folder of the user's cache in which this project keeps the tools it installs.
pub(crate) fn tools() -> Result<PathBuf> {
    Ok(base("XDG_CACHE_HOME", ".cache")?.join("iap2p/tools"))
}

/// The folder of the user's data in which cut models are kept.
pub(crate) fn models() -> Result<PathBuf> {
    Ok(base("XDG_DATA_HOME", ".local/share")?.join("iap2p/models"))
}

fn base(variable: &str, below_home: &str) -> Result<PathBuf> {
    match env::var_os(variable).filter(|set| !set.is_empty()) {
        Some(set) => Ok(set.into()),
        None => Ok(PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(below_home)),
    }
}

/// The first file of that name in the folders of PATH.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

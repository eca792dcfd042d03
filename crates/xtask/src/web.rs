//! The page: Trunk builds the application and its worker into `dist/`.

use std::{env, path::PathBuf, thread};

use anyhow::{Context, Result};

use crate::{
    paths, precache, relaxed,
    shell::{self, Shell},
};

/// Builds `dist/`.
pub(crate) fn build(shell: &Shell) -> Result<()> {
    let mut trunk = shell.command("trunk");
    trunk
        .args(["build", "--locked"])
        // It would ask the network whether there is a newer Trunk.
        .env("TRUNK_SKIP_VERSION_CHECK", "true")
        // Trunk takes NO_COLOR=1 for an argument of its own and stops.
        .env_remove("NO_COLOR")
        .env_remove("RUSTFLAGS");
    // Trunk builds one part after the other, and the end of each keeps one core busy: the second compute worker is compiled
    // meanwhile. What went wrong with it is said when [`finish`] wants it.
    thread::scope(|scope| {
        scope.spawn(|| relaxed::compile(shell));
        shell::run(&mut trunk)
    })?;
    anyhow::ensure!(
        paths::dist().join("index.html").is_file(),
        "Trunk has written no page to {}",
        paths::dist().display()
    );
    Ok(())
}

/// The end of a build, before Trunk moves the result to `dist/`: the second compute worker, and the list of all files
/// in the service worker.
pub(crate) fn finish() -> Result<()> {
    let folder = env::var_os("TRUNK_STAGING_DIR")
        .map(PathBuf::from)
        .context("no TRUNK_STAGING_DIR: Trunk calls this while it builds, see Trunk.toml")?;
    relaxed::build(&Shell::with_tools([])?, &folder)?;
    precache::write(&folder)
}

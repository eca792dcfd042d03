//! The page: Trunk builds the application and its worker into `dist/`.

use anyhow::Result;

use crate::{
    paths,
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
    shell::run(&mut trunk)?;
    anyhow::ensure!(
        paths::dist().join("index.html").is_file(),
        "Trunk has written no page to {}",
        paths::dist().display()
    );
    Ok(())
}

//! Packages from npm, as a lock file in the repository names them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    paths,
    shell::{self, Shell},
};

/// Which packages there are, and what npm is to know besides.
const LOCK: &str = "package-lock.json";
const DESCRIPTION: [&str; 3] = ["package.json", LOCK, ".npmrc"];

/// Installs the packages that `tests/NAME` describes below the target folder, if they are not there, and copies these files
/// of it beside them; says where.
pub(crate) fn packages(shell: &Shell, name: &str, files: &[&str]) -> Result<PathBuf> {
    let source = paths::root().join("tests").join(name);
    let folder = paths::target().join(name).join("packages");
    fs::create_dir_all(&folder)?;
    // Written when all are there.
    let installed = folder.join("installed");
    let lock = fs::read(source.join(LOCK)).context(LOCK)?;
    if fs::read(&installed).ok().as_ref() != Some(&lock) {
        copy(&source, &folder, &DESCRIPTION)?;
        let mut npm = shell.command("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund"]);
        shell::run(npm.current_dir(&folder))?;
        fs::write(&installed, lock)?;
    }
    copy(&source, &folder, files)?;
    Ok(folder)
}

fn copy(source: &Path, folder: &Path, files: &[&str]) -> Result<()> {
    for file in files {
        fs::copy(source.join(file), folder.join(file)).with_context(|| (*file).to_owned())?;
    }
    Ok(())
}

//! A page with a node of the JavaScript implementation of libp2p, which the end-to-end tests meet.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use crate::{
    paths,
    shell::{self, Shell},
};

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>js-libp2p</title><script type=module src=node.js></script>";

/// Which packages there are, and what npm is to know besides.
const LOCK: &str = "package-lock.json";
const DESCRIPTION: [&str; 3] = ["package.json", LOCK, ".npmrc"];

/// Builds the page below the target folder, from packages that are installed if they are not there; says where it is.
pub(super) fn page(shell: &Shell) -> Result<PathBuf> {
    let (source, folder) = (
        paths::root().join("tests/js-libp2p"),
        paths::target().join("js-libp2p"),
    );
    let (packages, page) = (folder.join("packages"), folder.join("page"));
    fs::create_dir_all(&packages)?;
    fs::create_dir_all(&page)?;
    // Written when all are there.
    let installed = packages.join("installed");
    let lock = fs::read(source.join(LOCK)).context(LOCK)?;
    if fs::read(&installed).ok().as_ref() != Some(&lock) {
        for file in DESCRIPTION {
            fs::copy(source.join(file), packages.join(file)).context(file)?;
        }
        let mut npm = shell.command("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund"]);
        shell::run(npm.current_dir(&packages))?;
        fs::write(&installed, lock)?;
    }
    fs::copy(source.join("node.js"), packages.join("node.js"))?;
    let mut esbuild = shell.command(packages.join("node_modules/.bin/esbuild"));
    esbuild.args(["node.js", "--bundle", "--format=esm"]);
    esbuild.args(["--platform=browser", "--log-level=warning"]);
    esbuild.arg(format!("--outfile={}", page.join("node.js").display()));
    shell::run(esbuild.current_dir(&packages))?;
    fs::write(page.join("index.html"), PAGE)?;
    Ok(page)
}

//! A page with a node of the JavaScript implementation of libp2p, which the end-to-end tests meet.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::{
    paths,
    setup::npm,
    shell::{self, Shell},
};

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>js-libp2p</title><script type=module src=node.js></script>";

/// Builds the page below the target folder, from packages that are installed if they are not there; says where it is.
pub(super) fn page(shell: &Shell) -> Result<PathBuf> {
    let packages = npm::packages(shell, "js-libp2p", &["node.js"])?;
    let page = paths::target().join("js-libp2p/page");
    fs::create_dir_all(&page)?;
    let mut esbuild = shell.command(packages.join("node_modules/.bin/esbuild"));
    esbuild.args(["node.js", "--bundle", "--format=esm"]);
    esbuild.args(["--platform=browser", "--log-level=warning"]);
    esbuild.arg(format!("--outfile={}", page.join("node.js").display()));
    shell::run(esbuild.current_dir(&packages))?;
    fs::write(page.join("index.html"), PAGE)?;
    Ok(page)
}

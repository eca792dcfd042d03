//! A page with a node of the JavaScript implementation of libp2p, which the end-to-end tests meet.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    paths,
    shell::{self, Shell},
};

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>js-libp2p</title><script type=module src=node.js></script>";

/// What npm is to know.
const DESCRIPTION: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// Builds the page below the target folder, unless it is there, and says where.
pub(super) fn page(shell: &Shell) -> Result<PathBuf> {
    let (source, folder) = (
        paths::root().join("tests/js-libp2p"),
        paths::target().join("js-libp2p"),
    );
    let (packages, page) = (folder.join("packages"), folder.join("page"));
    fs::create_dir_all(&packages)?;
    fs::create_dir_all(&page)?;
    if !same(&source, &packages, "package-lock.json") || !packages.join("complete").exists() {
        for file in DESCRIPTION {
            fs::copy(source.join(file), packages.join(file)).with_context(|| file.to_owned())?;
        }
        let mut npm = shell.command("npm");
        npm.args(["ci", "--silent", "--no-audit", "--no-fund"]);
        shell::run(npm.current_dir(&packages))?;
        fs::write(packages.join("complete"), "")?;
    }
    fs::copy(source.join("node.js"), packages.join("node.js"))?;
    let mut esbuild = shell.command("npx");
    esbuild.args(["esbuild", "node.js", "--bundle", "--format=esm"]);
    esbuild.args(["--platform=browser", "--log-level=warning"]);
    esbuild.arg(format!("--outfile={}", page.join("node.js").display()));
    shell::run(esbuild.current_dir(&packages))?;
    fs::write(page.join("index.html"), PAGE)?;
    Ok(page)
}

fn same(one: &Path, other: &Path, file: &str) -> bool {
    let read = |folder: &Path| fs::read(folder.join(file)).ok();
    read(one) == read(other)
}

//! A page with a node that measures what the network adds, for the tabs of `lab overhead`.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::{
    paths,
    shell::{self, Shell},
    wasm,
};

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Probe</title>
<script type=module>import init, { Probe } from './probe.js'; await init(); globalThis.Probe = Probe;</script>";

/// Builds it and says where it is.
pub(crate) fn page(shell: &Shell, profile: &str) -> Result<PathBuf> {
    let mut cargo = shell.cargo(&["build", "--locked", "--target", wasm::TARGET]);
    // With those that are tested in Chromium: what all depend on is then built like for them, and so it is there.
    cargo.args(["--package", "webrtc", "--package", "network"]);
    cargo.args(["--package", "probe", "--example", "probe_page"]);
    shell::run(cargo.args(["--profile", profile]))?;
    let page = paths::target().join("probe/page");
    fs::create_dir_all(&page)?;
    let module = wasm::module(&paths::target(), profile, "examples/probe_page");
    wasm::bind(shell, &module, &page, "probe")?;
    fs::write(page.join("index.html"), PAGE)?;
    Ok(page)
}

//! A page with a node that measures what the network adds, for the tabs of `lab overhead`.

use std::{fs, path::PathBuf};

use anyhow::Result;

use crate::{
    paths,
    shell::{self, Shell},
};

const PAGE: &str = "<!doctype html><meta charset=utf-8><title>Probe</title>
<script type=module>import init, { Probe } from './probe.js'; await init(); globalThis.Probe = Probe;</script>";

const WASM: &str = "wasm32-unknown-unknown";

/// Builds it and says where it is.
pub(crate) fn page(shell: &Shell, profile: &str) -> Result<PathBuf> {
    let mut cargo = shell.cargo(&["build", "--locked", "--target", WASM]);
    // With those that are tested in Chromium: what all depend on is then built like for them, and so it is there.
    cargo.args(["--package", "webrtc", "--package", "network"]);
    cargo.args(["--package", "probe", "--example", "probe_page"]);
    shell::run(cargo.args(["--profile", profile]))?;
    let built = if profile == "dev" { "debug" } else { profile };
    let page = paths::target().join("probe/page");
    fs::create_dir_all(&page)?;
    let mut bindgen = shell.command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-name", "probe"]);
    bindgen.arg("--out-dir").arg(&page);
    let module = paths::target()
        .join(WASM)
        .join(built)
        .join("examples/probe_page.wasm");
    shell::run(bindgen.arg(module))?;
    fs::write(page.join("index.html"), PAGE)?;
    Ok(page)
}

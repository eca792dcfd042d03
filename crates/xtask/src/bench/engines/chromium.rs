//! Beside wllama, in a worker of a page each.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;

use super::{
    Options, WLLAMA,
    speed::{Engine, Place, Row, Speed},
};
use crate::{
    bench::{
        browser::{Content, Page},
        kernels::build_example,
    },
    shell::{self, Shell},
};

/// Builds and installs both engines, and puts them into a page.
pub(super) fn prepare(
    shell: &Shell,
    options: &Options,
    model: &Path,
    folder: &Path,
) -> Result<Page> {
    let wllama = install_wllama(shell, folder)?;
    let parameters = serde_json::json!({
        "rounds": options.rounds, "prompt": options.prompt, "answer": options.answer,
    });
    let example = |relaxed| build_example(shell, "inference", "engine_wasm", relaxed);
    Ok(Page {
        contents: HashMap::from([
            ("/", Content::Text(include_str!("page.html"))),
            (
                "/parameters.js",
                Content::Text(parameters.to_string().leak()),
            ),
            ("/model.gguf", Content::File(model.to_owned())),
            ("/wllama.js", Content::File(wllama.join("esm/index.min.js"))),
            // The build with 64-bit addresses; its other one, for older browsers, is the slower of the two.
            (
                "/wllama.wasm",
                Content::File(wllama.join("esm/wasm/wllama.wasm")),
            ),
            ("/simd128.wasm", Content::File(example(false)?)),
            ("/relaxed.wasm", Content::File(example(true)?)),
        ]),
        patience: Duration::from_secs(1800),
    })
}

fn install_wllama(shell: &Shell, folder: &Path) -> Result<PathBuf> {
    let wllama = folder.join(format!("wllama-{WLLAMA}"));
    if !wllama.is_dir() {
        let partial = folder.join("partial");
        fs::create_dir_all(&partial)?;
        let package = format!("@wllama/wllama@{WLLAMA}");
        let mut npm = shell.command("npm");
        npm.args(["install", "--silent", "--prefix"]).arg(&partial);
        shell::run(npm.arg(package))?;
        fs::rename(partial.join("node_modules/@wllama/wllama"), &wllama)?;
    }
    Ok(wllama)
}

pub(super) fn run(page: Page, shell: &Shell) -> Result<Vec<Row>> {
    println!("      in Chromium");
    let result = page.run(shell)?;
    [
        ("relaxed", Engine::Ours),
        ("simd128", Engine::OursWithoutRelaxedSimd),
        ("wllama", Engine::Wllama),
    ]
    .into_iter()
    .map(|(key, engine)| {
        Ok(Row {
            place: Place::Chromium,
            engine,
            speed: Speed::read(&result[key])?,
        })
    })
    .collect()
}

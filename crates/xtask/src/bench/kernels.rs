//! `cargo xtask bench kernels`.

mod table;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Args;
use gguf::TensorType;
use serde_json::Value;

use self::table::{Measured, Native, Speeds};
use super::{
    browser::{Content, Page},
    report::Report,
};
use crate::{
    paths, relaxed,
    shell::{self, Shell},
    wasm,
};

const TOKENS: [u32; 3] = [1, 8, 32];

#[derive(Args)]
pub(crate) struct Options {
    /// Rounds of which the best counts
    #[arg(long, default_value_t = 30)]
    rounds: u32,
    /// Only these types of weights
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let shell = Shell::with_tools([])?;
    let builds = Builds::prepare(&shell)?;
    let report = Report::begin("kernels", "cargo xtask bench kernels");
    let single = native(&shell, options, &builds.native, 1)?;
    // There are more types of weights than there are products for: the program knows.
    let types = TensorType::ALL.iter().copied();
    let types: Vec<_> = types
        .filter(|ty| single.speeds.contains_key(ty.name()))
        .collect();
    let measured = Measured {
        native: single,
        two_threads: native(&shell, options, &builds.native, 2)?,
        chromium: chromium(&shell, options, &types, builds)?,
    };
    let table = measured.table(&types);
    println!("\n{table}");
    if options.types.is_empty() {
        report.write(&table)?;
    }
    Ok(())
}

/// What is measured.
struct Builds {
    native: PathBuf,
    simd128: PathBuf,
    relaxed: PathBuf,
}

impl Builds {
    fn prepare(shell: &Shell) -> Result<Self> {
        shell::run(&mut shell.cargo(&[
            "build",
            "--locked",
            "--release",
            "--package",
            "kernels",
            "--features",
            "threads",
            "--example",
            "speed",
        ]))?;
        Ok(Self {
            native: paths::target().join("release/examples/speed"),
            simd128: build_example(shell, "kernels", "speed_wasm", false)?,
            relaxed: build_example(shell, "kernels", "speed_wasm", true)?,
        })
    }
}

fn native(shell: &Shell, options: &Options, program: &Path, threads: u32) -> Result<Native> {
    let mut command = shell.command(program);
    command
        .args(&options.types)
        .env("ROUNDS", options.rounds.to_string())
        .env("RAYON_NUM_THREADS", threads.to_string());
    shell::say(&command);
    let output = command.stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "the native benchmark failed");
    let mut speeds: HashMap<String, Speeds> = HashMap::new();
    let mut isa = String::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let line: Value = serde_json::from_str(line)?;
        let text = |key: &str| line[key].as_str().map(str::to_owned).context("not a text");
        let number = |key: &str| line[key].as_f64().context("not a number");
        isa = text("isa")?;
        let speeds = speeds.entry(text("type")?).or_default();
        speeds.read = number("read")?;
        speeds
            .products
            .insert(number("tokens")? as u32, number("bytes")?);
    }
    Ok(Native { speeds, isa })
}

/// By build and type.
fn chromium(
    shell: &Shell,
    options: &Options,
    types: &[TensorType],
    builds: Builds,
) -> Result<HashMap<(&'static str, String), Speeds>> {
    let numbers: Vec<u32> = types.iter().map(|ty| ty.id()).collect();
    let parameters = serde_json::json!({ "rounds": options.rounds, "types": numbers }).to_string();
    let page = Page {
        contents: HashMap::from([
            ("/", Content::Text(include_str!("kernels/page.html"))),
            ("/parameters.js", Content::Text(parameters.leak())),
            ("/simd128.wasm", Content::File(builds.simd128)),
            ("/relaxed.wasm", Content::File(builds.relaxed)),
        ]),
        patience: Duration::from_secs(1200),
    };
    let result = page.run(shell)?;
    let best = |key: String| {
        result["best"][&key]
            .as_f64()
            .with_context(|| format!("no {key}"))
    };
    let mut speeds = HashMap::new();
    for name in ["simd128", "relaxed"] {
        for ty in types {
            let products =
                TOKENS.map(|tokens| Ok((tokens, best(format!("{name},{},{tokens}", ty.id()))?)));
            let products = products.into_iter().collect::<Result<_>>()?;
            let read = best(format!("read,{}", ty.id()))?;
            speeds.insert((name, ty.name().to_owned()), Speeds { read, products });
        }
    }
    Ok(speeds)
}

/// An example as a module for a page, copied to where the other build of it does not take its place.
pub(super) fn build_example(
    shell: &Shell,
    package: &str,
    example: &str,
    is_relaxed: bool,
) -> Result<PathBuf> {
    let mut cargo = shell.cargo(&["build", "--locked", "--release", "--package", package]);
    cargo.args(["--example", example, "--target", wasm::TARGET]);
    if is_relaxed {
        relaxed::with_flags(&mut cargo);
    }
    shell::run(&mut cargo)?;
    let module = wasm::module(&paths::target(), "release", &format!("examples/{example}"));
    let kind = if is_relaxed { "relaxed" } else { "simd128" };
    let copy = paths::target().join(format!("bench/{example}-{kind}.wasm"));
    std::fs::create_dir_all(paths::target().join("bench"))?;
    std::fs::copy(module, &copy)?;
    Ok(copy)
}

//! `cargo xtask bench kernels`.

use std::{collections::HashMap, fmt::Write, path::PathBuf, time::Duration};

use anyhow::{Context, Result};
use clap::Args;
use gguf::TensorType;
use serde_json::Value;

use super::{
    browser::{Content, Page},
    report::Report,
};
use crate::{
    paths, relaxed,
    shell::{self, Shell},
};

const WASM: &str = "wasm32-unknown-unknown";
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
    let types: Vec<TensorType> = TensorType::ALL
        .iter()
        .copied()
        .filter(|ty| *ty != TensorType::Q8_K)
        .filter(|ty| options.types.is_empty() || options.types.iter().any(|t| t == ty.name()))
        .collect();
    let report = Report::begin("kernels", "cargo xtask bench kernels");
    let native = native(&shell, options)?;
    let chromium = chromium(&shell, options, &types)?;
    let table = table(&types, &native, &chromium);
    println!("\n{table}");
    if options.types.is_empty() {
        report.write(&table)?;
    }
    Ok(())
}

/// What a build does with a type: the speed of a plain read beside it, and for each number of tokens the bytes of
/// weights per second.
#[derive(Default)]
struct Speeds {
    read: f64,
    products: HashMap<u32, f64>,
}

/// By type, and the instructions.
fn native(shell: &Shell, options: &Options) -> Result<(HashMap<String, Speeds>, String)> {
    let mut cargo = shell.cargo(&[
        "run",
        "--locked",
        "--release",
        "--package",
        "kernels",
        "--example",
        "speed",
        "--",
    ]);
    cargo
        .args(&options.types)
        .env("ROUNDS", options.rounds.to_string());
    shell::say(&cargo);
    let output = cargo.stderr(std::process::Stdio::inherit()).output()?;
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
    Ok((speeds, isa))
}

/// By build and type.
fn chromium(
    shell: &Shell,
    options: &Options,
    types: &[TensorType],
) -> Result<HashMap<(&'static str, String), Speeds>> {
    let numbers: Vec<u32> = types.iter().map(|ty| ty.id()).collect();
    let parameters = serde_json::json!({ "rounds": options.rounds, "types": numbers }).to_string();
    let page = Page {
        contents: HashMap::from([
            ("/", Content::Text(include_str!("kernels.html"))),
            ("/parameters.js", Content::Text(parameters.leak())),
            (
                "/simd128.wasm",
                Content::File(build_example(shell, "kernels", "speed_wasm", false)?),
            ),
            (
                "/relaxed.wasm",
                Content::File(build_example(shell, "kernels", "speed_wasm", true)?),
            ),
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
    cargo.args(["--example", example, "--target", WASM]);
    if is_relaxed {
        relaxed::with_flags(&mut cargo);
    }
    shell::run(&mut cargo)?;
    let module = format!("{WASM}/release/examples/{example}.wasm");
    let kind = if is_relaxed { "relaxed" } else { "simd128" };
    let copy = paths::target().join(format!("bench/{example}-{kind}.wasm"));
    std::fs::create_dir_all(paths::target().join("bench"))?;
    std::fs::copy(paths::target().join(module), &copy)?;
    Ok(copy)
}

fn table(
    types: &[TensorType],
    (native, isa): &(HashMap<String, Speeds>, String),
    chromium: &HashMap<(&'static str, String), Speeds>,
) -> String {
    let mut out = format!(
        "One thread, rows of 4096 weights. The first figure is GB/s of weights for one token, with its share of a \
         plain read of memory in the same rounds; then GFLOP/s for 8 and for 32 tokens.\n\n\
         | type | {isa} | | | relaxed SIMD, Chromium | | | simd128, Chromium | | |\n\
         |---|---|---|---|---|---|---|---|---|---|\n\
         | tokens | 1 | 8 | 32 | 1 | 8 | 32 | 1 | 8 | 32 |\n"
    );
    for ty in types {
        let name = ty.name().to_owned();
        let _ = write!(out, "| {name} ");
        let columns = [
            native.get(&name),
            chromium.get(&("relaxed", name.clone())),
            chromium.get(&("simd128", name.clone())),
        ];
        for speeds in columns {
            for tokens in TOKENS {
                let speed = speeds.and_then(|s| Some((s.read, *s.products.get(&tokens)?)));
                let _ = match speed {
                    None => write!(out, "| "),
                    Some((read, bytes)) if tokens == 1 => {
                        write!(out, "| {:.1} ({:.2}) ", bytes / 1e9, bytes / read)
                    }
                    Some((_, bytes)) => {
                        let weights = bytes / ty.block_bytes() as f64 * ty.block_len() as f64;
                        write!(out, "| {:.0} ", 2.0 * weights * f64::from(tokens) / 1e9)
                    }
                };
            }
        }
        out.push_str("|\n");
    }
    out
}

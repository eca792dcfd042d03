//! `cargo xtask bench engines`.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use gguf::generate::Shape;
use serde_json::Value;

use super::{
    browser::{Content, Page},
    kernels::build_example,
    report,
};
use crate::{
    paths,
    shell::{self, Shell},
};

const WLLAMA: &str = "3.8.1";
const XLLAMACPP: &str = "2026.10.11549";

#[derive(Args)]
pub(crate) struct Options {
    /// The model; one of random weights where none is given
    #[arg(long, value_name = "FILE.gguf")]
    model: Option<PathBuf>,
    /// Size of the model of random weights, in MB
    #[arg(long, default_value_t = 300)]
    megabytes: u64,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 128)]
    prompt: u32,
    /// Tokens of the answer
    #[arg(long, default_value_t = 32)]
    answer: u32,
    /// Rounds in which every engine takes its turn; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Only natively
    #[arg(long)]
    native: bool,
}

/// Tokens per second.
#[derive(Clone, Copy, Default)]
struct Speed {
    prefill: f64,
    decode: f64,
}

impl Speed {
    fn read(value: &Value) -> Result<Self> {
        let number = |key: &str| {
            value[key]
                .as_f64()
                .with_context(|| format!("no {key} in {value}"))
        };
        Ok(Self {
            prefill: number("prefill")?,
            decode: number("decode")?,
        })
    }

    fn best(self, other: Self) -> Self {
        Self {
            prefill: self.prefill.max(other.prefill),
            decode: self.decode.max(other.decode),
        }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let shell = Shell::with_tools([])?;
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let model = model(options, &folder)?;
    let size = fs::metadata(&model)?.len();
    let mut rows = native(&shell, options, &model, &folder)?;
    if !options.native {
        rows.extend(chromium(&shell, options, &model, &folder)?);
    }
    let table = table(options, size, &rows);
    println!("\n{table}");
    if options.model.is_none() && !options.native {
        report::write("engines", "cargo xtask bench engines", &table)?;
    }
    Ok(())
}

fn model(options: &Options, folder: &Path) -> Result<PathBuf> {
    if let Some(file) = &options.model {
        return Ok(std::path::absolute(file)?);
    }
    let shape = Shape::dense(options.megabytes * 1_000_000);
    let file = folder.join(format!("random-{}.gguf", options.megabytes));
    if !fs::metadata(&file).is_ok_and(|found| found.len() == shape.file_len()) {
        println!("      generating {}", file.display());
        shape.write(1, BufWriter::new(File::create(&file)?))?;
    }
    Ok(file)
}

/// By engine and threads, ours and then what it is compared with.
type Rows = Vec<(String, Speed)>;

fn native(shell: &Shell, options: &Options, model: &Path, folder: &Path) -> Result<Rows> {
    shell::run(&mut shell.cargo(&[
        "build",
        "--locked",
        "--release",
        "--package",
        "inference",
        "--features",
        "threads",
        "--example",
        "engine",
    ]))?;
    let engine = paths::target().join("release/examples/engine");
    let python = python(shell, folder)?;
    let mut best: BTreeMap<(u32, bool), Speed> = BTreeMap::new();
    let (prompt, answer) = (options.prompt.to_string(), options.answer.to_string());
    for _ in 0..options.rounds {
        for threads in [1, 2] {
            let mut ours = shell.command(&engine);
            ours.arg(model).args([&prompt, &answer, "3"]);
            ours.env("RAYON_NUM_THREADS", threads.to_string());
            let mut theirs = shell.command(&python);
            theirs
                .arg("-c")
                .arg(include_str!("llama_cpp.py"))
                .arg(model);
            theirs.args([&prompt, &answer, &threads.to_string(), "3"]);
            for (command, is_ours) in [(&mut ours, true), (&mut theirs, false)] {
                let output = command.stderr(Stdio::null()).output()?;
                ensure!(output.status.success(), "an engine failed: {command:?}");
                let text = String::from_utf8_lossy(&output.stdout);
                let line = text.lines().rfind(|line| line.starts_with('{'));
                let speed = Speed::read(&serde_json::from_str(line.context("no result")?)?)?;
                let best = best.entry((threads, !is_ours)).or_default();
                *best = best.best(speed);
            }
        }
    }
    let name = |(threads, theirs): (u32, bool)| {
        let engine = if theirs { "llama.cpp" } else { "this project" };
        let plural = if threads == 1 { "" } else { "s" };
        format!("native, {threads} thread{plural} | {engine}")
    };
    Ok(best
        .into_iter()
        .map(|(key, speed)| (name(key), speed))
        .collect())
}

/// A Python with llama.cpp.
fn python(shell: &Shell, folder: &Path) -> Result<PathBuf> {
    let venv = folder.join(format!("xllamacpp-{XLLAMACPP}"));
    let python = venv.join("bin/python");
    if !python.is_file() {
        shell::run(
            shell
                .command("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
        )?;
        let package = format!("xllamacpp=={XLLAMACPP}");
        let mut pip = shell.command(&python);
        shell::run(pip.args(["-m", "pip", "install", "--quiet", &package]))?;
    }
    Ok(python)
}

fn chromium(shell: &Shell, options: &Options, model: &Path, folder: &Path) -> Result<Rows> {
    let wllama = folder.join(format!("wllama-{WLLAMA}"));
    if !wllama.is_dir() {
        let partial = folder.join("partial");
        fs::create_dir_all(&partial)?;
        let mut npm = shell.command("npm");
        let package = format!("@wllama/wllama@{WLLAMA}");
        shell::run(
            npm.args(["install", "--silent", "--prefix"])
                .arg(&partial)
                .arg(package),
        )?;
        fs::rename(partial.join("node_modules/@wllama/wllama"), &wllama)?;
    }
    let parameters = serde_json::json!({
        "rounds": options.rounds, "prompt": options.prompt, "answer": options.answer,
    });
    let example = |relaxed| build_example(shell, "inference", "engine_wasm", relaxed);
    let page = Page {
        contents: HashMap::from([
            ("/", Content::Text(include_str!("engines.html"))),
            (
                "/parameters.js",
                Content::Text(parameters.to_string().leak()),
            ),
            ("/model.gguf", Content::File(model.to_owned())),
            ("/wllama.js", Content::File(wllama.join("esm/index.min.js"))),
            (
                "/wllama.wasm",
                Content::File(wllama.join("esm/wasm/wllama.wasm")),
            ),
            ("/simd128.wasm", Content::File(example(false)?)),
            ("/relaxed.wasm", Content::File(example(true)?)),
        ]),
        patience: Duration::from_secs(1800),
    };
    let result = page.run(shell)?;
    [
        ("relaxed", "this project, relaxed SIMD"),
        ("simd128", "this project, simd128"),
        ("wllama", "wllama"),
    ]
    .into_iter()
    .map(|(key, name)| {
        Ok((
            format!("Chromium, 1 thread | {name}"),
            Speed::read(&result[key])?,
        ))
    })
    .collect()
}

fn table(options: &Options, size: u64, rows: &Rows) -> String {
    let (prompt, answer) = (options.prompt, options.answer);
    let mut out = format!(
        "A model of {} MB (Q4_K and Q6_K), {prompt} tokens of prompt and {answer} of answer, best of {} rounds. \
         llama.cpp is PyPI's xllamacpp {XLLAMACPP}, wllama npm's {WLLAMA}.\n\n\
         | where | engine | prefill, tokens/s | decode, tokens/s |\n|---|---|---|---|\n",
        size / 1_000_000,
        options.rounds
    );
    for (name, Speed { prefill, decode }) in rows {
        out += &format!("| {name} | {prefill:.1} | {decode:.1} |\n");
    }
    out
}

//! `cargo xtask bench engines`.

mod chromium;
mod native;
mod speed;

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::Result;
use clap::Args;
use gguf::generate::Shape;

use self::speed::{Engine, Place, Row, Speed, Target};
use super::report::Report;
use crate::{paths, shell::Shell};

const WLLAMA: &str = "3.8.1";
const XLLAMACPP: &str = "2026.10.11549";

/// How much faster than the others this project means to be, and how much two threads are to bring.
const TARGETS: [Target; 4] = [
    Target {
        ours: (Place::Chromium, Engine::Ours),
        other: (Place::Chromium, Engine::Wllama),
        prefill: 5.0,
        decode: 3.0,
    },
    Target {
        ours: (Place::Native { threads: 1 }, Engine::Ours),
        other: (Place::Native { threads: 1 }, Engine::LlamaCpp),
        prefill: 1.0,
        decode: 1.4,
    },
    Target {
        ours: (Place::Native { threads: 2 }, Engine::Ours),
        other: (Place::Native { threads: 2 }, Engine::LlamaCpp),
        prefill: 1.0,
        decode: 1.4,
    },
    Target {
        ours: (Place::Native { threads: 2 }, Engine::Ours),
        other: (Place::Native { threads: 1 }, Engine::Ours),
        prefill: 1.8,
        decode: 1.8,
    },
];

#[derive(Args)]
pub(crate) struct Options {
    /// The model; one of random weights where none is given
    #[arg(long, value_name = "FILE.gguf")]
    model: Option<PathBuf>,
    /// Size of the model of random weights, in MB
    #[arg(long, default_value_t = 300)]
    megabytes: u64,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(8..=512))]
    prompt: u32,
    /// Tokens of the answer
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(2..=256))]
    answer: u32,
    /// Rounds in which every engine takes its turn; the best counts
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Only natively
    #[arg(long, conflicts_with = "browser")]
    native: bool,
    /// Only in Chromium
    #[arg(long)]
    browser: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let shell = Shell::with_tools([])?;
    let folder = paths::target().join("bench");
    fs::create_dir_all(&folder)?;
    let model = model(options, &folder)?;
    let size = fs::metadata(&model)?.len();
    let native = (!options.browser).then(|| native::Bench::prepare(&shell, &folder));
    let native = native.transpose()?;
    let page = (!options.native).then(|| chromium::prepare(&shell, options, &model, &folder));
    let page = page.transpose()?;
    let report = Report::begin("engines", "cargo xtask bench engines");
    let mut rows = Vec::new();
    if let Some(bench) = &native {
        rows.extend(bench.run(&shell, options, &model)?);
    }
    if let Some(page) = page {
        rows.extend(chromium::run(page, &shell)?);
    }
    let text = text(options, size, &rows);
    println!("\n{text}");
    // Half a table, or that of another model, is for whoever asked for it.
    if options.native || options.browser || options.model.is_some() {
        return Ok(());
    }
    report.write(&text)
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

fn text(options: &Options, size: u64, rows: &[Row]) -> String {
    let (prompt, answer) = (options.prompt, options.answer);
    let mut out = format!(
        "A model of {} MB (Q4_K and Q6_K), {prompt} tokens of prompt and {answer} of answer, best of {} rounds. \
         llama.cpp is PyPI's xllamacpp {XLLAMACPP}, wllama npm's {WLLAMA}.\n\n\
         | where | engine | prefill, tokens/s | decode, tokens/s |\n|---|---|---|---|\n",
        size / 1_000_000,
        options.rounds
    );
    for Row {
        place,
        engine,
        speed: Speed { prefill, decode },
    } in rows
    {
        out += &format!("| {place} | {engine} | {prefill:.1} | {decode:.1} |\n");
    }
    out += "\n| in this run | prefill | target | decode | target |\n|---|---|---|---|---|\n";
    out.extend(TARGETS.iter().filter_map(|target| target.line(rows)));
    out
}

//! A model of the real size, with random weights: cut and joined, identical, in little memory, nearly as fast as its
//! bytes can be copied and hashed.

use std::{
    fs::{self, File},
    io::{BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use gguf::{
    Writer,
    generate::{self, Preset},
};
use sha2::{Digest, Sha256};

use super::peak;
use crate::{
    paths, setup,
    shell::{self, Shell},
    steps::human,
};

/// What the project promises for files of any size.
const MEMORY_LIMIT: u64 = 200_000_000;

/// How fast cutting and joining must be, where copying and hashing is 1.
const SPEED: f64 = 0.7;

#[derive(Args)]
pub(crate) struct Options {
    /// The model's shape
    #[arg(long, default_value = "magistral-small-2509")]
    preset: String,
    /// Only so many of its layers
    #[arg(long)]
    layers: Option<u32>,
    /// Where the files go, which need twice the model's size
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Say how fast it was, whatever it was
    #[arg(long)]
    any_speed: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let preset = Preset::named(&options.preset).with_context(|| {
        let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
        format!(
            "no preset {:?}; there are {}",
            options.preset,
            names.join(", ")
        )
    })?;
    let shell = Shell::with_tools(setup::tool_folders()?)?;
    shell::run(&mut shell.cargo(&["build", "--locked", "--release", "--package", "node"]))?;
    let folder = options
        .folder
        .clone()
        .unwrap_or_else(|| paths::target().join("lab/fullsize"));
    fs::create_dir_all(&folder)?;
    let outcome = experiment(&shell, preset.writer(options.layers)?, &folder, options);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn experiment(shell: &Shell, writer: Writer, folder: &Path, options: &Options) -> Result<()> {
    let (model, copy) = (folder.join("model.gguf"), folder.join("copy.gguf"));
    let (fragments, joined) = (folder.join("fragments"), folder.join("joined.gguf"));
    let length = writer.file_len();
    let (free, needed) = (peak::free_space(folder)?, 2 * length + (1 << 30));
    ensure!(
        free > needed,
        "{free} bytes are free in {}, {needed} are needed",
        folder.display()
    );
    println!("generating {} ({length} bytes)", model.display());
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&model)?);
    generate::fill(writer, 1, &mut file)?;
    file.into_inner()?.sync_all()?;

    let (wanted, copying) = copy_and_hash(&model, &copy)?;
    fs::remove_file(&copy)?;
    let iap2p = |command: &str, files: [&Path; 2]| {
        let mut program = shell.command(paths::target().join("release/iap2p"));
        peak::measure(program.arg(command).args(files))
    };
    let cut = iap2p("cut", [&model, &fragments])?;
    fs::remove_file(&model)?;
    let join = iap2p("join", [&fragments, &joined])?;
    ensure!(
        digest(&joined)? == wanted,
        "the joined file differs from the original"
    );

    let speed = |time: Duration| length as f64 / time.as_secs_f64().max(1e-9);
    let megabytes = |time: Duration| (speed(time) / 1e6).round();
    println!("\n{length} bytes, joined file identical (SHA-256 {wanted})");
    println!(
        "  copy and hash {:>9}  {:>5} MB/s",
        human(copying),
        megabytes(copying)
    );
    for (what, cost) in [("cut", &cut), ("join", &join)] {
        println!(
            "  {what:13} {:>9}  {:>5} MB/s, {:.2} of that; peak memory {} MB",
            human(cost.time),
            megabytes(cost.time),
            speed(cost.time) / speed(copying),
            cost.bytes / 1_000_000
        );
    }
    let worst = cut.bytes.max(join.bytes);
    ensure!(
        worst <= MEMORY_LIMIT,
        "{worst} bytes of memory are more than {MEMORY_LIMIT}"
    );
    let slowest = cut.time.max(join.time);
    ensure!(
        options.any_speed || speed(slowest) >= SPEED * speed(copying),
        "slower than {SPEED} of the speed of copying and hashing"
    );
    Ok(())
}

/// What the speed is measured by: every byte read, hashed and written, and on disk at the end.
fn copy_and_hash(from: &Path, to: &Path) -> Result<(String, Duration)> {
    let started = Instant::now();
    let (mut from, mut to, mut hash) = (File::open(from)?, File::create(to)?, Sha256::new());
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            break;
        }
        hash.update(&piece[..count]);
        to.write_all(&piece[..count])?;
    }
    to.sync_all()?;
    Ok((hex(&hash.finalize()), started.elapsed()))
}

pub(super) fn digest(file: &Path) -> Result<String> {
    let (mut file, mut hash) = (File::open(file)?, Sha256::new());
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => hash.update(&piece[..count]),
        }
    }
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

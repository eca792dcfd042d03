//! A model of the real size, with random weights: cut and joined, identical, in little memory, nearly as fast as its
//! bytes can be copied and hashed.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use blake3::{Hash, Hasher};
use clap::Args;
use gguf::{
    Writer,
    generate::{self, Preset},
};

use super::peak::{self, Cost};
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
    /// Rounds in which copying, cutting and joining take turns; the best of each counts
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Where the files go, which need three times the model's size
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
    let (free, needed) = (peak::free_space(folder)?, 3 * length + (1 << 30));
    ensure!(
        free > needed,
        "{free} bytes are free in {}, {needed} are needed",
        folder.display()
    );
    println!("generating {} ({length} bytes)", model.display());
    let mut file = BufWriter::with_capacity(1 << 20, File::create(&model)?);
    generate::fill(writer, 1, &mut file)?;
    file.into_inner()?.sync_all()?;

    let iap2p = |command: &str, files: [&Path; 2]| {
        let mut program = shell.command(paths::target().join("release/iap2p"));
        peak::measure(program.arg(command).args(files))
    };
    // A disk is faster or slower by the place it writes to, and by what it has done before: hence in turns.
    let (mut copying, mut cut, mut join) = (Duration::MAX, Cost::WORST, Cost::WORST);
    for round in 1..=options.rounds {
        println!("round {round} of {}", options.rounds);
        let (wanted, time) = copy_and_hash(&model, &copy)?;
        copying = copying.min(time);
        fs::remove_file(&copy)?;
        cut = cut.better(iap2p("cut", [&model, &fragments])?);
        join = join.better(iap2p("join", [&fragments, &joined])?);
        ensure!(
            digest(&joined)? == wanted,
            "the joined file differs from the original"
        );
        fs::remove_file(&joined)?;
        fs::remove_dir_all(&fragments)?;
    }

    let speed = |time: Duration| length as f64 / time.as_secs_f64().max(1e-9);
    let megabytes = |time: Duration| (speed(time) / 1e6).round();
    println!("\n{length} bytes, joined file identical");
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
fn copy_and_hash(from: &Path, to: &Path) -> Result<(Hash, Duration)> {
    let started = Instant::now();
    let mut to = File::create(to)?;
    let hash = read(from, |piece| to.write_all(piece))?;
    to.sync_all()?;
    Ok((hash, started.elapsed()))
}

/// The digest of a file.
pub(super) fn digest(file: &Path) -> Result<Hash> {
    Ok(read(file, |_| Ok(()))?)
}

/// Hashes a file, and does something with each piece of it.
fn read(file: &Path, mut with: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Hash> {
    let (mut file, mut hasher) = (File::open(file)?, Hasher::new());
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize()),
            count => {
                hasher.update(&piece[..count]);
                with(&piece[..count])?;
            }
        }
    }
}

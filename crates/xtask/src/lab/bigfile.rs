//! A model far larger than memory should have to be: cut, verified, joined, identical.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};
use clap::Args;
use gguf::generate::Shape;

use super::{fullsize::digest, peak};
use crate::{
    paths, setup,
    shell::{self, Shell},
    steps::human,
};

/// What the project promises for files of any size.
const MEMORY_LIMIT: u64 = 200_000_000;

#[derive(Args)]
pub(crate) struct Options {
    /// Layers of the generated model; each adds 38 MB
    #[arg(long, default_value_t = 55)]
    layers: u32,
    /// Where the files go, which need three times the model's size
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let shell = Shell::with_tools(setup::tool_folders()?)?;
    shell::run(&mut shell.cargo(&["build", "--locked", "--release", "--package", "node"]))?;
    let folder = options
        .folder
        .clone()
        .unwrap_or_else(|| paths::target().join("lab/bigfile"));
    fs::create_dir_all(&folder)?;
    let outcome = experiment(&shell, options.layers, &folder);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn experiment(shell: &Shell, layers: u32, folder: &Path) -> Result<()> {
    let (model, fragments, joined) = (
        folder.join("model.gguf"),
        folder.join("fragments"),
        folder.join("joined.gguf"),
    );
    let shape = Shape {
        layers,
        ..Shape::dense(0)
    };
    let length = shape.file_len();
    let free = peak::free_space(folder)?;
    ensure!(
        free > 3 * length,
        "{free} bytes are free in {}, {} are needed",
        folder.display(),
        3 * length
    );
    println!("generating {} ({length} bytes)", model.display());
    let file = File::create(&model)?;
    shape.write(1, BufWriter::with_capacity(1 << 20, file))?;
    let wanted = digest(&model)?;
    let iap2p = |arguments: [&str; 1], files: &[&Path]| {
        let mut command = shell.command(paths::target().join("release/iap2p"));
        peak::measure(command.args(arguments).args(files))
    };
    let costs = [
        ("cut", iap2p(["cut"], &[&model, &fragments])?),
        ("verify", iap2p(["verify"], &[&fragments])?),
        ("join", iap2p(["join"], &[&fragments, &joined])?),
    ];
    ensure!(
        digest(&joined)? == wanted,
        "the joined file differs from the original"
    );
    println!("\n{length} bytes, joined file identical (BLAKE3 {wanted})");
    for (what, cost) in &costs {
        println!(
            "  {what:7} {:>9}  peak memory {:>4} MB",
            human(cost.time),
            cost.bytes / 1_000_000
        );
    }
    let worst = costs.iter().map(|(_, cost)| cost.bytes).max().unwrap_or(0);
    ensure!(
        worst <= MEMORY_LIMIT,
        "{worst} bytes of memory are more than {MEMORY_LIMIT}"
    );
    Ok(())
}

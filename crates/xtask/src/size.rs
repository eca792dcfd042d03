//! What a visitor downloads: the size of the page as served.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::paths;

/// A promise of the project: the whole application, compressed, stays below this.
const BUDGET: u64 = 5_000_000;

/// The level at which the node's web server compresses on the fly; a static host may do better.
const BROTLI_LEVEL: u32 = 4;

/// Prints the compressed size of every file of the built page and fails when together they are over the budget.
pub(crate) fn check() -> Result<()> {
    let dist = paths::dist();
    let mut files = Vec::new();
    list(&dist, &mut files).with_context(|| {
        format!(
            "{} cannot be read: run `cargo xtask web` first",
            dist.display()
        )
    })?;
    files.sort();
    let (mut raw_sum, mut sum) = (0, 0);
    println!("      {:>10} {:>10}", "bytes", "brotli");
    for file in &files {
        let bytes = fs::read(file)?;
        let raw = bytes.len() as u64;
        // A server sends what does not shrink as it is.
        let compressed = brotli_size(&bytes)?.min(raw);
        println!(
            "      {raw:>10} {compressed:>10}  {}",
            file.strip_prefix(&dist)?.display()
        );
        raw_sum += raw;
        sum += compressed;
    }
    println!(
        "      {raw_sum:>10} {sum:>10}  all {} files; the budget is {BUDGET}",
        files.len()
    );
    ensure!(
        sum <= BUDGET,
        "the page is {sum} bytes compressed, {} more than promised",
        sum - BUDGET
    );
    Ok(())
}

fn brotli_size(bytes: &[u8]) -> Result<u64> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 64 * 1024, BROTLI_LEVEL, 22);
    writer.write_all(bytes)?;
    writer.flush()?;
    Ok(writer.into_inner().len() as u64)
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?
        } else {
            files.push(path)
        }
    }
    Ok(())
}

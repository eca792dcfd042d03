use crate::progress::Bar;
use anyhow::{Result, bail};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Check all fragments of a folder
///
/// Every fragment is hashed and compared with its name, and its contents with the manifest. What is missing or damaged
/// is named; delete it and cut again, or let `iap2p serve` fetch it.
#[derive(Args)]
pub(crate) struct Options {
    /// A folder made by `iap2p cut`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let mut bar = Bar::default();
        let report = fragments::verify_folder(&self.folder, &mut bar)?;
        drop(bar);
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            for bad in &report.bad {
                writeln!(
                    out,
                    "damaged  fragment {} ({}): {}",
                    bad.index, bad.id, bad.reason
                )?;
            }
            for missing in &report.missing {
                writeln!(out, "missing  fragment {} ({})", missing.index, missing.id)?;
            }
            writeln!(
                out,
                "{} of model {}: {} fragments are good",
                self.folder.display(),
                report.model,
                report.good
            )?;
        }
        if !report.is_complete() {
            bail!(
                "{} fragments are damaged, {} are missing",
                report.bad.len(),
                report.missing.len()
            );
        }
        Ok(())
    }
}

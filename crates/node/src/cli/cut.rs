use crate::progress::Bar;
use anyhow::{Context, Result};
use clap::Args;
use fragments::{DEFAULT_FRAGMENT_SIZE, ModelFiles};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Cut a GGUF model into fragments
///
/// Writes one file per fragment and the manifest into a folder. The same file and fragment size give the same
/// fragments on any machine. An interrupted run is taken up where it stopped; memory stays small whatever the model's
/// size. What --web-seed has named in DIR stays named until others are.
#[derive(Args)]
pub(crate) struct Options {
    /// The model; any file of one that was split into several
    #[arg(value_name = "MODEL.gguf")]
    model: PathBuf,
    /// The folder for the fragments, created if it does not exist
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The length of a fragment's file at most
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_FRAGMENT_SIZE)]
    fragment_size: u32,
    /// A folder on a web server where the fragments will be found, too: copy DIR there, and allow pages of other
    /// origins to read it (CORS). Its address ends in /. May be given several times. The model gets another id by it
    #[arg(long = "web-seed", value_name = "URL")]
    web_seeds: Vec<String>,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let context = || format!("cannot cut {}", self.model.display());
        refuse_unsupported(&self.model).with_context(context)?;
        let mut bar = Bar::default();
        let manifest =
            fragments::cut_to_folder(&self.model, &self.folder, self.fragment_size, &mut bar)
                .with_context(context)?;
        drop(bar);
        let manifest = if self.web_seeds.is_empty() {
            manifest
        } else {
            fragments::name_web_seeds(&self.folder, self.web_seeds)?
        };
        let count = manifest.fragment_ids().len();
        writeln!(
            std::io::stdout(),
            "{} in {}: {count} fragments",
            manifest.id(),
            self.folder.display()
        )?;
        Ok(())
    }
}

/// A model that nobody could compute is better refused before gigabytes are written.
fn refuse_unsupported(model: &Path) -> Result<()> {
    let files = fragments::model_paths(model)?;
    let files = files.iter().map(File::open).collect::<Result<_, _>>()?;
    inference::model::check(ModelFiles::open(files)?.header())?;
    Ok(())
}

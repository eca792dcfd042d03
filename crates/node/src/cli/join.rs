use crate::progress::Bar;
use anyhow::Result;
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Put fragments together to the identical GGUF file
///
/// Every fragment is verified, and so is the result; only then does it get its name. A model that was split into
/// several files becomes the same files again: OUT-00001-of-00003.gguf and so on.
#[derive(Args)]
pub(crate) struct Options {
    /// A folder made by `iap2p cut`
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The file to make; it must not exist
    #[arg(value_name = "OUT.gguf")]
    output: PathBuf,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let mut bar = Bar::default();
        let (manifest, paths) = fragments::join_folder(&self.folder, &self.output, &mut bar)?;
        drop(bar);
        for (digest, path) in manifest.sha256().iter().zip(paths) {
            let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(std::io::stdout(), "{sha256}  {}", path.display())?;
        }
        Ok(())
    }
}

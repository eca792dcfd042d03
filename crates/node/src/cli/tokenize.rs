use anyhow::{Context, Result};
use clap::Args;
use inference::tokenizer::{Encode, Tokenizer};
use std::io::{Read, Write};
use std::path::PathBuf;

/// Show the tokens of a text
///
/// Reads the text from the standard input, exactly as it is, and prints the ids of its tokens, separated by blanks.
/// A file that holds a vocabulary and no weights will do.
#[derive(Args)]
pub(crate) struct Options {
    /// A GGUF file, or a folder made by `iap2p cut`
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Leave out the token that begins a text
    #[arg(long)]
    no_bos: bool,
    /// Read special tokens written out in the text (`</s>`, `[INST]`) as those tokens
    #[arg(long)]
    special: bool,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let tokenizer = if self.model.is_dir() {
            Tokenizer::new(&fragments::read_manifest(&self.model)?.header().metadata)?
        } else {
            let model = fragments::open_model(&self.model)
                .with_context(|| format!("cannot read {}", self.model.display()))?;
            Tokenizer::new(&model.header().metadata)?
        };
        let mut text = Vec::new();
        std::io::stdin()
            .read_to_end(&mut text)
            .context("cannot read the text")?;
        let text = String::from_utf8(text).context("the text is not UTF-8")?;
        let options = Encode {
            add_special: !self.no_bos,
            parse_special: self.special,
        };
        let tokens: Vec<_> = tokenizer
            .encode(&text, options)?
            .iter()
            .map(u32::to_string)
            .collect();
        writeln!(std::io::stdout(), "{}", tokens.join(" "))?;
        Ok(())
    }
}

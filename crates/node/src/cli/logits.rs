use super::ask::{Computing, Which};
use crate::backend::Tally;
use crate::npy;
use anyhow::Result;
use clap::Args;
use inference::compute::Arithmetic;
use inference::executor::CacheKind;
use inference::session::{Config, Event, Generation, Logits};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Write the logits behind given tokens, to compare engines
///
/// The file is a NumPy matrix of 32-bit floats, positions × vocabulary: row i is what may follow token i.
#[derive(Args)]
pub(crate) struct Options {
    /// A GGUF file, cut in memory, or a folder made by `iap2p cut`; the same as --model
    #[arg(value_name = "MODEL|DIR", conflicts_with_all = ["model", "peer"])]
    source: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// The tokens, beginning with the one that begins a text
    #[arg(long, value_name = "1,2,3", value_delimiter = ',', required = true)]
    tokens: Vec<u32>,
    #[command(flatten)]
    computing: Computing,
    /// Keep activations in 32 bits: slow, and as close to exact arithmetic as floats get
    #[arg(long, conflicts_with = "approximate")]
    exact: bool,
    /// How many tokens go through the layers together; changes no bit
    #[arg(long, value_name = "TOKENS", default_value_t = Config::default().batch)]
    batch: usize,
    /// The file to write
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        let ready = self.which.open_or(self.source.as_deref())?;
        let backend = &ready.backend.in_background();
        let config = self.computing.config();
        let arithmetic = if self.exact {
            Arithmetic::Reference
        } else {
            config.arithmetic
        };
        let mut session = backend.session(Config {
            arithmetic,
            batch: self.batch,
            // Engines are compared with a cache that rounds nothing, unless another is asked for.
            cache: config.cache.or(Some(CacheKind::F32)),
            ..config
        })?;
        let generation = Generation {
            max_tokens: 0,
            logits: Logits::All,
            ..Generation::default()
        };
        session.begin(&self.tokens, generation)?;
        let mut rows = Vec::with_capacity(self.tokens.len());
        backend.run(
            &mut session,
            &mut Tally::new(),
            &AtomicBool::new(false),
            |event| {
                if let Event::Logits { values, .. } = event {
                    rows.push(values);
                }
                Ok(())
            },
        )?;
        npy::write(&self.out, &rows)?;
        ready.runtime.shutdown_background();
        Ok(())
    }
}

use super::ask::{Computing, Which};
use crate::backend::Tally;
use anyhow::{Context, Result, ensure};
use clap::Args;
use inference::compute::Arithmetic;
use inference::session::{Config, Event, Generation, Logits};
use inference::tokenizer::{Encode, Token};
use serde::Serialize;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// How surprised a model is by a text
///
/// The figure is that of llama.cpp's program of the same name: the text's tokens are cut into windows, each begins with
/// the token that begins texts, and the second half of each window counts.
#[derive(Args)]
pub(crate) struct Options {
    /// A GGUF file, cut in memory, or a folder made by `iap2p cut`; the same as --model
    #[arg(value_name = "MODEL|DIR", conflicts_with_all = ["model", "peer"])]
    source: Option<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// The text
    #[arg(long, value_name = "TEXT")]
    file: PathBuf,
    /// Tokens of a window
    #[arg(long, value_name = "TOKENS", default_value_t = 512)]
    window: usize,
    #[command(flatten)]
    computing: Computing,
    /// Keep activations in 32 bits: slow, and as close to exact arithmetic as floats get
    #[arg(long, conflicts_with = "approximate")]
    exact: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    perplexity: f64,
    /// Tokens of the text.
    tokens: usize,
    window: usize,
    /// Tokens that count.
    counted: usize,
}

impl Options {
    pub(crate) fn run(self) -> Result<()> {
        ensure!(self.window >= 4, "a window needs at least 4 tokens");
        let at = || format!("cannot read {}", self.file.display());
        let text = fs::read_to_string(&self.file).with_context(at)?;
        let ready = self.which.open_or(self.source.as_deref())?;
        let backend = &ready.backend.in_background();
        let tokenizer = backend.model().tokenizer();
        let options = Encode {
            add_special: true,
            parse_special: false,
        };
        let tokens = tokenizer.encode(&text, options)?;
        ensure!(
            tokens.len() >= self.window,
            "the text has {} tokens, less than a window of {}",
            tokens.len(),
            self.window
        );
        let bos = tokenizer.vocabulary().bos.filter(|_| tokenizer.adds_bos());
        let config = self.computing.config();
        let arithmetic = if self.exact {
            Arithmetic::Reference
        } else {
            config.arithmetic
        };
        let mut session = backend.session(Config {
            arithmetic,
            ..config
        })?;
        let generation = Generation {
            max_tokens: 0,
            logits: Logits::All,
            ..Generation::default()
        };
        let (mut surprise, mut counted) = (0.0, 0);
        for window in tokens.chunks_exact(self.window) {
            let mut prompt = window.to_vec();
            if let Some(bos) = bos {
                prompt[0] = bos;
            }
            session.begin(&prompt, generation)?;
            let (mut tally, stop) = (Tally::new(), AtomicBool::new(false));
            backend.run(&mut session, &mut tally, &stop, |event| {
                if let Event::Logits { position, values } = event
                    && position >= self.window / 2
                    && let Some(&next) = window.get(position + 1)
                {
                    surprise += surprise_of(&values, next);
                    counted += 1;
                }
                Ok(())
            })?;
        }
        let report = Report {
            perplexity: (surprise / counted as f64).exp(),
            tokens: tokens.len(),
            window: self.window,
            counted,
        };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(&report)?)?;
        } else {
            writeln!(
                out,
                "perplexity {:.4} ({counted} of {} tokens count, windows of {})",
                report.perplexity, report.tokens, report.window
            )?;
        }
        ready.runtime.shutdown_background();
        Ok(())
    }
}

/// The negative logarithm of a token's probability.
fn surprise_of(logits: &[f32], token: Token) -> f64 {
    let best = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|&logit| f64::from(logit - best).exp())
        .sum();
    sum.ln() + f64::from(best) - f64::from(logits[token as usize])
}

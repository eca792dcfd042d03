//! The command line.

mod ask;
mod bootstrap;
mod chat;
mod cut;
mod generate;
mod inspect;
mod join;
mod logits;
mod node;
mod perplexity;
mod secret;
mod serve;
mod tokenize;
mod verify;

use anyhow::{Result, anyhow};
use clap::{Parser, Subcommand};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Inference-IA-P2P: a language model cut into fragments, computed by many.
///
/// A model that is too big for one computer is cut into fragments of about 10 MB. Nodes hold some of them and compute
/// on them for each other; whoever asks a question keeps the conversation on their own machine.
#[derive(Parser)]
#[command(name = "iap2p", version, after_long_help = EXAMPLES)]
pub(crate) struct Cli {
    /// What to log to the standard error output, such as `debug` or `warn,network=debug`
    #[arg(
        long,
        global = true,
        env = "IAP2P_LOG",
        value_name = "FILTER",
        default_value = "warn,libp2p_kad=error"
    )]
    log: String,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  Cut a model, check the fragments, put them together again:
    iap2p cut MODEL.gguf fragments/
    iap2p verify fragments/
    iap2p join fragments/ COPY.gguf

  A network of three on one machine (three terminals; the first prints the address to give to the others):
    iap2p bootstrap --model fragments/ --listen /ip4/127.0.0.1/tcp/4001
    iap2p serve --dir fragments/ --bootstrap /ip4/127.0.0.1/tcp/4001
    iap2p chat --peer /ip4/127.0.0.1/tcp/4001

  Without any network:
    iap2p generate --model MODEL.gguf --prompt \"Once upon a time\" --max-tokens 50";

#[derive(Subcommand)]
enum Command {
    Cut(cut::Options),
    Verify(verify::Options),
    Join(join::Options),
    Inspect(inspect::Options),
    Serve(serve::Options),
    Bootstrap(bootstrap::Options),
    Chat(chat::Options),
    Generate(generate::Options),
    Tokenize(tokenize::Options),
    Logits(logits::Options),
    Perplexity(perplexity::Options),
    Secret(secret::Options),
}

impl Cli {
    pub(crate) fn run(self) -> Result<()> {
        let filter = EnvFilter::try_new(&self.log)
            .map_err(|error| anyhow!("--log {:?} is no filter: {error}", self.log))?;
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .init();
        match self.command {
            Command::Cut(options) => options.run(),
            Command::Verify(options) => options.run(),
            Command::Join(options) => options.run(),
            Command::Inspect(options) => options.run(),
            Command::Serve(options) => options.run(),
            Command::Bootstrap(options) => options.run(),
            Command::Chat(options) => options.run(),
            Command::Generate(options) => options.run(),
            Command::Tokenize(options) => options.run(),
            Command::Logits(options) => options.run(),
            Command::Perplexity(options) => options.run(),
            Command::Secret(options) => options.run(),
        }
    }
}

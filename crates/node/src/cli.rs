//! The command line.

mod api;
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
mod status;
mod tokenize;
mod turn;
mod verify;
mod web;

pub(crate) use ask::today;

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
        default_value = "warn,libp2p_kad=error,yamux=error"
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

  For programs that speak OpenAI's HTTP API:
    iap2p api --peer /ip4/127.0.0.1/tcp/4001

  Without any network:
    iap2p generate --model MODEL.gguf --prompt \"Once upon a time\" --max-tokens 50";

#[derive(Subcommand)]
enum Command {
    Cut(cut::Options),
    Verify(verify::Options),
    Join(join::Options),
    Inspect(inspect::Options),
    Serve(serve::Options),
    Bootstrap(Box<bootstrap::Options>),
    Chat(chat::Options),
    Api(Box<api::Options>),
    Generate(generate::Options),
    Tokenize(tokenize::Options),
    Logits(logits::Options),
    Perplexity(perplexity::Options),
    Secret(secret::Options),
    Status(status::Options),
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
            Command::Api(options) => options.run(),
            Command::Generate(options) => options.run(),
            Command::Tokenize(options) => options.run(),
            Command::Logits(options) => options.run(),
            Command::Perplexity(options) => options.run(),
            Command::Secret(options) => options.run(),
            Command::Status(options) => options.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a text that start the program, without its path, lines that go on put together.
    fn commands(text: &str) -> Vec<Vec<String>> {
        let whole = text.replace("\\\n", " ");
        let starts = |line: &str| line.starts_with("iap2p ") || line.starts_with("ExecStart=");
        let lines = whole.lines().filter(|line| starts(line));
        // What stands behind is a comment, or where the output goes.
        let command = |line: &str| line.split(['#', '>']).next().unwrap_or_default().to_owned();
        let words = |line: &str| -> Vec<String> {
            let between_quotes = command(line);
            let parts = between_quotes.split('"').enumerate();
            let words = parts.flat_map(|(at, part)| match at % 2 {
                0 => part.split_whitespace().collect(),
                _ => vec![part],
            });
            words.map(str::to_owned).collect()
        };
        lines.map(words).collect()
    }

    #[test]
    fn what_the_documentation_says_to_type_is_understood() {
        let texts = [
            include_str!("../../../README.md"),
            include_str!("../../../docs/deployment.md"),
            include_str!("../../../docs/iap2p.service"),
        ];
        let mut understood = 0;
        for mut command in texts.into_iter().flat_map(commands) {
            // A placeholder that no option could take.
            for word in &mut command {
                if word == "ADDRESS" {
                    *word = "/ip4/192.0.2.1/tcp/4001".to_owned();
                }
            }
            match Cli::try_parse_from(&command) {
                Ok(_) => understood += 1,
                Err(error) if error.kind() == clap::error::ErrorKind::DisplayHelp => {}
                Err(error) => panic!("{command:?}: {error}"),
            }
        }
        assert!(understood >= 10, "only {understood} commands found");
    }
}

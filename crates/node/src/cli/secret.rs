//! The secret of a private swarm.

use anyhow::{Context, Result};
use clap::Args;
use network::Secret;
use std::path::{Path, PathBuf};

/// Make the secret of a new private swarm
///
/// Whoever knows it can join, compute and ask; to everybody else the nodes of the swarm are closed. Give every node
/// the same file:
///
///   iap2p secret > swarm.secret
///   iap2p bootstrap --secret-file swarm.secret …
///   iap2p serve --secret-file swarm.secret …
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Options {}

impl Options {
    pub(crate) fn run(&self) -> Result<()> {
        println!("{}", Secret::generate());
        Ok(())
    }
}

/// Which swarm, if it is a private one.
#[derive(Args)]
pub(crate) struct Private {
    /// Belong to a private swarm: the file with its secret, as `iap2p secret` makes it. The environment variable
    /// IAP2P_SECRET may hold the secret itself. Without QUIC, which cannot be tied to a secret
    #[arg(long, value_name = "FILE", env = "IAP2P_SECRET_FILE")]
    secret_file: Option<PathBuf>,
}

impl Private {
    pub(crate) fn secret(&self) -> Result<Option<Secret>> {
        if let Some(file) = &self.secret_file {
            return read(file).map(Some);
        }
        match std::env::var("IAP2P_SECRET") {
            Ok(text) if !text.is_empty() => {
                Some(text.trim().parse().context("IAP2P_SECRET")).transpose()
            }
            _ => Ok(None),
        }
    }
}

fn read(file: &Path) -> Result<Secret> {
    let at = || format!("cannot use the secret in {}", file.display());
    let text = std::fs::read_to_string(file).with_context(at)?;
    text.trim().parse().with_context(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("swarm.secret");
        let secret = Secret::generate();
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        let private = Private {
            secret_file: Some(file.clone()),
        };
        assert_eq!(private.secret().unwrap(), Some(secret));
        std::fs::write(&file, "open sesame").unwrap();
        let error = format!("{:#}", private.secret().unwrap_err());
        assert!(
            error.contains("swarm.secret") && error.contains("64"),
            "{error}"
        );
    }
}

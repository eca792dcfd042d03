//! Addresses of peers that were met, kept beside the key: with them a node finds back when no bootstrap node answers.

use crate::files::{self, Readers};
use network::{Handle, Multiaddr};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer files are not ours.
const MAX_BYTES: u64 = 64 << 10;
/// Between two looks at who was met.
const EVERY: Duration = Duration::from_secs(60);

/// The file with the addresses, one a line.
#[derive(Debug, Clone)]
pub(crate) struct Peers(PathBuf);

impl Peers {
    pub(crate) fn beside(key: &Path) -> Self {
        Self(key.with_extension("peers"))
    }

    /// What was kept last time. What cannot be read is as good as nothing.
    pub(crate) fn read(&self) -> Vec<Multiaddr> {
        let readable = std::fs::metadata(&self.0).is_ok_and(|file| file.len() <= MAX_BYTES);
        let text = readable
            .then(|| std::fs::read_to_string(&self.0).ok())
            .flatten()
            .unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Keeps these, unless there are none: whoever has met nobody this time still knows the others.
    pub(crate) fn write(&self, known: &[Multiaddr]) -> io::Result<()> {
        if known.is_empty() {
            return Ok(());
        }
        let text: String = known.iter().map(|address| format!("{address}\n")).collect();
        files::write(&self.0, text.as_bytes(), Readers::Everyone)
    }

    /// Keeps them up to date for as long as it runs.
    pub(crate) async fn keep(&self, network: &Handle) {
        loop {
            tokio::time::sleep(EVERY).await;
            self.note(network);
        }
    }

    pub(crate) fn note(&self, network: &Handle) {
        if let Err(error) = self.write(&network.known()) {
            tracing::warn!("cannot write {}: {error}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_kept_and_nonsense_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let peers = Peers::beside(&folder.path().join("serve.key"));
        assert!(peers.read().is_empty());
        let known: Vec<Multiaddr> = ["/ip4/127.0.0.1/tcp/1", "/dns4/a.example/tcp/443/wss"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        peers.write(&known).unwrap();
        assert_eq!(peers.read(), known);
        peers.write(&[]).unwrap();
        assert_eq!(peers.read(), known);
        std::fs::write(
            folder.path().join("serve.peers"),
            "nonsense\n/ip4/127.0.0.1/tcp/1\n\u{0}",
        )
        .unwrap();
        assert_eq!(peers.read(), known[..1]);
    }
}

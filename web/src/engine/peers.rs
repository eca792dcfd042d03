//! Nodes this browser has met: with them a page finds back when no entry point answers.

use network::Multiaddr;

use crate::platform::storage;

const KEY: &str = "iap2p.peers";

/// More text than our own is not ours.
const MAX_BYTES: usize = 64 << 10;

/// What was kept, by whichever tab.
pub(super) fn remembered() -> Vec<Multiaddr> {
    parse(&storage::browser().get(KEY).unwrap_or_default())
}

/// Keeps these, unless there are none: whoever has met nobody this time still knows the others.
pub(super) fn remember(known: &[Multiaddr]) {
    if !known.is_empty() {
        storage::browser().set(KEY, &print(known));
    }
}

fn print(known: &[Multiaddr]) -> String {
    known.iter().map(|address| format!("{address}\n")).collect()
}

fn parse(text: &str) -> Vec<Multiaddr> {
    if text.len() > MAX_BYTES {
        return Vec::new();
    }
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_read_and_nonsense_is_passed_over() {
        let known = vec!["/ip4/10.0.0.1/tcp/1/ws".parse().expect("an address")];
        assert_eq!(parse(&print(&known)), known);
        assert_eq!(parse("nonsense\n/ip4/10.0.0.1/tcp/1/ws\n"), known);
        assert!(parse(&"/ip4/10.0.0.1/tcp/1/ws\n".repeat(10_000)).is_empty());
    }
}

//! Who this tab is in the network: a key pair that survives a reload, and that no other tab has.

use network::Identity;
use web_bridge::locks;

use crate::platform::storage;

const KEY: &str = "iap2p.identity";

/// The key pair of this tab. A duplicated tab inherits the storage of the one it was copied from, but not its lock:
/// it gets a key pair of its own.
pub(super) async fn own() -> Identity {
    let kept = storage::tab().get(KEY).and_then(|text| parse(&text));
    if let Some(identity) = kept
        && claim(&identity).await
    {
        return identity;
    }
    let identity = Identity::generate();
    claim(&identity).await;
    storage::tab().set(KEY, &print(&identity.to_bytes()));
    identity
}

async fn claim(identity: &Identity) -> bool {
    let name = format!("tab:{}", identity.peer_id());
    let lock = locks::claim(&name).await;
    let ours = lock.is_some();
    // Held until the tab is closed.
    std::mem::forget(lock);
    ours
}

fn print(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<Identity> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    Identity::from_bytes(&bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_a_reload() {
        let identity = Identity::generate();
        let again = parse(&print(&identity.to_bytes())).expect("readable");
        assert_eq!(again.peer_id(), identity.peer_id());
        assert!(parse("zz").is_none());
        assert!(parse("é").is_none());
    }
}

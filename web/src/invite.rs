//! What an invitation says: which model, and where the network can be entered.
//!
//! An invite link carries it in the URL fragment,
//! `#model=<id>&bootstrap=<multiaddress>[&bootstrap=…][&secret=<of a private swarm>][&lend=2]`, which browsers never send
//! to the web server. A page opened without one asks its origin for `bootstrap.json`.

use serde::{Deserialize, Serialize};

/// More entry points than this make a link too long for a QR code a phone can read.
const ENTRIES_IN_LINK: usize = 3;

/// A network to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Swarm {
    /// Id of the model's manifest.
    pub(crate) model: String,
    /// Number of fragments, where known before joining.
    #[serde(default)]
    pub(crate) fragments: Option<u32>,
    /// Multiaddresses of nodes that let others in.
    pub(crate) bootstrap: Vec<String>,
    /// What the members of a private swarm know; 64 hexadecimal digits.
    #[serde(default)]
    pub(crate) secret: Option<String>,
}

/// What the URL fragment says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Invite {
    /// The network, if it is named completely.
    pub(crate) swarm: Option<Swarm>,
    /// How many fragments the link proposes to lend.
    pub(crate) lend: Option<u32>,
}

impl Invite {
    /// Reads a whole link or just its fragment.
    pub(crate) fn parse(link: &str) -> Self {
        let fragment = link.split_once('#').map_or(link, |(_, fragment)| fragment);
        let (mut model, mut bootstrap, mut secret, mut lend) = (None, Vec::new(), None, None);
        for (key, value) in fragment
            .trim()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
        {
            let value = percent_decode(value);
            match key {
                "model" if !value.is_empty() => model = Some(value),
                "bootstrap" if value.starts_with('/') => bootstrap.push(value),
                // One that is misspelt stays: it will let nobody in, and does not pass for none.
                "secret" if !value.is_empty() => secret = Some(value),
                "lend" => lend = value.parse().ok(),
                _ => {}
            }
        }
        let swarm = model.filter(|_| !bootstrap.is_empty()).map(|model| Swarm {
            model,
            fragments: None,
            bootstrap,
            secret,
        });
        Self { swarm, lend }
    }
}

impl Swarm {
    /// The link that invites to this network, on the page at `page` (its address without a fragment).
    pub(crate) fn link(&self, page: &str) -> String {
        let mut link = format!("{page}#model={}", percent_encode(&self.model));
        for address in self.bootstrap.iter().take(ENTRIES_IN_LINK) {
            link.push_str("&bootstrap=");
            link.push_str(&percent_encode(address));
        }
        if let Some(secret) = &self.secret {
            link.push_str("&secret=");
            link.push_str(&percent_encode(secret));
        }
        link
    }
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Escapes what would end a value or not survive being pasted; slashes and colons stay readable.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"/.-_~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swarm() -> Swarm {
        Swarm {
            model: "bafkr4imodel".into(),
            fragments: None,
            bootstrap: vec![
                "/ip4/10.0.0.1/tcp/9001/ws/p2p/12D3Koo".into(),
                "/dns4/é.example/tcp/443/wss".into(),
            ],
            secret: Some("5ec2e7".into()),
        }
    }

    #[test]
    fn a_link_leads_to_the_network_it_was_made_for() {
        let link = swarm().link("http://host:8080/");
        assert!(link.is_ascii(), "{link}");
        assert_eq!(Invite::parse(&link).swarm, Some(swarm()));
    }

    #[test]
    fn a_link_without_a_way_in_is_no_invitation() {
        assert_eq!(Invite::parse("#model=bafk").swarm, None);
        assert_eq!(Invite::parse("#bootstrap=/ip4/1.2.3.4").swarm, None);
        assert_eq!(Invite::parse("https://example.org/").swarm, None);
        assert_eq!(
            Invite::parse("#model=bafk&bootstrap=javascript:alert(1)").swarm,
            None
        );
    }

    #[test]
    fn a_link_may_propose_how_much_to_lend() {
        let invite = Invite::parse("#model=a&bootstrap=/ip4/1.2.3.4&lend=3");
        assert_eq!(invite.lend, Some(3));
        assert_eq!(Invite::parse("#lend=3").lend, Some(3));
        assert_eq!(Invite::parse("#lend=many").lend, None);
    }

    #[test]
    fn escapes_cut_short_are_taken_as_they_are() {
        assert_eq!(percent_decode("50%"), "50%");
        assert_eq!(percent_decode("%e9%2"), "\u{fffd}%2");
        assert_eq!(percent_decode("%é"), "%é");
    }
}

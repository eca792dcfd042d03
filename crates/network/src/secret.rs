use std::{fmt, str::FromStr};

/// What the members of a private swarm know, and nobody else: 32 random bytes.
///
/// Every handshake is tied to it, so that a stranger's fails before any protocol answers. (Noise mixes a *prologue* that
/// both sides must have alike into all it computes.) QUIC's handshake takes none; a private swarm does without QUIC.
///
/// It is written as 64 hexadecimal digits. A word that people can remember is no secret: whoever talks to a node can
/// try words at home.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

/// The text is no [`Secret`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret has 64 hexadecimal digits")]
pub struct InvalidSecret;

impl Secret {
    /// A new one, from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        // A new key is as random as the system can make it.
        Self(derive(
            "iap2p 2026 secret of a swarm",
            &crate::Identity::generate().to_bytes(),
        ))
    }

    /// What goes into the handshakes; the secret itself goes nowhere.
    pub(crate) fn prologue(&self) -> Vec<u8> {
        derive("iap2p 2026 noise prologue of a private swarm", &self.0).to_vec()
    }
}

fn derive(context: &str, from: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, from)
}

impl FromStr for Secret {
    type Err = InvalidSecret;

    fn from_str(text: &str) -> Result<Self, InvalidSecret> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidSecret)?;
        Ok(Self(bytes))
    }
}

/// As [`FromStr`] reads it, for those who may know it.
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Tells nothing.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_is_written_and_not_told_by_accident() {
        let secret = Secret::generate();
        assert_eq!(secret.to_string().parse(), Ok(secret.clone()));
        assert!(!format!("{secret:?}").contains(&secret.to_string()[..8]));
        assert_ne!(secret, Secret::generate());
        for bad in ["", "ab", &"x".repeat(64), &"0".repeat(66)] {
            assert_eq!(bad.parse::<Secret>(), Err(InvalidSecret));
        }
    }

    #[test]
    fn what_goes_into_handshakes_is_not_the_secret() {
        let secret = Secret([7; 32]);
        assert_ne!(secret.prologue(), secret.0);
        assert_ne!(secret.prologue(), Secret([8; 32]).prologue());
    }
}

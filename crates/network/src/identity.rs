use std::fmt;

use libp2p::{PeerId, identity::Keypair};

/// The key pair that makes a node who it is. Keep its bytes: peers recognise the node by it.
#[derive(Clone)]
pub struct Identity(Keypair);

/// The bytes are not those of an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a stored identity: {0}")]
pub struct InvalidIdentity(String);

impl Identity {
    /// A new one, from the system's randomness.
    #[must_use]
    pub fn generate() -> Self {
        Self(Keypair::generate_ed25519())
    }

    /// The private key, to be kept secret and given back to [`Identity::from_bytes`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Encoding fails only for kinds of keys that this build cannot even hold.
        self.0.to_protobuf_encoding().unwrap_or_default()
    }

    /// The identity that [`Identity::to_bytes`] gave.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidIdentity> {
        Keypair::from_protobuf_encoding(bytes)
            .map(Self)
            .map_err(|error| InvalidIdentity(error.to_string()))
    }

    /// What peers call this node.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.0.public().to_peer_id()
    }

    pub(crate) fn keypair(&self) -> &Keypair {
        &self.0
    }
}

/// Shows the public half only.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.peer_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_storage() {
        let identity = Identity::generate();
        let restored = Identity::from_bytes(&identity.to_bytes()).map(|it| it.peer_id());
        assert_eq!(restored, Ok(identity.peer_id()));
    }

    #[test]
    fn other_bytes_are_no_identity() {
        assert!(Identity::from_bytes(b"").is_err());
        assert!(Identity::from_bytes(&[7; 68]).is_err());
    }
}

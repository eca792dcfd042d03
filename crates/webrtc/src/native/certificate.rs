use sha2::{Digest as _, Sha256};
use str0m::config::{DtlsCert, Fingerprint};

const CERTIFICATE: &str = "CERTIFICATE";
const KEY: &str = "PRIVATE KEY";

/// What a node shows who connects by WebRTC. Its digest is part of the addresses for WebRTC-direct, so that a node that
/// wants to be found again keeps it.
#[derive(Clone)]
pub struct Certificate(DtlsCert);

/// Why a text holds no certificate.
#[derive(Debug, thiserror::Error)]
#[error("no certificate with its key in PEM: {0}")]
pub struct InvalidCertificate(String);

impl Certificate {
    /// A new one, of an elliptic curve (P-256), signed by itself. Nobody looks at the dates in it.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate() -> Result<Self, InvalidCertificate> {
        provider()
            .dtls_provider
            .generate_certificate()
            .map(Self)
            .ok_or_else(|| InvalidCertificate("it cannot be made".to_owned()))
    }

    /// Reads what [`Certificate::to_pem`] wrote.
    ///
    /// # Errors
    /// If there is not one certificate and one key in PKCS #8.
    pub fn from_pem(text: &str) -> Result<Self, InvalidCertificate> {
        let blocks =
            pem::parse_many(text).map_err(|error| InvalidCertificate(error.to_string()))?;
        let only = |tag: &str| {
            let mut found = blocks.iter().filter(|block| block.tag() == tag);
            match (found.next(), found.next()) {
                (Some(block), None) => Ok(block.contents().to_vec()),
                _ => Err(InvalidCertificate(format!("not one {tag}"))),
            }
        };
        Ok(Self(DtlsCert {
            certificate: only(CERTIFICATE)?,
            private_key: only(KEY)?,
        }))
    }

    /// Certificate and key, to be kept where nobody else reads them.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode_many(&[
            pem::Pem::new(CERTIFICATE, self.0.certificate.clone()),
            pem::Pem::new(KEY, self.0.private_key.clone()),
        ])
    }

    /// SHA-256 of the certificate: the digest in `/certhash`.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0.certificate).into()
    }

    pub(super) fn dtls(&self) -> DtlsCert {
        self.0.clone()
    }
}

/// The key stays untold.
impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Certificate").finish_non_exhaustive()
    }
}

/// What str0m computes with.
pub(super) fn provider() -> str0m::crypto::CryptoProvider {
    str0m::crypto::from_feature_flags()
}

pub(super) fn fingerprint(digest: [u8; 32]) -> Fingerprint {
    Fingerprint {
        hash_func: "sha-256".to_owned(),
        bytes: digest.to_vec(),
    }
}

pub(super) fn digest_of(fingerprint: &Fingerprint) -> Option<[u8; 32]> {
    let sha_256 = fingerprint.hash_func.eq_ignore_ascii_case("sha-256");
    sha_256
        .then(|| fingerprint.bytes.as_slice().try_into().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_was_kept_is_the_same() {
        let certificate = Certificate::generate().unwrap();
        let again = Certificate::from_pem(&certificate.to_pem()).unwrap();
        assert_eq!(again.digest(), certificate.digest());
        assert_eq!(again.0.private_key, certificate.0.private_key);
        assert_ne!(
            Certificate::generate().unwrap().digest(),
            certificate.digest()
        );
    }

    #[test]
    fn half_a_certificate_is_none() {
        let whole = Certificate::generate().unwrap().to_pem();
        let half = whole.split("-----BEGIN PRIVATE").next().unwrap();
        assert!(Certificate::from_pem(half).is_err());
        assert!(Certificate::from_pem(&format!("{whole}{whole}")).is_err());
        assert!(Certificate::from_pem("nothing").is_err());
    }
}

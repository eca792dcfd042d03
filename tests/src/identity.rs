//! A domain with a certificate of its own making, in files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use base64::{Engine, prelude::BASE64_STANDARD};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};

/// Who a server is, and what proves it.
pub struct Identity {
    /// Its name.
    pub domain: String,
    /// The certificate, in PEM.
    pub certificate: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// SHA-256 of the public key with its type, in Base64: by this Chromium is told to trust it.
    pub fingerprint: String,
}

impl Identity {
    /// Makes one for a domain or an IP address.
    pub fn make(domain: &str, folder: &Path) -> Result<Self> {
        let pair = KeyPair::generate()?;
        let made = CertificateParams::new([domain.to_owned()])?.self_signed(&pair)?;
        let at = |end: &str| folder.join(format!("{domain}.{end}.pem"));
        let (certificate, key) = (at("cert"), at("key"));
        fs::write(&certificate, made.pem())?;
        fs::write(&key, pair.serialize_pem())?;
        Ok(Self {
            domain: domain.to_owned(),
            certificate,
            key,
            fingerprint: BASE64_STANDARD.encode(Sha256::digest(pair.subject_public_key_info())),
        })
    }
}

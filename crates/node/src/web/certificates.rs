//! By which certificate the web server proves to be who its domain says, and how it stays valid.

use crate::events::{Teller, Told};
use anyhow::{Context, Result, ensure};
use axum_server::tls_rustls::RustlsConfig;
use futures::StreamExt;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_acme::caches::DirCache;
use rustls_acme::{AcmeConfig, EventError, EventOk, OrderError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fs, io};

/// Between two looks at whether the files have changed.
const LOOK: Duration = Duration::from_secs(60);
/// The protocols of HTTP, the better one first, and the one by which an authority looks who answers at a domain.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"acme-tls/1"];

/// Where certificates come from.
#[derive(Debug, Clone)]
pub(crate) enum Certificates {
    /// Files that somebody else keeps valid.
    Files(Files),
    /// An authority that is asked for them.
    Authority(Authority),
}

/// A certificate with those that vouch for it, and its key; both in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Who is asked, by ACME (RFC 8555), and what for. It looks at port 443 of the domain (RFC 8737).
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    pub(crate) domains: Vec<String>,
    /// Whom it writes to when something is wrong with a certificate.
    pub(crate) email: Option<String>,
    /// Where its directory is.
    pub(crate) directory: String,
    /// The certificate by which the authority itself is known, if not one that everybody knows.
    pub(crate) root: Option<PathBuf>,
    /// Where account and certificates are kept.
    pub(crate) folder: PathBuf,
}

impl Certificates {
    /// What the server shows, kept valid for as long as the program runs. An authority that cannot be reached yet is
    /// tried again: until it has answered, nobody can connect.
    pub(crate) fn keep(self, teller: Teller) -> Result<RustlsConfig> {
        match self {
            Self::Files(files) => files.keep(),
            Self::Authority(authority) => authority.keep(teller),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server(certificates: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(config.into())
}

impl Files {
    fn keep(self) -> Result<RustlsConfig> {
        // First, so that a change while they are read is seen.
        let mut read_at = self.changed();
        let config = RustlsConfig::from_config(self.read()?);
        let kept = config.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK).await;
                let changed = self.changed();
                if changed == read_at {
                    continue;
                }
                match self.read() {
                    Ok(new) => {
                        kept.reload_from_config(new);
                        read_at = changed;
                    }
                    // One of them may be half written; the old ones still serve.
                    Err(error) => tracing::warn!("the certificate in use stays: {error:#}"),
                }
            }
        });
        Ok(config)
    }

    fn changed(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|file| fs::metadata(file).ok()?.modified().ok())
    }

    fn read(&self) -> Result<Arc<ServerConfig>> {
        let chain = read_certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("{} holds no private key in PEM", self.key.display()))?;
        // Looks whether the two belong together.
        let certified = CertifiedKey::from_der(chain, key, &provider()).with_context(|| {
            format!(
                "{} and {} cannot be used together",
                self.certificate.display(),
                self.key.display()
            )
        })?;
        server(Arc::new(SingleCertAndKey::from(certified)))
    }
}

fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let none = || format!("{} holds no certificate in PEM", file.display());
    let chain: Vec<_> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .with_context(none)?;
    ensure!(!chain.is_empty(), none());
    Ok(chain)
}

impl Authority {
    fn keep(self, teller: Teller) -> Result<RustlsConfig> {
        let folder = self.folder.as_path();
        private_folder(folder)
            .with_context(|| format!("cannot keep certificates in {}", folder.display()))?;
        let config = match &self.root {
            None => AcmeConfig::new_with_provider(&self.domains, provider()),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                for certificate in read_certificates(file)? {
                    roots.add(certificate)?;
                }
                let client = ClientConfig::builder_with_provider(provider())
                    .with_safe_default_protocol_versions()?
                    .with_root_certificates(roots)
                    .with_no_client_auth();
                AcmeConfig::new_with_client_config(&self.domains, client.into())
            }
        };
        let mut state = config
            .directory(&self.directory)
            .contact(self.email.iter().map(|email| format!("mailto:{email}")))
            .cache(DirCache::new(self.folder.clone()))
            .state();
        let shown = server(state.resolver())?;
        tokio::spawn(async move {
            let domain = self.domains.join(", ");
            while let Some(event) = state.next().await {
                match event {
                    Ok(EventOk::DeployedCachedCert | EventOk::DeployedNewCert) => {
                        // Standard output may be closed; then there is nobody to tell.
                        let _ = teller.tell(&Told::Certificate { domain: &domain });
                    }
                    Ok(other) => tracing::debug!(?other, "certificate"),
                    Err(error) => tracing::warn!(
                        "no new certificate for {domain}: {}. The domain must lead to this machine, and port 443 of it \
                         to this program; trying again",
                        reason(&error)
                    ),
                }
            }
        });
        Ok(RustlsConfig::from_config(shown))
    }
}

/// In the authority's own words, where it has said any.
fn reason(error: &EventError<io::Error, io::Error>) -> String {
    let EventError::Order(OrderError::BadAuth(refused)) = error else {
        return error.to_string();
    };
    let problems = refused.challenges.iter().filter_map(|it| it.error.as_ref());
    let said: Vec<_> = problems.filter_map(|it| it.detail.as_deref()).collect();
    said.join("; ")
}

/// A folder that nobody else looks into: it holds keys.
fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(folder: &Path, name: &str) -> Files {
        let pair = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        let files = Files {
            certificate: folder.join(format!("{name}.cert")),
            key: folder.join(format!("{name}.key")),
        };
        let certificate = parameters.self_signed(&pair).unwrap();
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(&files.key, pair.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (made(folder.path(), "one"), made(folder.path(), "other"));
        assert!(one.read().is_ok());
        let refused = |certificate: &Path, key: &Path| {
            let files = Files {
                certificate: certificate.to_owned(),
                key: key.to_owned(),
            };
            format!("{:#}", files.read().err().unwrap())
        };
        assert!(refused(&one.certificate, &other.key).contains("cannot be used together"));
        assert!(refused(&one.key, &one.key).contains("one.key holds no certificate"));
        assert!(refused(&one.certificate, &one.certificate).contains("holds no private key"));
        assert!(refused(Path::new("nowhere"), &one.key).contains("nowhere"));
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_change_are_read_again_and_broken_ones_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (files, new) = (made(folder.path(), "used"), made(folder.path(), "new"));
        // Some file systems know whole seconds only.
        let set = |file: &Path, seconds: u64| {
            let time = SystemTime::now() + Duration::from_secs(seconds);
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_modified(time).unwrap();
        };
        let config = files.clone().keep().unwrap();
        let shown = || Arc::as_ptr(&config.get_inner());
        let first = shown();
        tokio::time::sleep(LOOK * 2).await;
        assert_eq!(shown(), first);

        fs::copy(&new.certificate, &files.certificate).unwrap();
        set(&files.certificate, 10);
        tokio::time::sleep(LOOK * 2).await;
        assert_eq!(shown(), first, "half of a pair was used");

        fs::copy(&new.key, &files.key).unwrap();
        tokio::time::sleep(LOOK * 2).await;
        assert_ne!(shown(), first);
    }
}

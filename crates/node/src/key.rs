//! The key that makes a node who it is, kept in a file.

use crate::files::{self, Readers};
use anyhow::{Context, Result, bail};
use network::{Certificate, Identity};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Nodes of one kind on one machine that get keys of their own without being told.
const SLOTS: usize = 64;

/// An identity, and the lock on its file: two nodes with one key would confuse everybody.
pub(crate) struct Key {
    /// Of which kind of node.
    pub(crate) kind: &'static str,
    pub(crate) identity: Identity,
    /// What the node shows who connects by WebRTC; kept beside the key, so that its addresses stay the same.
    pub(crate) certificate: Certificate,
    /// Where it is kept; other things of this node are kept beside it.
    pub(crate) path: PathBuf,
    _lock: File,
}

impl Key {
    /// The key in `file`, made if there is none; without `file` one of the usual files for nodes of this `kind`, the
    /// first that no running node uses.
    pub(crate) fn open(file: Option<&Path>, kind: &'static str) -> Result<Self> {
        if let Some(file) = file {
            return Self::try_open(file, kind)?
                .with_context(|| format!("another running node uses the key {}", file.display()));
        }
        let folder = default_folder()?;
        for slot in 0..SLOTS {
            let name = if slot == 0 {
                format!("{kind}.key")
            } else {
                format!("{kind}-{slot}.key")
            };
            if let Some(key) = Self::try_open(&folder.join(name), kind)? {
                return Ok(key);
            }
        }
        bail!("{SLOTS} nodes run here already; give this one a key of its own with --key FILE")
    }

    /// Nothing if another process uses it.
    fn try_open(path: &Path, kind: &'static str) -> Result<Option<Self>> {
        let at = || format!("cannot use the key {}", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(at)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).with_context(at)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).with_context(at),
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(4096)
            .read_to_end(&mut bytes)
            .with_context(at)?;
        let identity = if bytes.is_empty() {
            let identity = Identity::generate();
            file.rewind().with_context(at)?;
            file.write_all(&identity.to_bytes()).with_context(at)?;
            file.sync_all().with_context(at)?;
            identity
        } else {
            Identity::from_bytes(&bytes).with_context(|| {
                format!(
                    "{} holds no key of a node; move it away to get a new one",
                    path.display()
                )
            })?
        };
        let certificate = certificate(&path.with_extension("webrtc.pem"))?;
        Ok(Some(Self {
            kind,
            identity,
            certificate,
            path: path.to_owned(),
            _lock: file,
        }))
    }
}

/// The certificate in this file, made if there is none. Only who holds the lock on the key comes here.
fn certificate(path: &Path) -> Result<Certificate> {
    let at = || format!("cannot use the certificate {}", path.display());
    match fs::read_to_string(path) {
        Ok(text) => Certificate::from_pem(&text).with_context(|| {
            format!(
                "{} holds no certificate of a node; move it away to get a new one",
                path.display()
            )
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let certificate = Certificate::generate()?;
            files::write(path, certificate.to_pem().as_bytes(), Readers::Owner).with_context(at)?;
            Ok(certificate)
        }
        Err(error) => Err(error).with_context(at),
    }
}

pub(crate) fn default_folder() -> Result<PathBuf> {
    let project = directories::ProjectDirs::from("", "", "iap2p");
    let project = project.context("this account has no home folder; name a key with --key FILE")?;
    Ok(project.data_dir().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_persists_and_serves_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/node.key");
        let first = Key::open(Some(&file), "serve").unwrap();
        let peer = first.identity.peer_id();
        let certificate = first.certificate.digest();
        assert!(Key::open(Some(&file), "serve").is_err());
        drop(first);
        let again = Key::open(Some(&file), "serve").unwrap();
        assert_eq!(again.identity.peer_id(), peer);
        assert_eq!(again.certificate.digest(), certificate);
    }

    #[test]
    fn what_is_not_a_key_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shopping.txt");
        fs::write(&file, "milk").unwrap();
        let error = Key::open(Some(&file), "serve").err().unwrap();
        assert!(format!("{error:#}").contains("holds no key"), "{error:#}");
        assert_eq!(fs::read(&file).unwrap(), b"milk");
    }
}

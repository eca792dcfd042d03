//! An authority that certifies domains, as Let's Encrypt does and by the same protocol: Pebble, which is made to test
//! with. It looks up every name as this machine.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::Arc,
};

use anyhow::{Context, Result};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::json;

use crate::{Identity, node::bound_to_us, until};

const PORT: u16 = 14000;
/// Where it says by which root it certifies.
const MANAGEMENT: u16 = 15000;
const NAMES: &str = "127.0.0.1:8053";

/// Two processes; dropping it kills them.
pub struct Authority {
    certifies: Child,
    names: Child,
    /// By this certificate it is known itself.
    pub certificate: PathBuf,
}

impl Authority {
    /// Starts it. It asks for servers at this port.
    pub fn start(folder: &Path, port: u16) -> Result<Self> {
        let identity = Identity::make("127.0.0.1", folder)?;
        let settings = folder.join("authority.json");
        fs::write(
            &settings,
            json!({ "pebble": {
                "listenAddress": format!("127.0.0.1:{PORT}"),
                "managementListenAddress": format!("127.0.0.1:{MANAGEMENT}"),
                "certificate": identity.certificate,
                "privateKey": identity.key,
                "httpPort": 80,
                "tlsPort": port,
            }})
            .to_string(),
        )?;
        let log = |name: &str| File::create(folder.join(name)).map(Stdio::from);
        let names = bound_to_us("pebble-challtestsrv")
            .args(["-dns01", NAMES, "-management", "127.0.0.1:8055"])
            .args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""])
            .args(["-http01", "", "-https01", "", "-tlsalpn01", ""])
            .stdout(log("names.log")?)
            .stderr(log("names.errors")?)
            .spawn()
            .context("cannot start `pebble-challtestsrv` (package pebble)")?;
        let certifies = bound_to_us("pebble")
            .arg("-config")
            .arg(&settings)
            .args(["-dnsserver", NAMES])
            // It would wait for seconds before it looks, and refuse some requests to see them repeated.
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .stdout(log("authority.log")?)
            .stderr(log("authority.errors")?)
            .spawn()
            .context("cannot start `pebble` (package pebble)")?;
        let authority = Self {
            certifies,
            names,
            certificate: identity.certificate,
        };
        until("the authority is there", || {
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)).ok())
        })?;
        Ok(authority)
    }

    /// Where it is asked.
    #[must_use]
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{PORT}/dir")
    }

    /// The root of what it certifies, in PEM.
    pub fn root(&self) -> Result<String> {
        let itself = fs::read(&self.certificate)?;
        let answer = get("127.0.0.1", MANAGEMENT, "/roots/0", &itself)?;
        let begins = answer.find("-----BEGIN").context("no certificate")?;
        Ok(answer[begins..].to_owned())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        for child in [&mut self.certifies, &mut self.names] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks the server of that name on this machine, who has to prove who it is by this root. The whole answer.
pub fn get(name: &str, port: u16, path: &str, root: &[u8]) -> Result<String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = ClientConnection::new(Arc::new(config), name.to_owned().try_into()?)?;
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    ask(StreamOwned::new(client, socket), name, path)
}

/// The same without TLS, at the usual port.
pub fn get_plainly(name: &str, path: &str) -> Result<String> {
    get_at((Ipv4Addr::LOCALHOST, 80).into(), name, path)
}

/// The same from anywhere.
pub(crate) fn get_at(server: SocketAddr, name: &str, path: &str) -> Result<String> {
    ask(TcpStream::connect(server)?, name, path)
}

fn ask(mut stream: impl Read + Write, name: &str, path: &str) -> Result<String> {
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

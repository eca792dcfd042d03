//! Where a bootstrap node serves the page, and under which name.

use crate::events::Teller;
use crate::web::{Authority, Certificates, Files, Places, Server};
use anyhow::Result;
use clap::Args;
use network::Multiaddr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Where a node without a domain serves the page.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

#[derive(Args)]
#[command(next_help_heading = "Web")]
pub(crate) struct WebOptions {
    /// The folder with the built page
    #[arg(long, value_name = "DIST", env = "IAP2P_WEB")]
    pub(crate) web: Option<PathBuf>,
    /// Where to serve the page, `/bootstrap.json` and, for browsers, the way into the network [default:
    /// 127.0.0.1:8080; with --domain, where those are led on who come without TLS: port 80]
    #[arg(long, value_name = "ADDRESS:PORT", env = "IAP2P_HTTP")]
    http: Option<SocketAddr>,
    /// Be reached by TLS under this domain, as phones ask it; several are separated by commas. Without --tls-cert,
    /// certificates are asked of an authority and kept valid
    #[arg(long, value_name = "NAME", env = "IAP2P_DOMAIN", value_delimiter = ',')]
    domain: Vec<String>,
    /// With --domain: where to serve the page by TLS [default: port 443]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "IAP2P_HTTPS",
        requires = "domain"
    )]
    https: Option<SocketAddr>,
    /// With --domain: the file with the certificate and those that vouch for it, in PEM. Read again when it changes
    #[arg(long, value_name = "FILE", env = "IAP2P_TLS_CERT", requires_all = ["domain", "tls_key"])]
    tls_cert: Option<PathBuf>,
    /// With --tls-cert: the file with its key, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "IAP2P_TLS_KEY",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// With --domain: whom the authority writes to when something is wrong with a certificate
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "IAP2P_EMAIL",
        requires = "domain",
        conflicts_with = "tls_cert"
    )]
    email: Option<String>,
    /// With --domain: the authority that is asked for certificates, by ACME [default: Let's Encrypt]
    #[arg(
        long,
        value_name = "URL",
        env = "IAP2P_ACME",
        requires = "domain",
        conflicts_with = "tls_cert"
    )]
    acme: Option<String>,
    /// With --acme: the certificate by which to know that authority, in PEM, if it is one of your own
    #[arg(long, value_name = "FILE", env = "IAP2P_ACME_ROOT", requires = "acme")]
    acme_root: Option<PathBuf>,
}

impl WebOptions {
    /// The first one.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.domain.first().map(String::as_str)
    }

    /// Whether strangers are expected.
    pub(crate) fn has_domain(&self) -> bool {
        !self.domain.is_empty()
    }

    /// Takes the ports. `folder` is where certificates are kept that an authority gives.
    pub(crate) fn server(&self, folder: &Path, teller: Teller) -> Result<Server> {
        if self.domain.is_empty() {
            return Server::plain(self.http.unwrap_or(LOCAL));
        }
        let places = Places {
            https: self.https,
            http: self.http,
        };
        let certificates = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Certificates::Files(Files {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            _ => Certificates::Authority(Authority {
                domains: self.domain.clone(),
                email: self.email.clone(),
                directory: self.acme.clone().unwrap_or_else(|| DIRECTORY.to_owned()),
                root: self.acme_root.clone(),
                folder: folder.to_owned(),
            }),
        };
        Server::secure(places, self.domain.clone(), certificates.keep(teller)?)
    }

    /// Where others reach a node that listens there, by the domain's name: what listens for everybody, and the way in
    /// at the page's port.
    pub(crate) fn addresses(&self, https_port: u16, listen: &[Multiaddr]) -> Vec<Multiaddr> {
        let Some(domain) = self.domain.first() else {
            return Vec::new();
        };
        let texts = listen.iter().filter_map(|address| {
            let text = address.to_string();
            let rest = text
                .strip_prefix("/ip4/0.0.0.0/")
                .or_else(|| text.strip_prefix("/ip6/::/"))?
                .to_owned();
            let port = rest.split('/').nth(1)?;
            // A certificate's digest belongs to an address that a browser reaches without asking for a name.
            (port != "0" && !rest.contains("webrtc-direct")).then_some(rest)
        });
        let mut addresses: Vec<Multiaddr> = std::iter::once(format!("tcp/{https_port}/tls/ws"))
            .chain(texts)
            .filter_map(|rest| format!("/dns/{domain}/{rest}").parse().ok())
            .collect();
        addresses.dedup();
        addresses
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        web: WebOptions,
    }

    fn parse(arguments: &[&str]) -> Result<WebOptions, clap::Error> {
        Line::try_parse_from(std::iter::once(&"iap2p").chain(arguments)).map(|line| line.web)
    }

    #[test]
    fn a_domain_is_announced_with_the_ports_that_are_open_to_everybody() {
        let web = parse(&["--domain", "a.example,b.example"]).unwrap();
        let listen: Vec<Multiaddr> = [
            "/ip4/0.0.0.0/tcp/4001",
            "/ip6/::/udp/4001/quic-v1",
            "/ip4/0.0.0.0/udp/4002/webrtc-direct",
            "/ip4/0.0.0.0/tcp/0",
            "/ip4/127.0.0.1/tcp/4003/ws",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        let texts: Vec<_> = web
            .addresses(443, &listen)
            .iter()
            .map(Multiaddr::to_string)
            .collect();
        assert_eq!(
            texts,
            [
                "/dns/a.example/tcp/443/tls/ws",
                "/dns/a.example/tcp/4001",
                "/dns/a.example/udp/4001/quic-v1",
            ]
        );
        assert!(parse(&[]).unwrap().addresses(443, &listen).is_empty());
    }

    #[test]
    fn what_makes_no_sense_without_a_domain_is_refused() {
        for arguments in [
            &["--https", "127.0.0.1:1"] as &[&str],
            &["--tls-cert", "a", "--tls-key", "b"],
            &["--email", "a@example"],
            &["--domain", "a.example", "--tls-cert", "a"],
            &["--domain", "a.example", "--acme-root", "a"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}

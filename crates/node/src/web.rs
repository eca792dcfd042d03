//! The web server of a bootstrap node: the application's files, `/bootstrap.json` and, at the same port, the way into
//! the network for browsers. With a domain it speaks TLS, which phones ask of a page that may compute and be installed.

mod admission;
mod certificates;
mod site;
mod websocket;

use admission::{Admission, Limits};
pub(crate) use certificates::{Authority, Certificates, Files};
pub(crate) use site::{Entry, Site};

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::response::{IntoResponse, Redirect, Response};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Who takes longer to say what they want is not worth a socket.
const HEADERS: Duration = Duration::from_secs(15);
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Requests at a time over one connection; a page has some thirty files.
const STREAMS: u32 = 64;

const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A server that has its port and does not run yet.
pub(crate) struct Server {
    socket: TcpListener,
    secure: Option<Secure>,
    url: String,
}

/// What it takes to be reached by TLS.
pub(crate) struct Secure {
    /// Who it is; the first of several is the one in links.
    domains: Vec<String>,
    certificates: RustlsConfig,
    /// Where those are led on who come without TLS.
    redirect: Option<TcpListener>,
}

/// Where to serve, by TLS. What is `None` is where browsers look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Places {
    pub(crate) https: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
}

impl Server {
    /// Without TLS: for this machine, or behind another web server.
    pub(crate) fn plain(address: SocketAddr) -> Result<Self> {
        let socket = bind(address).with_context(|| cannot_serve(address, "--http"))?;
        let url = format!("http://{}/", socket.local_addr()?);
        Ok(Self {
            socket,
            secure: None,
            url,
        })
    }

    /// With TLS, under the first of these domains.
    pub(crate) fn secure(
        places: Places,
        domains: Vec<String>,
        certificates: RustlsConfig,
    ) -> Result<Self> {
        let socket = match places.https {
            Some(address) => bind(address).with_context(|| cannot_serve(address, "--https")),
            None => everywhere(HTTPS_PORT).with_context(|| {
                format!(
                    "cannot serve the page at port {HTTPS_PORT}; ports below 1024 ask for the right to \
                     (CAP_NET_BIND_SERVICE), or choose another one with --https"
                )
            }),
        }?;
        let redirect = match places.http {
            Some(address) => Some(bind(address).with_context(|| cannot_serve(address, "--http"))?),
            None => everywhere(HTTP_PORT)
                .inspect_err(|error| {
                    tracing::warn!(
                        "nobody is led on from port {HTTP_PORT}, which cannot be used: {error}"
                    );
                })
                .ok(),
        };
        let domain = domains.first().context("no domain")?;
        let url = match socket.local_addr()?.port() {
            HTTPS_PORT => format!("https://{domain}/"),
            port => format!("https://{domain}:{port}/"),
        };
        Ok(Self {
            socket,
            secure: Some(Secure {
                domains,
                certificates,
                redirect,
            }),
            url,
        })
    }

    /// Where the page is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves until the program ends.
    pub(crate) async fn run(self, site: Arc<Site>) -> Result<()> {
        let admission = Admission::new(Limits::default(), site.network.clone());
        // Who asks, since the node counts by that.
        let router = site::router(site).into_make_service_with_connect_info::<SocketAddr>();
        let served = match self.secure {
            None => {
                let mut server = axum_server::from_tcp(self.socket)?.acceptor(admission);
                be_wary(server.http_builder());
                server.serve(router).await
            }
            Some(secure) => {
                let acceptor = RustlsAcceptor::new(secure.certificates)
                    .handshake_timeout(HANDSHAKE)
                    .acceptor(admission.clone());
                let mut server = axum_server::from_tcp(self.socket)?.acceptor(acceptor);
                be_wary(server.http_builder());
                let leading = lead_on(secure.redirect, secure.domains, self.url, admission);
                tokio::select! {
                    served = server.serve(router) => served,
                    led = leading => led,
                }
            }
        };
        served.context("the web server has stopped")
    }
}

/// Strangers get neither much time nor much room.
fn be_wary<E>(builder: &mut hyper_util::server::conn::auto::Builder<E>) {
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS);
}

/// Leads those who come without TLS to where they find it.
async fn lead_on(
    socket: Option<TcpListener>,
    domains: Vec<String>,
    url: String,
    admission: Admission,
) -> io::Result<()> {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    let router = Router::new()
        .fallback(redirect)
        .with_state(Arc::new((domains, url)));
    let mut server = axum_server::from_tcp(socket)?.acceptor(admission);
    be_wary(server.http_builder());
    server.serve(router.into_make_service()).await
}

/// Only to our own domains, whatever the request says.
async fn redirect(State(to): State<Arc<(Vec<String>, String)>>, request: Request) -> Response {
    let (domains, url) = &*to;
    let host = request.headers().get(HOST).and_then(|it| it.to_str().ok());
    let name = host.map(|host| host.split_once(':').map_or(host, |(name, _)| name));
    let Some(domain) = domains.iter().find(|it| Some(it.as_str()) == name) else {
        return (StatusCode::NOT_FOUND, "this server has another name").into_response();
    };
    let path = request.uri().path_and_query().map_or("/", |it| it.as_str());
    let base = url.replacen(&domains[0], domain, 1);
    Redirect::permanent(&format!("{}{path}", base.trim_end_matches('/'))).into_response()
}

fn cannot_serve(address: SocketAddr, option: &str) -> String {
    format!(
        "cannot serve the page on {address}; another program may use it: choose one with {option}"
    )
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// By IPv6 and IPv4, where the machine has both.
fn everywhere(port: u16) -> io::Result<TcpListener> {
    let all = |ip: IpAddr| bind((ip, port).into());
    match all(Ipv6Addr::UNSPECIFIED.into()) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => all(Ipv4Addr::UNSPECIFIED.into()),
        result => result,
    }
}

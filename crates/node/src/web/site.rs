//! What the web server has: the application's files and `/bootstrap.json`.

use super::websocket;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, HOST, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::get;
use network::{Handle, Multiaddr, Secret};
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

/// More make a link too long for a QR code a phone can read.
const ENTRIES_IN_LINK: usize = 3;

/// What a page has to know to enter the network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) model: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) fragments: Option<u32>,
    /// The secret of a private swarm, of which strangers are told nothing.
    pub(crate) secret: Option<Secret>,
}

#[derive(Default, Serialize)]
struct Bootstrap {
    model: Option<String>,
    name: Option<String>,
    fragments: Option<u32>,
    bootstrap: Vec<String>,
}

/// What is served.
pub(crate) struct Site {
    pub(crate) entry: Entry,
    pub(crate) network: Handle,
    /// The folder with the built page.
    pub(crate) web: Option<PathBuf>,
    /// Where the site is, for links to it.
    pub(crate) url: String,
    /// Whether it is there for this machine only.
    pub(crate) local: bool,
}

impl Site {
    /// The link that invites to the network, which the page opens: what it has to know is behind the `#`, which
    /// browsers keep to themselves. `None` without a model.
    pub(crate) fn invitation(&self) -> Option<String> {
        let model = self.entry.model.as_ref()?;
        let addresses = for_browsers(self.network.listening(), self.local);
        let entries: String = addresses
            .iter()
            .take(ENTRIES_IN_LINK)
            .map(|address| format!("&bootstrap={address}"))
            .collect();
        let secret = self.entry.secret.as_ref();
        let secret = secret.map_or_else(String::new, |secret| format!("&secret={secret}"));
        Some(format!("{}#model={model}{entries}{secret}", self.url))
    }
}

pub(super) fn router(site: Arc<Site>) -> Router {
    let network = site.network.clone();
    let web = site.web.clone();
    let router = Router::new()
        .route("/bootstrap.json", get(bootstrap))
        .with_state(site);
    let router = match web {
        Some(folder) => router.fallback_service(
            ServeDir::new(folder)
                .precompressed_br()
                .precompressed_gzip(),
        ),
        None => router.route("/", get(no_page)),
    };
    router
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(headers))
        .layer(middleware::from_fn_with_state(network, websocket::enter))
}

async fn no_page() -> Html<&'static str> {
    Html(
        "<!doctype html><title>iap2p</title><p>This node is an entry to the network (see <a href=bootstrap.json>\
         bootstrap.json</a>) but serves no page. Start it with <code>--web FOLDER</code>.",
    )
}

async fn bootstrap(State(site): State<Arc<Site>>, request: Request) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    if site.entry.secret.is_some() {
        // Whoever is invited has a link that says all of this.
        return Json(Bootstrap::default()).into_response();
    }
    let addresses = for_browsers(site.network.listening(), is_local(host));
    let answer = Bootstrap {
        model: site.entry.model.clone(),
        name: site.entry.name.clone(),
        fragments: site.entry.fragments,
        bootstrap: addresses.iter().map(Multiaddr::to_string).collect(),
    };
    Json(answer).into_response()
}

fn is_local(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// The addresses a browser can use: WebSocket ones before those of WebRTC, which take longer, and of each kind those
/// first that suit where the page was asked from. Who sits at this machine is best served by its loopback address; to
/// everybody else that one is useless. Where there is TLS, WebSocket without it is not offered: a page that has come by
/// TLS must not use it, and every page may use the other.
fn for_browsers(mut addresses: Vec<Multiaddr>, local: bool) -> Vec<Multiaddr> {
    let kind = |address: &Multiaddr| {
        let text = address.to_string();
        let (tls, websocket) = (
            text.contains("/tls/ws") || text.contains("/wss"),
            text.contains("/ws"),
        );
        match (tls, websocket, text.contains("/webrtc-direct/")) {
            (true, ..) => Some(0),
            (_, true, _) => Some(1),
            (.., true) => Some(2),
            _ => None,
        }
    };
    let is_loopback = |address: &Multiaddr| {
        let text = address.to_string();
        text.starts_with("/ip4/127.") || text.starts_with("/ip6/::1/")
    };
    let tls = addresses.iter().any(|address| kind(address) == Some(0));
    addresses.retain(|address| match kind(address) {
        Some(1) => !tls || is_loopback(address),
        kind => kind.is_some(),
    });
    addresses.sort_by_key(kind);
    let (loopback, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_loopback);
    match (local, others.is_empty()) {
        (true, _) => loopback.into_iter().chain(others).collect(),
        (false, false) => others,
        (false, true) => loopback,
    }
}

/// Pages and the service worker must be asked for anew each time (the server answers "not modified"), or an old
/// application lives on; files that carry a digest in their name never change.
async fn headers(request: Request, next: Next) -> Response {
    let forever = has_digest(request.uri().path());
    let mut response = next.run(request).await;
    let cache = if forever && response.status().is_success() {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Whether a file's name ends in the 16 hexadecimal digits that the page's build adds, as in
/// `web-0123456789abcdef_bg.wasm`.
fn has_digest(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split(['-', '.', '_'])
        .any(|part| part.len() == 16 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_named_by_their_content_are_kept_for_ever() {
        assert!(has_digest("/web-0123456789abcdef_bg.wasm"));
        assert!(has_digest("/styles-0123456789abcdef.css"));
        for path in [
            "/",
            "/index.html",
            "/service-worker.js",
            "/worker_bg.wasm",
            "/bootstrap.json",
        ] {
            assert!(!has_digest(path), "{path}");
        }
    }

    #[test]
    fn a_stranger_is_not_sent_to_its_own_machine() {
        let addresses = || -> Vec<Multiaddr> {
            [
                "/ip4/127.0.0.1/tcp/1/ws",
                "/ip4/127.0.0.1/tcp/2",
                "/ip4/192.168.1.7/tcp/1/ws",
                "/ip4/9.9.9.9/udp/1/quic-v1",
                "/ip4/192.168.1.7/udp/3/webrtc-direct/certhash/uEiDmP6TJGnZ0zpeciN3tKv_SHqKG-dxIWInpyEzlYpq3Qg",
            ]
            .map(|text| text.parse().unwrap())
            .to_vec()
        };
        let shown = |local| {
            for_browsers(addresses(), local)
                .iter()
                .map(Multiaddr::to_string)
                .collect::<Vec<_>>()
        };
        let webrtc = addresses()[4].to_string();
        assert_eq!(
            shown(true),
            [
                "/ip4/127.0.0.1/tcp/1/ws",
                "/ip4/192.168.1.7/tcp/1/ws",
                &webrtc
            ]
        );
        assert_eq!(shown(false), ["/ip4/192.168.1.7/tcp/1/ws", &webrtc]);
        let with_tls = || {
            let mut all = addresses();
            all.push("/dns/a.example/tcp/443/tls/ws".parse().unwrap());
            for_browsers(all, false)
        };
        let texts: Vec<_> = with_tls().iter().map(Multiaddr::to_string).collect();
        assert_eq!(texts, ["/dns/a.example/tcp/443/tls/ws", &webrtc]);
        assert!(is_local("localhost:8080") && is_local("127.0.0.1:1") && !is_local("example.org"));
    }
}

//! The page's own port is a way into the network, too: who wants a WebSocket there is led to where the node listens for
//! them. So one port and one certificate serve both, and another web server can stand in front.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, HOST, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::client::conn::http1;
use hyper::upgrade;
use hyper_util::rt::TokioIo;
use network::{Handle, Multiaddr};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

/// How long the node may take to let somebody in, on the same machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the node has to know of a request; the rest is between browser and web server.
const HEADERS: [HeaderName; 6] = [
    HOST,
    UPGRADE,
    CONNECTION,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION,
    SEC_WEBSOCKET_PROTOCOL,
];

/// Passes on what is no WebSocket.
pub(super) async fn enter(State(network): State<Handle>, request: Request, next: Next) -> Response {
    let wants = request
        .headers()
        .get(UPGRADE)
        .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !wants {
        return next.run(request).await;
    }
    let Some(node) = entrance(&network.listening()) else {
        let why = "this node does not listen for WebSocket on its own machine";
        return (StatusCode::NOT_FOUND, why).into_response();
    };
    match tokio::time::timeout(PATIENCE, lead(node, request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::debug!("WebSocket: {error}");
            StatusCode::BAD_GATEWAY.into_response()
        }
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

/// Where the node listens for WebSocket without leaving the machine.
pub(super) fn entrance(listening: &[Multiaddr]) -> Option<SocketAddr> {
    let ports = listening.iter().filter_map(|address| {
        let text = address.to_string();
        let (port, rest) = text.strip_prefix("/ip4/127.0.0.1/tcp/")?.split_once('/')?;
        (rest == "ws" || rest.starts_with("ws/")).then(|| port.parse().ok())?
    });
    let port = { ports }.next()?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}

/// Asks the node in the name of who asked us, and once both have agreed carries what they say.
async fn lead(node: SocketAddr, mut request: Request) -> anyhow::Result<Response> {
    let browser = upgrade::on(&mut request);
    let mut asked = Request::new(Body::empty());
    *asked.uri_mut() = Uri::from_static("/");
    for name in HEADERS {
        if let Some(value) = request.headers().get(&name) {
            asked.headers_mut().insert(name, value.clone());
        }
    }
    let stream = TcpStream::connect(node).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection, which ends when the sender is dropped or the node closes it.
    tokio::spawn(connection.with_upgrades());
    let mut response = sender.send_request(asked).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let ours = upgrade::on(&mut response);
        tokio::spawn(async move {
            let (Ok(browser), Ok(node)) = tokio::join!(browser, ours) else {
                return;
            };
            let (mut browser, mut node) = (TokioIo::new(browser), TokioIo::new(node));
            // That one of them has gone is how it ends.
            let _ = copy_bidirectional(&mut browser, &mut node).await;
        });
    }
    Ok(response.map(Body::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_in_is_on_this_machine() {
        let listening = |texts: &[&str]| -> Vec<Multiaddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let peer = "/p2p/12D3KooWGdkz2QMsdDSHMxqbjZVfhLX1tBSGBZoF5h3kMPqJd9qQ";
        let node = format!("/ip4/127.0.0.1/tcp/7/ws{peer}");
        let found = entrance(&listening(&[
            "/ip4/127.0.0.1/tcp/1",
            "/ip4/10.0.0.1/tcp/2/ws",
            "/ip4/127.0.0.1/udp/3/quic-v1",
            &node,
        ]));
        assert_eq!(found, Some(([127, 0, 0, 1], 7).into()));
        assert_eq!(entrance(&listening(&["/ip4/10.0.0.1/tcp/2/ws"])), None);
    }
}

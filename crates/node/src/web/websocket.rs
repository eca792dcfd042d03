//! The page's own port is a way into the network, too: who wants a WebSocket there is led to where the node listens for
//! them. So one port and one certificate serve both, and another web server can stand in front. The node is told for
//! whom each connection is made, so that a stranger gets no more of them here than elsewhere.

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
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
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpSocket;
use tokio::time::timeout;

/// How long the node may take to let somebody in, on the same machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who takes nothing of what is there for it for so long is gone.
const STALLED: Duration = Duration::from_secs(60);

/// As much of what is said is under way here, in each direction.
const BUFFER: usize = 8 << 10;

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
pub(super) async fn enter(
    State(network): State<Handle>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
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
    match timeout(PATIENCE, lead(&network, node, client.ip(), request)).await {
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
async fn lead(
    network: &Handle,
    node: SocketAddr,
    client: IpAddr,
    mut request: Request,
) -> anyhow::Result<Response> {
    let browser = upgrade::on(&mut request);
    let mut asked = Request::new(Body::empty());
    *asked.uri_mut() = Uri::from_static("/");
    for name in HEADERS {
        if let Some(value) = request.headers().get(&name) {
            asked.headers_mut().insert(name, value.clone());
        }
    }
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    // The node looks for whom it is as soon as it accepts the connection.
    let forwarded = Arc::new(network.forward(socket.local_addr()?, client));
    let stream = socket.connect(node).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the connection, which ends when the sender is dropped or the node closes it.
    let held = forwarded.clone();
    tokio::spawn(async move {
        // What went wrong the sender hears.
        let _ = connection.with_upgrades().await;
        drop(held);
    });
    let mut response = sender.send_request(asked).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let ours = upgrade::on(&mut response);
        tokio::spawn(async move {
            let (Ok(browser), Ok(node)) = tokio::join!(browser, ours) else {
                return;
            };
            carry(TokioIo::new(browser), TokioIo::new(node)).await;
            drop(forwarded);
        });
    }
    Ok(response.map(Body::new))
}

/// Carries what both say until one of them has gone: a stranger whom the node has left keeps nothing open here.
async fn carry(browser: impl AsyncRead + AsyncWrite, node: impl AsyncRead + AsyncWrite) {
    let (from_browser, to_browser) = split(browser);
    let (from_node, to_node) = split(node);
    // That one of them has gone is how it ends.
    let _ = tokio::select! {
        ended = hand_on(from_browser, to_node) => ended,
        ended = hand_on(from_node, to_browser) => ended,
    };
}

/// Hands on what comes until there is no more, or it is not taken.
async fn hand_on(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let some = from.read(&mut buffer).await?;
        let taken = async {
            if some == 0 {
                return to.shutdown().await;
            }
            to.write_all(&buffer[..some]).await?;
            to.flush().await
        };
        timeout(STALLED, taken).await??;
        if some == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Entry, Server, Site};
    use super::*;
    use network::{Config, ConnectionLimits, Identity};
    use tokio::io::duplex;
    use tokio::net::TcpStream;

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

    /// Far more than anything here takes; the machine may be busy.
    const LONG: Duration = Duration::from_secs(30);

    /// Begins a WebSocket as a stranger with this address, and leaves it there.
    async fn begin(server: SocketAddr, stranger: [u8; 4]) -> io::Result<(StatusCode, TcpStream)> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((stranger, 0).into())?;
        let mut stream = socket.connect(server).await?;
        let asked = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(asked.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let status = str::from_utf8(&head).unwrap().split(' ').nth(1).unwrap();
        Ok((status.parse().unwrap(), stream))
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stranger_who_begins_websockets_without_end_keeps_nobody_else_out() {
        const MOST: u32 = 4;
        let mut config = Config::new(Identity::generate());
        config.listen = vec!["/ip4/127.0.0.1/tcp/0/ws".parse().unwrap()];
        config.limits = ConnectionLimits {
            pending_per_address: MOST,
            // The strangers of this test are on this machine, too.
            count_loopback: true,
            ..ConnectionLimits::default()
        };
        let (network, mut events, driver) = network::start(config).unwrap();
        tokio::spawn(driver);
        tokio::spawn(async move { while futures::StreamExt::next(&mut events).await.is_some() {} });
        let (one, other) = ([127, 0, 0, 2], [127, 0, 0, 3]);
        let all = async {
            while network.listening().is_empty() {
                tokio::task::yield_now().await;
            }
            let server = Server::plain((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let address = server.address().unwrap();
            let site = Site {
                entry: Entry::default(),
                network: network.clone(),
                web: None,
                url: server.url().to_owned(),
                local: true,
            };
            tokio::spawn(server.run(Arc::new(site)));

            let mut begun = Vec::new();
            for _ in 0..MOST {
                let (status, stream) = begin(address, one).await.unwrap();
                assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS);
                begun.push(stream);
            }
            // Told so, and at once: nothing of it is left here.
            for _ in 0..3 {
                let (status, _) = begin(address, one).await.unwrap();
                assert_eq!(status, StatusCode::BAD_GATEWAY);
            }
            assert_eq!(network.refused().connections, 3);
            let (status, _stream) = begin(address, other).await.unwrap();
            assert_eq!(status, StatusCode::SWITCHING_PROTOCOLS);
            // Who leaves makes room, once the node has noticed.
            begun.pop();
            while begin(address, one).await.unwrap().0 != StatusCode::SWITCHING_PROTOCOLS {}
        };
        timeout(LONG, all).await.expect("an answer in time");
        network.shutdown();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_open_for_who_says_nothing_when_the_node_has_gone() {
        let (mut browser, ours) = duplex(BUFFER);
        let (node, mut far) = duplex(BUFFER);
        let carrying = tokio::spawn(carry(ours, node));
        far.write_all(b"farewell").await.unwrap();
        drop(far);
        // All that was said arrives, and then the end.
        let mut said = Vec::new();
        browser.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"farewell");
        timeout(LONG, carrying).await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_left_open_for_who_takes_nothing() {
        let (_browser, ours) = duplex(BUFFER);
        let (node, mut far) = duplex(BUFFER);
        let carrying = tokio::spawn(carry(ours, node));
        // One is in the way to the browser, one is held here; the next is not taken.
        far.write_all(&[0; 2 * BUFFER]).await.unwrap();
        drop(far);
        timeout(2 * STALLED, carrying).await.unwrap().unwrap();
    }
}

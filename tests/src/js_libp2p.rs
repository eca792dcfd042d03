//! Nodes of js-libp2p, and one for them to meet that sends back all it gets.

use anyhow::{Context, Result, ensure};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, StreamProtocol, SwarmBuilder, Transport as _, core::muxing::StreamMuxerBox,
    multiaddr::Protocol, swarm::SwarmEvent,
};
use serde::Deserialize;
use tokio::runtime::Runtime;
use webrtc::native::{Certificate, direct};

use crate::{Browser, Page, WebServer, node};

/// The protocol of [`Echo`].
pub const ECHO: &str = "/echo/1.0.0";

/// A node of js-libp2p in a tab of its own.
pub struct JsNode {
    page: Page,
    _server: WebServer,
}

/// A connection as js-libp2p describes it.
#[derive(Debug, Deserialize)]
pub struct JsConnection {
    /// Of the other side.
    pub address: String,
    /// By way of a relay, which limits it.
    pub relayed: bool,
    /// The other side has begun it.
    pub inbound: bool,
}

impl JsNode {
    /// Starts one.
    pub fn start(browser: &Browser) -> Result<Self> {
        let command = "cargo xtask test --only end";
        let folder = node::built("IAP2P_JS_LIBP2P", "target/js-libp2p/page", command)?;
        let server = WebServer::start(&folder)?;
        let page = browser.open(&format!("http://{}/", server.address()))?;
        page.wait_until("'node' in globalThis")?;
        Ok(Self {
            page,
            _server: server,
        })
    }

    /// Connects.
    pub fn dial(&self, address: &str) -> Result<JsConnection> {
        self.ask(&format!("node.dial({address:?})"))
    }

    /// Has a relay reserve a place, and says under which address this node is found then.
    pub fn reserve(&self, relay: &str) -> Result<String> {
        self.ask(&format!("node.reserve({relay:?})"))
    }

    /// Its connections with a peer.
    pub fn connections(&self, peer: &str) -> Result<Vec<JsConnection>> {
        self.ask(&format!("node.connections({peer:?})"))
    }

    /// Pings a peer over the direct connection.
    pub fn ping(&self, peer: &str) -> Result<()> {
        ensure!(
            self.ask::<bool>(&format!("node.ping({peer:?})"))?,
            "no pong"
        );
        Ok(())
    }

    /// Sends so many bytes to [`Echo`] and has them come back, to the end of the stream.
    pub fn echo(&self, peer: &str, length: usize) -> Result<()> {
        let same = self.ask::<bool>(&format!("node.echo({peer:?}, {ECHO:?}, {length})"))?;
        ensure!(same, "what came back is not what was sent");
        Ok(())
    }

    fn ask<T: for<'a> Deserialize<'a>>(&self, expression: &str) -> Result<T> {
        let answer = self.page.eval(expression)?;
        serde_json::from_value(answer).with_context(|| expression.to_owned())
    }
}

/// Listens by WebRTC-direct and sends back what it gets, until it is dropped.
pub struct Echo {
    address: Multiaddr,
    peer: String,
    _runtime: Runtime,
}

impl Echo {
    /// Starts one on loopback.
    pub fn start() -> Result<Self> {
        let runtime = Runtime::new()?;
        let inside = runtime.enter();
        let mut echo = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_other_transport(|keypair| {
                let certificate = Certificate::generate()?;
                let transport = direct::Transport::new(keypair.clone(), certificate, Vec::new());
                Ok(transport.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))))
            })?
            .with_behaviour(|_| libp2p_stream::Behaviour::new())?
            .build();
        let peer = *echo.local_peer_id();
        let protocol = StreamProtocol::new(ECHO);
        let mut incoming = echo.behaviour().new_control().accept(protocol)?;
        echo.listen_on("/ip4/127.0.0.1/udp/0/webrtc-direct".parse()?)?;
        let address = runtime.block_on(async {
            loop {
                if let SwarmEvent::NewListenAddr { address, .. } = echo.select_next_some().await {
                    return address.with(Protocol::P2p(peer));
                }
            }
        });
        runtime.spawn(async move {
            loop {
                echo.select_next_some().await;
            }
        });
        runtime.spawn(async move {
            while let Some((_, stream)) = incoming.next().await {
                tokio::spawn(async move {
                    let (reader, mut writer) = stream.split();
                    futures::io::copy(reader, &mut writer).await?;
                    writer.close().await
                });
            }
        });
        drop(inside);
        Ok(Self {
            address,
            peer: peer.to_string(),
            _runtime: runtime,
        })
    }

    /// Where it is reached.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Its peer id.
    #[must_use]
    pub fn peer_id(&self) -> &str {
        &self.peer
    }
}

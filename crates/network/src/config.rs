use std::time::Duration;

use libp2p::Multiaddr;
use protocol::Hello;

use crate::{ConnectionLimits, Granter, IceServer, Identity, RelayLimits, Reserve, Secret};

/// How a node takes part in the network.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// What it tells every peer first. Keep it current with [`crate::Handle::set_hello`].
    pub hello: Hello,
    /// Where it listens (native nodes): `/ip4/0.0.0.0/tcp/0`, `/ip4/0.0.0.0/udp/0/quic-v1`, `/ip4/0.0.0.0/tcp/0/ws`,
    /// `/ip4/0.0.0.0/udp/0/webrtc-direct`.
    pub listen: Vec<Multiaddr>,
    /// The addresses under which others reach it, a router's or a domain's. They are announced besides those it listens
    /// on, of which those of loopback then are not.
    pub external: Vec<Multiaddr>,
    /// Nodes to enter the network through; best with `/p2p/<id>` at the end. Dialled at once, and again, ever more
    /// seldom, whenever the connection is lost. Browsers need WebSocket addresses (`…/ws`, `…/wss`).
    pub bootstrap: Vec<Multiaddr>,
    /// Addresses of peers that were met another time ([`crate::Handle::known`]), each ending in `/p2p/<id>`. They are
    /// dialled when no bootstrap node has answered after some seconds, and then serve as such.
    pub remembered: Vec<Multiaddr>,
    /// When to have the bootstrap nodes relay for this node, so that peers reach it where no direct connection is possible.
    /// Always wanted in browsers.
    pub reserve: Reserve,
    /// Relay for others.
    pub relay_server: Option<RelayLimits>,
    /// Keep a part of the DHT for others. Without it (browsers) the node only asks and announces.
    pub kad_server: bool,
    /// Only for those who know this secret; see [`Secret`].
    pub secret: Option<Secret>,
    /// What it shows who connects by WebRTC. Keep it: addresses for WebRTC-direct name it. Without one, a new one.
    #[cfg(not(target_arch = "wasm32"))]
    pub certificate: Option<crate::Certificate>,
    /// From which of its addresses a native node makes connections that WebRTC arranges. `None`: from all; from
    /// loopback, if it listens nowhere else.
    #[cfg(not(target_arch = "wasm32"))]
    pub webrtc_ip: Option<std::net::IpAddr>,
    /// Replace relayed connections by direct ones, which WebRTC finds a way for.
    pub direct: bool,
    /// STUN and TURN servers that help to find it.
    pub ice_servers: Vec<IceServer>,
    /// The node has a TURN server, and lets those use it who ask.
    pub turn: Option<Granter>,
    /// How many connections there may be; beyond it new ones are refused.
    pub limits: ConnectionLimits,
    /// How long a connection without any open stream is kept. With peers that messages are exchanged with there always
    /// is one; others are only asked something by the DHT now and then.
    pub idle_timeout: Duration,
}

impl Config {
    /// A node that listens nowhere and knows nobody: fill in what it should do.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let browser = cfg!(target_arch = "wasm32");
        Self {
            identity,
            hello: Hello::default(),
            listen: Vec::new(),
            external: Vec::new(),
            bootstrap: Vec::new(),
            remembered: Vec::new(),
            reserve: if browser {
                Reserve::Always
            } else {
                Reserve::WhenTranslated
            },
            relay_server: None,
            kad_server: !browser,
            secret: None,
            #[cfg(not(target_arch = "wasm32"))]
            certificate: None,
            #[cfg(not(target_arch = "wasm32"))]
            webrtc_ip: None,
            direct: true,
            ice_servers: Vec::new(),
            turn: None,
            limits: ConnectionLimits::default(),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

//! A node under test.

use std::time::Duration;

use futures::StreamExt;
use network::{Config, Event, Events, Handle, Identity, Multiaddr, PeerId};
use protocol::{Bitmap, Hello, Message, RequestId, Role};

/// How long anything may take. Far more than it takes; the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) events: Events,
}

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const WEBSOCKET: &str = "/ip4/127.0.0.1/tcp/0/ws";
pub(crate) const WEBRTC: &str = "/ip4/127.0.0.1/udp/0/webrtc-direct";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

impl Node {
    pub(crate) fn start(config: Config) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (handle, events, driver) = network::start(config).unwrap();
        tokio::spawn(driver);
        Self { handle, events }
    }

    /// A node that listens on these addresses.
    pub(crate) fn listening(addresses: &[&str]) -> Self {
        Self::start(Config {
            listen: addresses.iter().map(|it| it.parse().unwrap()).collect(),
            ..config()
        })
    }

    /// A node that introduces and relays, and its address.
    pub(crate) async fn bootstrap() -> (Self, Multiaddr) {
        let config = Config {
            listen: vec![WEBSOCKET.parse().unwrap()],
            relay_server: Some(network::RelayLimits::default()),
            ..config()
        };
        let mut node = Self::start(config);
        let address = node.address().await;
        (node, address)
    }

    pub(crate) fn peer(&self) -> PeerId {
        self.handle.local_peer()
    }

    /// The first event that `pick` wants; others are passed over.
    pub(crate) async fn wait<T>(&mut self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.next().await.expect("the node has ended");
                if let Some(found) = pick(event) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, search)
            .await
            .expect("nothing happened in time")
    }

    pub(crate) async fn address(&mut self) -> Multiaddr {
        self.wait(|event| match event {
            Event::Listening { address } => Some(address),
            _ => None,
        })
        .await
    }

    pub(crate) async fn message_from(&mut self, other: PeerId) -> Message {
        self.wait(|event| match event {
            Event::Message { peer, message } if peer == other => Some(message),
            _ => None,
        })
        .await
    }

    pub(crate) async fn hello_from(&mut self, other: PeerId) -> Hello {
        match self.message_from(other).await {
            Message::Hello(hello) => hello,
            other => panic!("{} came before hello", other.kind()),
        }
    }

    pub(crate) async fn gone(&mut self, other: PeerId) {
        self.wait(|event| match event {
            Event::Disconnected { peer } => (peer == other).then_some(()),
            _ => None,
        })
        .await;
    }

    /// Waits until one connection with the peer is left.
    pub(crate) async fn settled(&mut self, other: PeerId) -> network::Path {
        let handle = self.handle.clone();
        let settled = async {
            loop {
                match &handle.paths(other)[..] {
                    [path] => return path.clone(),
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, settled)
            .await
            .expect("one connection in the end")
    }

    /// Goes on taking events, so that the node keeps working.
    pub(crate) fn in_background(mut self) -> Handle {
        tokio::spawn(async move { while self.events.next().await.is_some() {} });
        self.handle
    }
}

pub(crate) fn config() -> Config {
    let mut config = Config::new(Identity::generate());
    // Only where a test is about it: WebRTC would find a way around every relay.
    config.direct = false;
    config.hello = Hello {
        agent: "test".to_owned(),
        version: protocol::VERSION,
        role: Role::Worker,
        model: Some([7; 32]),
        computes: Bitmap::full(3),
        stores: Bitmap::new(3),
        runs: None,
        finishes: false,
    };
    config
}

/// Two nodes, connected over this kind of address, each having heard the other's hello.
pub(crate) async fn pair(kind: &str) -> (Node, Node) {
    let mut one = Node::listening(&[kind]);
    let mut other = Node::listening(&[]);
    other.handle.dial(one.address().await);
    one.hello_from(other.peer()).await;
    other.hello_from(one.peer()).await;
    (one, other)
}

pub(crate) fn request(id: u64, len: usize) -> Message {
    let body = vec![id as u8; len].into();
    Message::ComputeRequest(protocol::ComputeRequest {
        id: RequestId(id),
        fragment: [1; 32],
        body,
        priority: protocol::Priority::Interactive,
        patience: None,
    })
}

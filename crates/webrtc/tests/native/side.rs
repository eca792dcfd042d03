//! A side of a connection, driven as libp2p would.

use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join;
use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        Endpoint,
        muxing::StreamMuxerExt,
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
    identity::Keypair,
};
use tokio_util::compat::TokioAsyncReadCompatExt;
use webrtc::{
    Error, Role,
    native::{Certificate, Connection, Stream, direct, negotiate_at},
};

/// Long: several of these tests run at once on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it happens in time")
}

#[derive(Clone)]
pub(crate) struct Side(Arc<Mutex<Option<Connection>>>);

impl Side {
    pub(crate) fn new(connection: Connection) -> Self {
        Self(Arc::new(Mutex::new(Some(connection))))
    }

    /// Waits for the connection to end.
    pub(crate) async fn end(&self) -> Error {
        in_time(poll_fn(|cx| {
            let mut connection = self.0.lock().unwrap();
            connection.as_mut().unwrap().poll_unpin(cx)
        }))
        .await
        .unwrap_err()
    }

    pub(crate) async fn open(&self) -> Stream {
        in_time(poll_fn(|cx| {
            let mut connection = self.0.lock().unwrap();
            connection.as_mut().unwrap().poll_outbound_unpin(cx)
        }))
        .await
        .unwrap()
    }

    pub(crate) async fn accept(&self) -> Stream {
        in_time(poll_fn(|cx| {
            let mut connection = self.0.lock().unwrap();
            connection.as_mut().unwrap().poll_inbound_unpin(cx)
        }))
        .await
        .unwrap()
    }

    pub(crate) fn hang_up(&self) {
        self.0.lock().unwrap().take();
    }
}

/// Two sides that have negotiated with each other.
pub(crate) async fn pair() -> (Side, Side) {
    let (one, other) = tokio::io::duplex(4096);
    let (one, other) = in_time(join(
        negotiate_at(LOOPBACK, one.compat(), &[], Role::Offers),
        negotiate_at(LOOPBACK, other.compat(), &[], Role::Answers),
    ))
    .await;
    (Side::new(one.unwrap()), Side::new(other.unwrap()))
}

/// A node that listens for WebRTC-direct, and its address.
pub(crate) struct Server {
    pub(crate) transport: direct::Transport,
    pub(crate) address: Multiaddr,
    pub(crate) peer: PeerId,
}

pub(crate) fn node(secret: &[u8]) -> (direct::Transport, PeerId) {
    let keypair = Keypair::generate_ed25519();
    let peer = keypair.public().to_peer_id();
    let certificate = Certificate::generate().unwrap();
    (
        direct::Transport::new(keypair, certificate, secret.to_vec()),
        peer,
    )
}

impl Server {
    pub(crate) async fn start(secret: &[u8]) -> Self {
        let (mut transport, peer) = node(secret);
        let address = "/ip4/127.0.0.1/udp/0/webrtc-direct".parse().unwrap();
        transport.listen_on(ListenerId::next(), address).unwrap();
        let event = poll_fn(|cx| std::pin::Pin::new(&mut transport).poll(cx)).await;
        let TransportEvent::NewAddress { listen_addr, .. } = event else {
            panic!("{event:?}");
        };
        Self {
            transport,
            address: listen_addr,
            peer,
        }
    }

    /// The next connection whose handshake succeeds, and what became of those before it.
    pub(crate) async fn accept(&mut self) -> (PeerId, Connection) {
        in_time(async {
            loop {
                if let Ok(accepted) = self.attempt().await {
                    return accepted;
                }
            }
        })
        .await
    }

    pub(crate) async fn attempt(&mut self) -> Result<(PeerId, Connection), Error> {
        let transport = &mut self.transport;
        let event = poll_fn(|cx| std::pin::Pin::new(&mut *transport).poll(cx)).await;
        match event {
            TransportEvent::Incoming { upgrade, .. } => upgrade.await,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn dial(
    transport: &mut direct::Transport,
    address: Multiaddr,
) -> Result<(PeerId, Connection), Error> {
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dial = transport.dial(address, options).unwrap();
    in_time(dial).await
}

/// Two sides of a WebRTC-direct connection: who dialled, and who was dialled.
pub(crate) async fn direct_pair() -> (Side, Side) {
    let mut server = Server::start(&[]).await;
    let (mut client, client_peer) = node(&[]);
    let address = server.address.clone();
    let wanted = server.peer;
    let (dialled, (found, accepted)) = join(dial(&mut client, address), server.accept()).await;
    let (server_peer, dialled) = dialled.unwrap();
    assert_eq!((server_peer, found), (wanted, client_peer));
    // The port has to stay open.
    tokio::spawn(async move {
        loop {
            let _ = server.attempt().await;
        }
    });
    (Side::new(dialled), Side::new(accepted))
}

//! QUIC, as [libp2p speaks it](https://github.com/libp2p/specs/blob/master/quic/README.md), over
//! [quinn](https://docs.rs/quinn).
//!
//! libp2p's own transport does the same and lets little be set. Where a node asks and waits, and asks again, what it cannot
//! be told decides how long a token takes: see [`settings`].

mod connection;
mod listener;
mod settings;

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId,
    core::transport::{
        DialOpts, ListenerId, PortUse, Transport as Libp2p, TransportError, TransportEvent,
    },
    identity::Keypair,
    multiaddr::Protocol,
};
use tokio::time::timeout;

pub(crate) use connection::Connection;
use listener::Listener;
use settings::Settings;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// The name that is asked for. Peers are known by their keys, but TLS wants one.
const NAME: &str = "l";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The socket.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There can be none with this address.
    #[error(transparent)]
    Connect(#[from] quinn::ConnectError),
    /// It was refused, or was lost.
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    /// The other side does not show who it is.
    #[error("the peer has no certificate of libp2p's")]
    Stranger,
    /// There was no answer.
    #[error("no answer in time")]
    TimedOut,
}

/// A connection that is coming about.
type Upgrade = BoxFuture<'static, Result<(PeerId, Connection), Error>>;

/// Listens on and dials `/ip4/…/udp/…/quic-v1`.
pub(crate) struct Transport {
    settings: Settings,
    listeners: Vec<Listener>,
    /// Sockets that others cannot dial, one for IPv4 and one for IPv6: for who does not listen.
    diallers: HashMap<bool, quinn::Endpoint>,
    events: VecDeque<TransportEvent<Upgrade, Error>>,
    waker: Option<Waker>,
}

impl Transport {
    /// For a peer with this key.
    ///
    /// # Errors
    /// If no certificate can be made of it.
    pub(crate) fn new(keypair: &Keypair) -> Result<Self, crate::Error> {
        Ok(Self {
            settings: Settings::new(keypair)?,
            listeners: Vec::new(),
            diallers: HashMap::new(),
            events: VecDeque::new(),
            waker: None,
        })
    }

    fn listen(&mut self, id: ListenerId, at: SocketAddr) -> io::Result<()> {
        let endpoint = self.endpoint(at, true)?;
        // From now on dials leave from a port that others know.
        self.diallers.remove(&at.is_ipv4());
        self.listeners.push(Listener::new(id, endpoint)?);
        self.wake();
        Ok(())
    }

    fn endpoint(&self, at: SocketAddr, serves: bool) -> io::Result<quinn::Endpoint> {
        let server = serves.then(|| self.settings.server.clone());
        quinn::Endpoint::new(
            self.settings.endpoint.clone(),
            server,
            socket(at)?,
            Arc::new(quinn::TokioRuntime),
        )
    }

    /// Where a dial leaves from. A port that others know already is the best: routers let answers to it through.
    fn dialler(&mut self, to: IpAddr, port: PortUse) -> io::Result<quinn::Endpoint> {
        let mut listeners = self.listeners.iter();
        if port == PortUse::Reuse
            && let Some(listener) = listeners.find(|it| it.reaches(to))
        {
            return Ok(listener.endpoint());
        }
        let any: IpAddr = if to.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        if port == PortUse::New {
            return self.endpoint((any, 0).into(), false);
        }
        if let Some(dialler) = self.diallers.get(&to.is_ipv4()) {
            return Ok(dialler.clone());
        }
        let dialler = self.endpoint((any, 0).into(), false)?;
        self.diallers.insert(to.is_ipv4(), dialler.clone());
        Ok(dialler)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Libp2p for Transport {
    type Output = (PeerId, Connection);
    type Error = Error;
    type ListenerUpgrade = Upgrade;
    type Dial = Upgrade;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Error>> {
        let at = parse(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        self.listen(id, at)
            .map_err(|error| TransportError::Other(error.into()))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let Some(place) = self.listeners.iter().position(|it| it.id() == id) else {
            return false;
        };
        self.listeners.swap_remove(place);
        self.events.push_back(TransportEvent::ListenerClosed {
            listener_id: id,
            reason: Ok(()),
        });
        self.wake();
        true
    }

    /// Of two that dial each other at the same time both begin, so that the routers of both let the other one in.
    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Upgrade, TransportError<Error>> {
        let to = parse(&address)
            .filter(|to| to.port() != 0 && !to.ip().is_unspecified())
            .ok_or(TransportError::MultiaddrNotSupported(address))?;
        let dialler = self
            .dialler(to.ip(), options.port_use)
            .map_err(|error| TransportError::Other(error.into()))?;
        let settings = self.settings.client.clone();
        let connecting = async move {
            let connecting = dialler.connect_with(settings, to, NAME)?;
            Connection::new(connecting.await?)
        };
        Ok(in_time(connecting))
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Upgrade, Error>> {
        let this = self.get_mut();
        if let Some(event) = this.events.pop_front() {
            return Poll::Ready(event);
        }
        for listener in &mut this.listeners {
            if let Poll::Ready(event) = listener.poll(cx) {
                return Poll::Ready(event);
            }
        }
        this.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

fn in_time(
    handshake: impl Future<Output = Result<(PeerId, Connection), Error>> + Send + 'static,
) -> Upgrade {
    async move {
        timeout(HANDSHAKE, handshake)
            .await
            .unwrap_or(Err(Error::TimedOut))
    }
    .boxed()
}

/// A socket with room for what comes while its thread does something else: as much as the system allows.
fn socket(at: SocketAddr) -> io::Result<UdpSocket> {
    const ROOM: usize = 4 << 20;
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    for room in [
        socket.set_recv_buffer_size(ROOM),
        socket.set_send_buffer_size(ROOM),
    ] {
        // With less it works, too.
        if let Err(error) = room {
            tracing::debug!(%error, "a socket keeps the room it has");
        }
    }
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Where an address leads, if it is one of ours.
fn parse(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Udp(port) = parts.next()? else {
        return None;
    };
    let is_quic = parts.next()? == Protocol::QuicV1;
    let ends = parts.all(|part| matches!(part, Protocol::P2p(_)));
    (is_quic && ends).then(|| (ip, port).into())
}

fn address(at: SocketAddr) -> Multiaddr {
    Multiaddr::from(at.ip())
        .with(Protocol::Udp(at.port()))
        .with(Protocol::QuicV1)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures::{AsyncReadExt as _, AsyncWriteExt as _, future::join};
    use libp2p::core::{Endpoint, muxing::StreamMuxerExt as _};

    use super::*;

    struct Side {
        transport: Transport,
        peer: PeerId,
    }

    impl Side {
        fn new() -> Self {
            let keypair = Keypair::generate_ed25519();
            Self {
                transport: Transport::new(&keypair).unwrap(),
                peer: keypair.public().to_peer_id(),
            }
        }

        async fn event(&mut self) -> TransportEvent<Upgrade, Error> {
            poll_fn(|cx| Pin::new(&mut self.transport).poll(cx)).await
        }

        async fn listen(&mut self) -> (ListenerId, Multiaddr) {
            let id = ListenerId::next();
            let anywhere = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
            self.transport.listen_on(id, anywhere).unwrap();
            match self.event().await {
                TransportEvent::NewAddress { listen_addr, .. } => (id, listen_addr),
                other => panic!("{other:?}"),
            }
        }

        fn dial(&mut self, address: &Multiaddr) -> Upgrade {
            let options = DialOpts {
                role: Endpoint::Dialer,
                port_use: PortUse::Reuse,
            };
            self.transport.dial(address.clone(), options).unwrap()
        }

        /// From where somebody comes, and the connection.
        async fn accept(&mut self) -> (Multiaddr, PeerId, Connection) {
            match self.event().await {
                TransportEvent::Incoming {
                    upgrade,
                    send_back_addr,
                    ..
                } => {
                    let (peer, connection) = upgrade.await.unwrap();
                    (send_back_addr, peer, connection)
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn both_know_each_other_and_who_listens_dials_from_the_same_port() {
        let (mut one, mut other) = (Side::new(), Side::new());
        let (_, ours) = one.listen().await;
        let (_, theirs) = other.listen().await;
        let (dialled, (from, peer, _accepted)) = join(one.dial(&theirs), other.accept()).await;
        assert_eq!(dialled.unwrap().0, other.peer);
        assert_eq!((from, peer), (ours, one.peer));
    }

    #[tokio::test]
    async fn what_is_connected_stays_when_nobody_listens_any_more() {
        let (mut one, mut other) = (Side::new(), Side::new());
        let (id, address) = other.listen().await;
        let (dialled, (.., mut accepted)) = join(one.dial(&address), other.accept()).await;
        let (_, mut dialled) = dialled.unwrap();
        assert!(other.transport.remove_listener(id));
        assert!(matches!(
            other.event().await,
            TransportEvent::ListenerClosed { .. }
        ));
        assert!(one.dial(&address).await.is_err());

        let mut asks = poll_fn(|cx| dialled.poll_outbound_unpin(cx)).await.unwrap();
        asks.write_all(b"hello").await.unwrap();
        asks.close().await.unwrap();
        let mut answers = poll_fn(|cx| accepted.poll_inbound_unpin(cx)).await.unwrap();
        let mut heard = Vec::new();
        answers.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"hello");

        drop(dialled);
        drop(asks);
        let end = poll_fn(|cx| accepted.poll_inbound_unpin(cx)).await;
        assert!(end.is_err(), "the other side has gone");
    }

    #[test]
    fn addresses_of_other_transports_are_left_to_them() {
        let at = |text: &str| parse(&text.parse().unwrap());
        let peer = "/p2p/12D3KooWNarYfqcnoC7y6XaXUuW4ZJmH8LW6uoytANxh4zgLGKNa";
        for ours in ["/ip4/1.2.3.4/udp/5/quic-v1", "/ip6/::1/udp/5/quic-v1"] {
            let parsed = at(ours).unwrap();
            assert_eq!(address(parsed).to_string(), ours);
            assert_eq!(at(&format!("{ours}{peer}")), Some(parsed));
        }
        for other in [
            "/ip4/1.2.3.4/tcp/5",
            "/ip4/1.2.3.4/udp/5",
            "/ip4/1.2.3.4/udp/5/quic",
            "/dns4/a.example/udp/5/quic-v1",
            "/ip4/1.2.3.4/udp/5/quic-v1/webtransport",
            "/ip4/1.2.3.4/udp/5/quic-v1/p2p-circuit",
        ] {
            assert_eq!(at(other), None, "{other}");
        }
    }
}

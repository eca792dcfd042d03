//! `/webrtc`: from a relayed connection to one of their own, for two peers that cannot dial each other.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite, FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
};

use crate::{
    Error, IceServers, Role,
    target::{Connection, Local, MaybeSend, Place, SignalFuture, local, negotiate},
};

/// What this transport listens on; it means "everybody who finds me through a relay".
pub const LISTEN: &str = "/webrtc";

/// Streams of [`crate::core::signaling::PROTOCOL`] over relayed connections. A transport has no connections of its own;
/// whoever owns the swarm lends it theirs.
pub trait Signaling: Unpin + 'static {
    /// A stream between two peers, authenticated and encrypted from end to end.
    type Stream: AsyncRead + AsyncWrite + Unpin + MaybeSend + 'static;

    /// Opens a stream to a peer that there is a relayed connection with; `None` if there is none.
    fn open(&mut self, peer: PeerId) -> SignalFuture<Option<Self::Stream>>;

    /// The next stream that a peer has opened.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<(PeerId, Self::Stream)>;
}

/// Dials `…/p2p-circuit/webrtc/p2p/<peer>`, over the relayed connection that stands, and listens on [`LISTEN`].
///
/// It goes before the relay client's transport in a chain of them, which would take these addresses for its own. When
/// two peers dial each other at once, each side gets both connections; the one that the lower peer id dialled is the
/// one to keep, so that both keep the same.
pub struct Transport<S> {
    signaling: Local<S>,
    servers: IceServers,
    place: Place,
    listener: Option<ListenerId>,
}

impl<S: Signaling> Transport<S> {
    /// A transport that finds paths with the help of these servers.
    pub fn new(signaling: S, servers: IceServers) -> Self {
        Self {
            signaling: local(signaling),
            servers,
            place: Place::default(),
            listener: None,
        }
    }

    /// The same, with connections from and to this address only; `None`: all that the machine has.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn at(mut self, ip: Option<std::net::IpAddr>) -> Self {
        self.place = ip;
        self
    }

    fn negotiated(
        &self,
        peer: PeerId,
        role: Role,
        stream: impl Future<Output = Option<S::Stream>> + MaybeSend + 'static,
    ) -> Upgrade {
        let (servers, place) = (self.servers.get(), self.place);
        let work = async move {
            let stream = stream.await.ok_or(Error::NoSignaling)?;
            Ok((peer, negotiate(place, stream, &servers, role).await?))
        };
        local(work).boxed()
    }
}

type Upgrade = BoxFuture<'static, Result<(PeerId, Connection), Error>>;

/// The peer of an address that is ours to dial.
fn parse(address: &Multiaddr) -> Option<PeerId> {
    let mut parts = address
        .iter()
        .skip_while(|part| *part != Protocol::P2pCircuit)
        .skip(1);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::WebRTC), Some(Protocol::P2p(peer)), None) => Some(peer),
        _ => None,
    }
}

fn direct_to(peer: PeerId) -> Multiaddr {
    Multiaddr::empty()
        .with(Protocol::P2pCircuit)
        .with(Protocol::WebRTC)
        .with(Protocol::P2p(peer))
}

impl<S: Signaling> libp2p::Transport for Transport<S> {
    type Output = (PeerId, Connection);
    type Error = Error;
    type ListenerUpgrade = Upgrade;
    type Dial = Upgrade;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Error>> {
        let ours = address.iter().eq([Protocol::WebRTC]);
        if !ours || self.listener.is_some() {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.listener = Some(id);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listener.take_if(|listener| *listener == id).is_some()
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Upgrade, TransportError<Error>> {
        let Some(peer) = parse(&address).filter(|_| options.role.is_dialer()) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let stream = self.signaling.open(peer);
        Ok(self.negotiated(peer, Role::Offers, stream))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Upgrade, Error>> {
        let Some(listener_id) = self.listener else {
            return Poll::Pending;
        };
        self.signaling
            .poll_incoming(cx)
            .map(|(peer, stream)| TransportEvent::Incoming {
                listener_id,
                upgrade: self.negotiated(peer, Role::Answers, std::future::ready(Some(stream))),
                local_addr: Multiaddr::empty().with(Protocol::WebRTC),
                send_back_addr: direct_to(peer),
            })
    }
}

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures::{FutureExt, StreamExt, channel::oneshot, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
};
use send_wrapper::SendWrapper;

use super::{
    Error, LISTEN,
    connection::Connection,
    negotiation::{Role, negotiate},
};
use crate::{
    IceServer,
    transport::{SignalEnds, Wanted},
};

/// Dials `…/p2p-circuit/webrtc/p2p/<peer>` and listens on [`LISTEN`].
///
/// It has no connection of its own to arrange things over: streams to and from peers come through [`SignalEnds`].
pub(crate) struct Transport {
    signals: SendWrapper<SignalEnds>,
    servers: SendWrapper<Rc<[IceServer]>>,
    listener: Option<ListenerId>,
}

impl Transport {
    pub(crate) fn new(signals: SignalEnds, servers: &[IceServer]) -> Self {
        Self {
            signals: SendWrapper::new(signals),
            servers: SendWrapper::new(servers.into()),
            listener: None,
        }
    }

    fn negotiated(
        &self,
        peer: PeerId,
        role: Role,
        stream: oneshot::Receiver<libp2p::Stream>,
    ) -> Upgrade {
        let servers = Rc::clone(&self.servers);
        let work = async move {
            let stream = stream.await.map_err(|_| Error::NoSignalling)?;
            Ok((peer, negotiate(stream, &servers, role).await?))
        };
        SendWrapper::new(work).boxed()
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

impl libp2p::Transport for Transport {
    type Output = (PeerId, Connection);
    type Error = Error;
    type ListenerUpgrade = Upgrade;
    type Dial = Upgrade;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Error>> {
        if address.to_string() != LISTEN || self.listener.is_some() {
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
        let (reply, stream) = oneshot::channel();
        // Fails when too many are waiting or the node shuts down; then the dial fails for want of a stream.
        let _ = self.signals.wanted.try_send(Wanted { peer, reply });
        Ok(self.negotiated(peer, Role::Offers, stream))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Upgrade, Error>> {
        let Some(listener_id) = self.listener else {
            return Poll::Pending;
        };
        let Poll::Ready(Some((peer, stream))) = self.signals.incoming.poll_next_unpin(cx) else {
            return Poll::Pending;
        };
        let (reply, received) = oneshot::channel();
        // Cannot fail: the receiver is in the line above.
        let _ = reply.send(stream);
        Poll::Ready(TransportEvent::Incoming {
            listener_id,
            upgrade: self.negotiated(peer, Role::Answers, received),
            local_addr: Multiaddr::empty().with(Protocol::WebRTC),
            send_back_addr: direct_to(peer),
        })
    }
}

//! WebRTC-direct: connections with a native node whose address and certificate are known, without anybody between.
//!
//! The [second version](crate::core::direct) of the convention, which leaves the browser's own description alone.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{BoxFuture, Either, select},
};
use futures_timer::Delay;
use libp2p::{
    Multiaddr, PeerId,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    identity::Keypair,
};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{RtcConfiguration, RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit};

use super::{Connection, Error, Stream, peer::PeerConnection};
use crate::{
    address::parse_direct,
    core::direct::{answer, description, server_credentials},
    handshake::{Side, authenticate},
};

/// How long connecting may take.
pub const HANDSHAKE: Duration = Duration::from_secs(15);

/// Dials WebRTC-direct addresses. A page listens nowhere.
pub struct Transport(Arc<Identity>);

struct Identity {
    keypair: Keypair,
    secret: Vec<u8>,
}

impl Transport {
    /// A transport for this peer. `secret` is empty, or what only the members of a private swarm know: with others no
    /// handshake succeeds.
    #[must_use]
    pub fn new(keypair: Keypair, secret: Vec<u8>) -> Self {
        Self(Arc::new(Identity { keypair, secret }))
    }
}

type Upgrade = BoxFuture<'static, Result<(PeerId, Connection), Error>>;

impl libp2p::Transport for Transport {
    type Output = (PeerId, Connection);
    type Error = Error;
    type ListenerUpgrade = Upgrade;
    type Dial = Upgrade;

    fn listen_on(&mut self, _: ListenerId, at: Multiaddr) -> Result<(), TransportError<Error>> {
        Err(TransportError::MultiaddrNotSupported(at))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Upgrade, TransportError<Error>> {
        let target = parse_direct(&address).filter(|_| options.role.is_dialer());
        let Some((at, digest)) = target.and_then(|it| it.digest.map(|digest| (it.at, digest)))
        else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let identity = Arc::clone(&self.0);
        let work = async move {
            let dialling = pin!(dial(&identity, at, digest));
            match select(dialling, Delay::new(HANDSHAKE)).await {
                Either::Left((result, _)) => result,
                Either::Right(_) => Err(Error::TimedOut),
            }
        };
        Ok(SendWrapper::new(work).boxed())
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<TransportEvent<Upgrade, Error>> {
        Poll::Pending
    }
}

async fn dial(
    identity: &Identity,
    at: SocketAddr,
    theirs: [u8; 32],
) -> Result<(PeerId, Connection), Error> {
    let mut peer = PeerConnection::new(&RtcConfiguration::new())?;
    let channel = peer.open_negotiated(0)?;
    let offer = JsFuture::from(peer.inner.create_offer()).await?;
    let offer: RtcSessionDescriptionInit = offer.unchecked_into();
    JsFuture::from(peer.inner.set_local_description(&offer)).await?;
    let local = peer.inner.local_description().map(|local| local.sdp());
    let (ours, password) = local
        .and_then(|sdp| description(&sdp))
        .ok_or(Error::Negotiation("no certificate of our own"))?;
    let server = server_credentials(&password)
        .ok_or(Error::Negotiation("credentials of an unknown kind"))?;
    let description = RtcSessionDescriptionInit::new(RtcSdpType::Answer);
    description.set_sdp(&answer(at, &theirs, &server));
    JsFuture::from(peer.inner.set_remote_description(&description)).await?;

    let (found, kept) = {
        let work = pin!(authenticate(
            Stream::alone(channel),
            &identity.keypair,
            &identity.secret,
            Side::Client,
            (ours, theirs),
        ));
        let failed = pin!(poll_fn(|cx| {
            while let Poll::Ready(state) = peer.poll_change(cx) {
                if matches!(
                    state,
                    RtcPeerConnectionState::Failed | RtcPeerConnectionState::Closed
                ) {
                    return Poll::Ready(());
                }
            }
            Poll::Pending
        }));
        match select(work, failed).await {
            Either::Left((result, _)) => {
                result.map_err(|error| Error::Handshake(error.to_string()))?
            }
            Either::Right(_) => return Err(Error::NoPath),
        }
    };
    peer.watch_transport();
    let mut connection = Connection::new(peer);
    connection.keep(Box::new(kept));
    Ok((found, connection))
}

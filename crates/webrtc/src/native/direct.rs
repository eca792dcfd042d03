//! WebRTC-direct: connections with a server whose address and certificate are known, without anybody between.
//!
//! Addresses are `/ip4/<ip>/udp/<port>/webrtc-direct/certhash/<digest>`; browsers can dial them without a certificate
//! of an authority. All connections of a listener come in on its one port and are told apart by the address of the
//! other side. Clients of both versions of the [convention](crate::core::direct) are served; we dial with the second.
//!
//! The same port answers STUN requests without credentials: those who have an address of their own are who tells the
//! others theirs.
//!
//! What strangers can make a listener do is bounded: a packet that begins nothing is dropped where it lies, and at most
//! [`MAX_HALF_OPEN`] connections, [`MAX_HALF_OPEN_PER_IP`] of one address, are in their handshake, for [`HANDSHAKE`] at
//! most.

mod handshake;
mod listener;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    identity::Keypair,
    multiaddr::Protocol,
};
use str0m::{Candidate, IceCreds};
use tokio::time::timeout;

use super::{
    Certificate, Connection, Error,
    certificate::fingerprint,
    driver::{Source, drive},
    negotiation::config,
    paths,
    session::Session,
    socket::{Buffers, Socket},
};
use crate::{
    address::{Target, direct_address as address, parse_direct as parse},
    core::{Route, direct::server_credentials},
    handshake::Side,
};
use handshake::{Handshake, noise_channel};
use listener::Listener;

/// Connections that are in their handshake at a time.
pub const MAX_HALF_OPEN: usize = 256;

/// The same, from one address.
pub const MAX_HALF_OPEN_PER_IP: usize = 32;

/// How long connecting may take.
pub const HANDSHAKE: Duration = Duration::from_secs(15);

/// Listens on and dials WebRTC-direct addresses.
pub struct Transport {
    identity: Arc<Identity>,
    listeners: Vec<Listener>,
    events: VecDeque<TransportEvent<Upgrade, Error>>,
    waker: Option<Waker>,
}

type Upgrade = BoxFuture<'static, Result<(PeerId, Connection), Error>>;

/// Who we are, for the handshakes.
pub(super) struct Identity {
    keypair: Keypair,
    certificate: Certificate,
    /// What only the members of a private swarm know.
    secret: Vec<u8>,
}

impl Transport {
    /// A transport for a peer that shows this certificate. `secret` is empty, or what only the members of a private
    /// swarm know: with others no handshake succeeds.
    #[must_use]
    pub fn new(keypair: Keypair, certificate: Certificate, secret: Vec<u8>) -> Self {
        Self {
            identity: Arc::new(Identity {
                keypair,
                certificate,
                secret,
            }),
            listeners: Vec::new(),
            events: VecDeque::new(),
            waker: None,
        }
    }

    fn listen(&mut self, id: ListenerId, at: SocketAddr) -> Result<(), Error> {
        let socket = Socket::bind(at)?;
        let hash = self.identity.certificate.digest();
        for host in paths::hosts(socket.local())? {
            self.events.push_back(TransportEvent::NewAddress {
                listener_id: id,
                listen_addr: address(host, hash),
            });
        }
        self.listeners
            .push(Listener::start(id, socket, Arc::clone(&self.identity)));
        Ok(())
    }
}

async fn dial(identity: Arc<Identity>, target: Target) -> Result<(PeerId, Connection), Error> {
    let digest = target
        .digest
        .ok_or(Error::Negotiation("an address without a certificate"))?;
    let socket = Arc::new(Socket::bind(facing(target.at)?)?);
    let local = socket.local();
    let now = Instant::now();
    let mut rtc = config()
        .set_dtls_cert(identity.certificate.dtls())
        .build(now);
    let ours = rtc.direct_api().local_ice_credentials();
    let theirs = server_credentials(&ours.pass)
        .ok_or(Error::Negotiation("credentials of an unknown kind"))?;
    let candidate = |at| Candidate::host(at, "udp").map_err(|error| Error::Rtc(error.to_string()));
    rtc.add_local_candidate(candidate(local)?);
    rtc.add_remote_candidate(candidate(target.at)?);
    let mut api = rtc.direct_api();
    api.set_remote_ice_credentials(IceCreds {
        ufrag: theirs.fragment,
        pass: theirs.password,
    });
    api.set_ice_controlling(true);
    api.set_remote_fingerprint(fingerprint(digest));
    api.start_dtls(true)?;
    api.start_sctp(true);
    let session = Session::new(rtc);
    let channel = session.with(noise_channel);
    let source = Source::Own(Box::new(Buffers::small()));
    tokio::spawn(drive(Arc::clone(&session), socket, source, None));
    let connection = Connection::new(Arc::clone(&session), Route::Direct);
    let handshake = Handshake {
        identity,
        session,
        channel,
        side: Side::Client,
    };
    timeout(HANDSHAKE, handshake.run(connection))
        .await
        .unwrap_or(Err(Error::TimedOut))
}

/// The address of ours from which packets to `target` leave.
fn facing(target: SocketAddr) -> Result<SocketAddr, Error> {
    let any: SocketAddr = if target.is_ipv4() {
        paths::ANYWHERE
    } else {
        (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(any)?;
    // Sends nothing: it only has the system choose.
    socket.connect(target)?;
    Ok(SocketAddr::new(socket.local_addr()?.ip(), 0))
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
        let Some(target) = parse(&address) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        self.listen(id, target.at).map_err(TransportError::Other)?;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let before = self.listeners.len();
        self.listeners.retain(|listener| listener.id != id);
        let found = self.listeners.len() < before;
        if found {
            self.events.push_back(TransportEvent::ListenerClosed {
                listener_id: id,
                reason: Ok(()),
            });
        }
        found
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Upgrade, TransportError<Error>> {
        match parse(&address) {
            Some(target) if options.role.is_dialer() && target.digest.is_some() => {
                Ok(dial(Arc::clone(&self.identity), target).boxed())
            }
            _ => Err(TransportError::MultiaddrNotSupported(address)),
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Upgrade, Error>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        let digest = self.identity.certificate.digest();
        for listener in &mut self.listeners {
            if let Poll::Ready(incoming) = listener.poll(cx) {
                return Poll::Ready(TransportEvent::Incoming {
                    listener_id: listener.id,
                    local_addr: address(incoming.destination, digest),
                    send_back_addr: Multiaddr::from(incoming.source.ip())
                        .with(Protocol::Udp(incoming.source.port()))
                        .with(Protocol::WebRTCDirect),
                    upgrade: incoming.upgrade,
                });
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

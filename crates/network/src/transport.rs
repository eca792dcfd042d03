//! The ways to reach a peer, which is all that differs between the targets.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{
    AsyncRead, AsyncWrite, FutureExt, StreamExt,
    channel::{mpsc, oneshot},
};
use libp2p::{
    Multiaddr, PeerId, Stream,
    core::{muxing::StreamMuxerBox, transport::Boxed},
    multiaddr::Protocol,
    noise, relay,
};
use webrtc::{IceServers, SignalFuture, Signaling};

use crate::{Config, Error};

#[cfg(target_arch = "wasm32")]
#[path = "transport/browser.rs"]
mod target;
#[cfg(not(target_arch = "wasm32"))]
#[path = "transport/native.rs"]
mod target;

#[cfg(any(target_arch = "wasm32", test))]
mod brief;
#[cfg(target_arch = "wasm32")]
mod opening;
#[cfg(not(target_arch = "wasm32"))]
mod quic;
#[cfg(not(target_arch = "wasm32"))]
mod yamux;

pub(crate) use target::*;

/// How long connecting may take, encryption included.
const TIMEOUT: Duration = Duration::from_secs(20);

/// How long the other side may take to receive what is on its way to it when all is closed. Until then libp2p counts the
/// connection among those that stand.
const GOODBYE: Duration = Duration::from_secs(5);

/// Any transport, encrypted and multiplexed.
pub(crate) type Transport = Boxed<(PeerId, StreamMuxerBox)>;

/// What is put together for one node.
pub(crate) struct Built {
    pub(crate) transport: Transport,
    pub(crate) relay_client: relay::client::Behaviour,
    pub(crate) signals: Signals,
    /// What helps WebRTC to find paths; more may become known.
    pub(crate) servers: IceServers,
}

/// What WebRTC listens on for connections that are arranged over relayed ones.
pub(crate) fn listen_direct() -> Option<Multiaddr> {
    webrtc::LISTEN.parse().ok()
}

/// Noise, tied to the swarm's secret if it has one.
fn encryption(config: &Config) -> Result<noise::Config, Error> {
    let noise = noise::Config::new(config.identity.keypair())
        .map_err(|error| Error::Encryption(error.to_string()))?;
    Ok(match &config.secret {
        Some(secret) => noise.with_prologue(secret.prologue()),
        None => noise,
    })
}

/// Addresses taken from what one peer tells about itself.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Direct connections are arranged over streams of relayed ones. The transport that makes them cannot
/// open streams, the driver can: it is asked for them here.
pub(crate) struct Signals {
    wanted: mpsc::Receiver<Wanted>,
    incoming: mpsc::Sender<(PeerId, SignalStream)>,
}

/// What a peer may do so many times at once.
#[derive(Default)]
pub(crate) struct Places(Arc<()>);

/// One of those, until it is dropped.
pub(crate) struct Place(#[expect(dead_code, reason = "it is counted")] Arc<()>);

impl Places {
    /// `None` when so many are taken.
    pub(crate) fn take(&self, most: usize) -> Option<Place> {
        let taken = Arc::strong_count(&self.0) - 1;
        (taken < most).then(|| Place(Arc::clone(&self.0)))
    }
}

/// A stream over which a direct connection is arranged, and the place that this takes.
pub(crate) struct SignalStream {
    stream: Stream,
    _place: Option<Place>,
}

impl AsyncRead for SignalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SignalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// The transport dials this peer and needs a stream to it.
pub(crate) struct Wanted {
    pub(crate) peer: PeerId,
    /// Dropped when there is none.
    pub(crate) reply: oneshot::Sender<Stream>,
}

/// The transport's ends of [`Signals`].
pub(crate) struct SignalEnds {
    wanted: mpsc::Sender<Wanted>,
    incoming: mpsc::Receiver<(PeerId, SignalStream)>,
}

/// Over the streams that the driver opens and accepts.
impl Signaling for SignalEnds {
    type Stream = SignalStream;

    fn open(&mut self, peer: PeerId) -> SignalFuture<Option<SignalStream>> {
        let (reply, stream) = oneshot::channel();
        // Fails when too many are waiting or the node shuts down; then the dial fails for want of a stream.
        let _ = self.wanted.try_send(Wanted { peer, reply });
        let own = |stream| SignalStream {
            stream,
            _place: None,
        };
        Box::pin(stream.map(move |it| it.ok().map(own)))
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<(PeerId, SignalStream)> {
        match self.incoming.poll_next_unpin(cx) {
            Poll::Ready(Some(incoming)) => Poll::Ready(incoming),
            // The driver has ended, and this with it.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Signals {
    pub(crate) fn new() -> (Self, SignalEnds) {
        const WAITING: usize = 64;
        let (wanted_in, wanted) = mpsc::channel(WAITING);
        let (incoming, incoming_out) = mpsc::channel(WAITING);
        (
            Self { wanted, incoming },
            SignalEnds {
                wanted: wanted_in,
                incoming: incoming_out,
            },
        )
    }

    pub(crate) fn poll_wanted(&mut self, cx: &mut Context<'_>) -> Poll<Wanted> {
        match self.wanted.poll_next_unpin(cx) {
            Poll::Ready(Some(wanted)) => Poll::Ready(wanted),
            // The transport is gone, and this with it.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// A peer wants to arrange a direct connection. When too many do, it is refused.
    pub(crate) fn incoming(&mut self, peer: PeerId, stream: Stream, place: Place) {
        let stream = SignalStream {
            stream,
            _place: Some(place),
        };
        if self.incoming.try_send((peer, stream)).is_err() {
            tracing::debug!(%peer, "too many direct connections at once");
        }
    }
}

/// Whether a connection with this address goes through a relay. (The address of one that
/// was arranged names the relay.)
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    let has = |wanted: Protocol<'_>| address.iter().any(|part| part == wanted);
    has(Protocol::P2pCircuit) && !has(Protocol::WebRTC)
}

/// What to dial for an address. Where a peer is reached by WebRTC over a relay, it is met by way of the relay first; the
/// direct connection is arranged over that one.
pub(crate) fn to_dial(address: Multiaddr) -> Multiaddr {
    let arranged = |part: &Protocol<'_>| *part == Protocol::WebRTC;
    if !address.iter().any(|part| part == Protocol::P2pCircuit) {
        return address;
    }
    address.iter().filter(|part| !arranged(part)).collect()
}

/// The peer that an address leads to.
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// The peer that relays a connection with this address, if it is named.
pub(crate) fn relay_of(address: &Multiaddr) -> Option<PeerId> {
    let before = |part: &Protocol<'_>| *part != Protocol::P2pCircuit;
    is_relayed(address)
        .then(|| peer_of(&address.iter().take_while(before).collect()))
        .flatten()
}

/// The same address, ending in `/p2p/<peer>`.
pub(crate) fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    if peer_of(&address) == Some(peer) {
        address
    } else {
        address.with(Protocol::P2p(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_webrtc_reaches_over_a_relay_is_met_there_first() {
        let dialled = |text: &str| {
            let address = text.parse().expect("an address");
            to_dial(address).to_string()
        };
        let relay =
            "/ip4/1.2.3.4/tcp/1/ws/p2p/12D3KooWFkXsCUi6yLqiXc71KuCUPQdeFFRnmE1cp6poZB3V5cfW";
        let peer = "/p2p/12D3KooWNarYfqcnoC7y6XaXUuW4ZJmH8LW6uoytANxh4zgLGKNa";
        let met = format!("{relay}/p2p-circuit{peer}");
        assert_eq!(dialled(&format!("{relay}/p2p-circuit/webrtc{peer}")), met);
        for other in [met.as_str(), relay, "/ip4/1.2.3.4/udp/1/webrtc-direct"] {
            assert_eq!(dialled(other), other);
        }
    }
}

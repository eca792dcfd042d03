//! The ways to reach a peer, which is all that differs between the targets.

use std::task::{Context, Poll};

use futures::{
    StreamExt,
    channel::{mpsc, oneshot},
};
use libp2p::{
    Multiaddr, PeerId, Stream,
    core::{muxing::StreamMuxerBox, transport::Boxed},
    multiaddr::Protocol,
};

#[cfg(target_arch = "wasm32")]
#[path = "transport/browser.rs"]
mod target;
#[cfg(not(target_arch = "wasm32"))]
#[path = "transport/native.rs"]
mod target;

pub(crate) use target::*;

/// Any transport, encrypted and multiplexed.
pub(crate) type Transport = Boxed<(PeerId, StreamMuxerBox)>;

/// Addresses taken from what one peer tells about itself.
pub(crate) const MAX_ADDRESSES: usize = 16;

/// Direct connections between browsers are arranged over streams of relayed ones. The transport that makes them cannot
/// open streams, the driver can: it is asked for them here.
pub(crate) struct Signals {
    wanted: mpsc::Receiver<Wanted>,
    incoming: mpsc::Sender<(PeerId, Stream)>,
}

/// The transport dials this peer and needs a stream to it.
pub(crate) struct Wanted {
    pub(crate) peer: PeerId,
    /// Dropped when there is none.
    pub(crate) reply: oneshot::Sender<Stream>,
}

/// The transport's ends of [`Signals`].
#[cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "native nodes do not speak WebRTC")
)]
pub(crate) struct SignalEnds {
    pub(crate) wanted: mpsc::Sender<Wanted>,
    pub(crate) incoming: mpsc::Receiver<(PeerId, Stream)>,
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
            // On native nodes nobody asks.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// A peer wants to arrange a direct connection. When too many do, it is refused.
    pub(crate) fn incoming(&mut self, peer: PeerId, stream: Stream) {
        if self.incoming.try_send((peer, stream)).is_err() {
            tracing::debug!(%peer, "too many direct connections at once");
        }
    }
}

/// Whether a connection with this address goes through a relay. (The address of a direct connection between browsers
/// names the relay that arranged it.)
pub(crate) fn is_relayed(address: &Multiaddr) -> bool {
    let has = |wanted: Protocol<'_>| address.iter().any(|part| part == wanted);
    has(Protocol::P2pCircuit) && !has(Protocol::WebRTC)
}

/// The peer that an address leads to.
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// The same address, ending in `/p2p/<peer>`.
pub(crate) fn with_peer(address: Multiaddr, peer: PeerId) -> Multiaddr {
    if peer_of(&address) == Some(peer) {
        address
    } else {
        address.with(Protocol::P2p(peer))
    }
}

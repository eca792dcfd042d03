//! WebSocket to native nodes, the relay client behind it, and WebRTC to other browsers.

use std::task::{Context, Poll};

use futures::{FutureExt, StreamExt, channel::oneshot, future::LocalBoxFuture};
use libp2p::{
    Multiaddr, PeerId, Stream, Transport as _,
    core::{muxing::StreamMuxerBox, upgrade::Version},
    multiaddr::Protocol,
    noise, relay, swarm, websocket_websys, yamux,
};

use super::{SignalEnds, Signals, Transport, Wanted};
use crate::{Config, Error, IceServer};

/// Everything runs on the page's one thread.
pub(crate) type BoxFuture<T> = futures::future::LocalBoxFuture<'static, T>;

/// Browsers arrange direct connections with each other.
pub(crate) const SIGNALLING: bool = true;

/// Everything that can be connected with, and the relay client behind it.
pub(crate) fn build(
    config: &Config,
) -> Result<(Transport, relay::client::Behaviour, Signals), Error> {
    let noise = noise::Config::new(config.identity.keypair())
        .map_err(|error| Error::Encryption(error.to_string()))?;
    let (relay_transport, relay_client) = relay::client::new(config.identity.peer_id());
    let relayed = relay_transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux::Config::default())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let websocket = websocket_websys::Transport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let (signals, ends) = Signals::new();
    let servers = IceServers::new(config.ice_servers.clone());
    let direct = webrtc::Transport::new(ends, servers.clone())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    // WebRTC first: its addresses have `/p2p-circuit` in them, and the relay client takes all that have.
    let all = direct
        .or_transport(relayed)
        .map(|either, _| either.into_inner())
        .or_transport(websocket)
        .map(|either, _| either.into_inner());
    Ok((all.boxed(), relay_client, signals))
}

/// Connections work on the page's event loop.
pub(crate) fn swarm_config() -> swarm::Config {
    swarm::Config::with_wasm_executor()
}

/// What to listen on for direct connections with other browsers.
pub(crate) fn listen_direct() -> Option<Multiaddr> {
    webrtc::LISTEN.parse().ok()
}

/// Whether this kind of node can dial the address at all: WebSocket, or a relay that we are connected with by it.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    address.iter().any(|part| {
        matches!(
            part,
            Protocol::Ws(_) | Protocol::Wss(_) | Protocol::P2pCircuit
        )
    })
}

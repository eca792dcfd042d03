//! WebSocket and WebRTC to native nodes, the relay client behind them, and WebRTC to other browsers.

use libp2p::{
    Multiaddr, Transport as _,
    core::{muxing::StreamMuxerBox, transport::timeout::TransportTimeout, upgrade::Version},
    multiaddr::Protocol,
    relay, swarm, websocket_websys, yamux,
};

use super::{Built, IceServers, Signals, TIMEOUT, brief::Brief, encryption, opening::Opening};
use crate::{Config, Error};

/// Everything runs on the page's one thread.
pub(crate) type BoxFuture<T> = futures::future::LocalBoxFuture<'static, T>;

/// Everything that can be connected with, and the relay client behind it.
pub(crate) fn build(config: &Config) -> Result<Built, Error> {
    let noise = encryption(config)?;
    let (relay_transport, relay_client) = relay::client::new(config.identity.peer_id());
    let relayed = relay_transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux::Config::default())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(Brief::new(connection))));
    let websocket = websocket_websys::Transport::default()
        .map(|connection, _| Opening::new(connection))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(Brief::new(connection))));
    let (signals, ends) = Signals::new();
    let servers = IceServers::new(config.ice_servers.clone());
    let direct = webrtc::Transport::new(ends, servers.clone())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let secret = config.secret.as_ref().map(crate::Secret::prologue);
    let webrtc_direct = webrtc::browser::direct::Transport::new(
        config.identity.keypair().clone(),
        secret.unwrap_or_default(),
    )
    .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    // WebRTC first: its addresses have `/p2p-circuit` in them, and the relay client takes all that have.
    let all = direct
        .or_transport(relayed)
        .map(|either, _| either.into_inner())
        .or_transport(websocket)
        .map(|either, _| either.into_inner())
        .or_transport(webrtc_direct)
        .map(|either, _| either.into_inner());
    Ok(Built {
        transport: TransportTimeout::new(all, TIMEOUT).boxed(),
        relay_client,
        signals,
        servers,
    })
}

/// Connections work on the page's event loop.
pub(crate) fn swarm_config() -> swarm::Config {
    swarm::Config::with_wasm_executor()
}

/// Whether this kind of node can dial the address at all: WebSocket, WebRTC-direct, or a relay that we are connected
/// with by it.
pub(crate) fn is_dialable(address: &Multiaddr) -> bool {
    address.iter().any(|part| {
        matches!(
            part,
            Protocol::Ws(_) | Protocol::Wss(_) | Protocol::WebRTCDirect | Protocol::P2pCircuit
        )
    })
}

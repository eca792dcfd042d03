//! TCP, QUIC and WebSocket, with name resolution.

use std::time::Duration;

use libp2p::{
    Multiaddr, Transport as _,
    core::{muxing::StreamMuxerBox, transport::timeout::TransportTimeout, upgrade::Version},
    dns, noise, quic, relay, swarm, tcp, websocket, yamux,
};

use super::{Signals, Transport};
use crate::{Config, Error, Identity};

/// Boxed futures may move between the threads of the runtime.
pub(crate) type BoxFuture<T> = futures::future::BoxFuture<'static, T>;

/// Native nodes do not speak WebRTC.
pub(crate) const SIGNALLING: bool = false;

/// How long connecting may take, encryption included.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Everything that can be connected with, and the relay client behind it.
pub(crate) fn build(
    config: &Config,
) -> Result<(Transport, relay::client::Behaviour, Signals), Error> {
    // QUIC and secure WebSocket need one, and panic when features of other crates leave them the choice between two.
    // Fails if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let noise = encryption(&config.identity)?;
    let (relay_transport, relay_client) = relay::client::new(config.identity.peer_id());
    let relayed = relay_transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux::Config::default())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    let websocket =
        websocket::Config::new(dns::tokio::Transport::system(tcp()).map_err(Error::Resolver)?)
            .upgrade(Version::V1Lazy)
            .authenticate(noise.clone())
            .multiplex(yamux::Config::default())
            .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    let plain = tcp()
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let quic = quic::tokio::Transport::new(quic::Config::new(config.identity.keypair()))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let named = dns::tokio::Transport::system(
        quic.or_transport(plain)
            .map(|either, _| either.into_inner()),
    )
    .map_err(Error::Resolver)?;

    // The relay client first: it takes every address with `/p2p-circuit` in it. Then WebSocket, whose addresses plain
    // TCP would take for its own.
    let all = relayed
        .or_transport(websocket)
        .map(|either, _| either.into_inner())
        .or_transport(named)
        .map(|either, _| either.into_inner());
    let (signals, _) = Signals::new();
    Ok((
        TransportTimeout::new(all, TIMEOUT).boxed(),
        relay_client,
        signals,
    ))
}

/// Connections work on the runtime that runs the driver.
pub(crate) fn swarm_config() -> swarm::Config {
    swarm::Config::with_tokio_executor()
}

/// Direct connections with browsers are for browsers.
pub(crate) fn listen_direct() -> Option<Multiaddr> {
    None
}

/// Whether this kind of node can dial the address at all.
pub(crate) fn is_dialable(_: &Multiaddr) -> bool {
    true
}

fn encryption(identity: &Identity) -> Result<noise::Config, Error> {
    noise::Config::new(identity.keypair()).map_err(|error| Error::Encryption(error.to_string()))
}

fn tcp() -> tcp::tokio::Transport {
    tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
}

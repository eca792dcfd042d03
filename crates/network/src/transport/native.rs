//! TCP, QUIC, WebSocket and WebRTC, with name resolution.

use std::net::IpAddr;

use libp2p::{
    Multiaddr, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::{OptionalTransport, timeout::TransportTimeout},
        upgrade::Version,
    },
    dns,
    multiaddr::Protocol,
    relay, swarm, tcp, websocket,
};
use webrtc::native::{Certificate, direct};

use super::{Built, IceServers, Signals, TIMEOUT, encryption, quic, yamux};
use crate::{Config, Error};

/// Boxed futures may move between the threads of the runtime.
pub(crate) type BoxFuture<T> = futures::future::BoxFuture<'static, T>;

/// Everything that can be connected with, and the relay client behind it.
pub(crate) fn build(config: &Config) -> Result<Built, Error> {
    // QUIC and secure WebSocket need one, and panic when features of other crates leave them the choice between two.
    // Fails if there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();

    let noise = encryption(config)?;
    let (relay_transport, relay_client) = relay::client::new(config.identity.peer_id());
    let relayed = relay_transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise.clone())
        .multiplex(yamux::Upgrade)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    let websocket =
        websocket::Config::new(dns::tokio::Transport::system(tcp()).map_err(Error::Resolver)?)
            .upgrade(Version::V1Lazy)
            .authenticate(noise.clone())
            .multiplex(yamux::Upgrade)
            .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    let plain = tcp()
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Upgrade)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    // Its handshake cannot be tied to a secret.
    let quic = match config.secret {
        Some(_) => OptionalTransport::none(),
        None => OptionalTransport::some(quic::Transport::new(config.identity.keypair())?),
    }
    .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let named = dns::tokio::Transport::system(
        quic.or_transport(plain)
            .map(|either, _| either.into_inner()),
    )
    .map_err(Error::Resolver)?;

    let certificate = match &config.certificate {
        Some(certificate) => certificate.clone(),
        None => Certificate::generate()?,
    };
    let secret = config.secret.as_ref().map(crate::Secret::prologue);
    let webrtc_direct = direct::Transport::new(
        config.identity.keypair().clone(),
        certificate,
        secret.unwrap_or_default(),
    )
    .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let (signals, ends) = Signals::new();
    let servers = IceServers::new(config.ice_servers.clone());
    let arranged = webrtc::Transport::new(ends, servers.clone())
        .at(config.webrtc_ip.or_else(|| place(&config.listen)))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    // WebRTC before the relay client: its addresses have `/p2p-circuit` in them, and the relay client takes all that
    // have. That one before the others: Then WebSocket, whose addresses plain TCP would take for its own.
    let all = arranged
        .or_transport(relayed)
        .map(|either, _| either.into_inner())
        .or_transport(webrtc_direct)
        .map(|either, _| either.into_inner())
        .or_transport(websocket)
        .map(|either, _| either.into_inner())
        .or_transport(named)
        .map(|either, _| either.into_inner());
    Ok(Built {
        transport: TransportTimeout::new(all, TIMEOUT).boxed(),
        relay_client,
        signals,
        servers,
    })
}

/// From which of its addresses a node connects that listens there: one that only its own machine can reach keeps to
/// that.
fn place(listen: &[Multiaddr]) -> Option<IpAddr> {
    let ips = listen
        .iter()
        .filter_map(|address| match address.iter().next() {
            Some(Protocol::Ip4(ip)) => Some(IpAddr::from(ip)),
            Some(Protocol::Ip6(ip)) => Some(ip.into()),
            _ => None,
        });
    let mut loopback = ips.clone().filter(|ip| ip.is_loopback() && ip.is_ipv4());
    loopback
        .next()
        .filter(|_| ips.clone().all(|ip| ip.is_loopback()))
}

/// Connections work on the runtime that runs the driver.
pub(crate) fn swarm_config() -> swarm::Config {
    swarm::Config::with_tokio_executor()
}

/// Whether this kind of node can dial the address at all.
pub(crate) fn is_dialable(_: &Multiaddr) -> bool {
    true
}

fn tcp() -> tcp::tokio::Transport {
    tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
}

//! libp2p without anything of ours above it.

use std::time::Duration;

use anyhow::Result;
use libp2p::{Swarm, SwarmBuilder, noise, tcp, yamux};

/// Longer than any test or experiment leaves a connection without a stream.
const IDLE: Duration = Duration::from_secs(600);

/// Somebody with a new identity who speaks TCP and QUIC, encrypts and multiplexes as nodes do, and opens and accepts plain
/// streams.
///
/// # Errors
/// If the encryption cannot be set up.
pub(crate) fn swarm() -> Result<Swarm<libp2p_stream::Behaviour>> {
    Ok(SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )?
        .with_quic()
        .with_behaviour(|_| libp2p_stream::Behaviour::new())?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build())
}

//! The libp2p protocols of a node, put together.

use std::{num::NonZeroUsize, time::Duration};

use libp2p::{
    StreamProtocol, allow_block_list, identify, kad, ping, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};

use crate::{
    Config, Error,
    gate::Gate,
    gossip,
    providers::{Limits, Providers},
    reachability::{self, Probed, Probing, Punching},
    streams, turn,
};

/// The project's own DHT, apart from the public ones.
pub(crate) const KAD: StreamProtocol = StreamProtocol::new("/iap2p/kad/1.0.0");

/// Nodes come and go: an announcement is forgotten after two missed repetitions (`driver::discovery`).
const PROVIDER_TTL: Duration = Duration::from_secs(15 * 60);

/// With how many nodes an announcement is left. Half of them may be gone before it is repeated.
const REPLICATION: NonZeroUsize = NonZeroUsize::new(10).expect("10 is not zero");

/// Nodes of similar distance that a node remembers.
pub(crate) const BUCKET: NonZeroUsize = NonZeroUsize::new(20).expect("20 is not zero");

/// How long an answer with all announcers of a key gets.
const MAX_KAD_PACKET: usize = 512 << 10;

#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    pub(crate) gate: Gate,
    pub(crate) blocked: allow_block_list::Behaviour<allow_block_list::BlockedPeers>,
    pub(crate) relay_server: Toggle<relay::Behaviour>,
    pub(crate) relay_client: relay::client::Behaviour,
    pub(crate) identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) kad: kad::Behaviour<Providers>,
    pub(crate) gossip: gossip::Behaviour,
    pub(crate) streams: streams::Behaviour,
    pub(crate) turn: turn::Behaviour,
    pub(crate) punching: Punching,
    pub(crate) probing: Probing,
    pub(crate) probed: Probed,
}

impl Behaviour {
    pub(crate) fn new(
        config: &Config,
        relay_client: relay::client::Behaviour,
        signalling: bool,
        gate: Gate,
    ) -> Result<Self, Error> {
        let local = config.identity.peer_id();
        let identify =
            identify::Config::new("/iap2p/1".to_owned(), config.identity.keypair().public())
                .with_agent_version(config.hello.agent.clone())
                .with_push_listen_addr_updates(true);
        let reachability::Parts {
            punching,
            probing,
            probed,
        } = reachability::parts(config);
        let relay_server = config.relay_server.as_ref();
        let relay_server =
            relay_server.map(|limits| relay::Behaviour::new(local, limits.config(gate.origins())));
        Ok(Self {
            gossip: gossip::behaviour(config.identity.keypair().clone())?,
            gate,
            blocked: allow_block_list::Behaviour::default(),
            relay_server: relay_server.into(),
            relay_client,
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(
                ping::Config::new()
                    .with_interval(Duration::from_secs(15))
                    .with_timeout(Duration::from_secs(10)),
            ),
            kad: kad(config),
            streams: streams::Behaviour::new(signalling),
            turn: turn::behaviour(config.turn.is_some()),
            punching,
            probing,
            probed,
        })
    }
}

fn kad(config: &Config) -> kad::Behaviour<Providers> {
    let local = config.identity.peer_id();
    let mut settings = kad::Config::new(KAD);
    settings
        .set_query_timeout(Duration::from_secs(20))
        .set_provider_record_ttl(Some(PROVIDER_TTL))
        // Both are done by `driver::discovery`, which does not do everything at once.
        .set_provider_publication_interval(None)
        .set_periodic_bootstrap_interval(None)
        .set_replication_factor(REPLICATION)
        .set_max_packet_size(MAX_KAD_PACKET)
        .set_kbucket_size(BUCKET)
        // See `driver::routing`.
        .set_kbucket_inserts(kad::BucketInserts::Manual);
    let mut kad =
        kad::Behaviour::with_config(local, Providers::new(local, Limits::default()), settings);
    kad.set_mode(Some(if config.kad_server {
        kad::Mode::Server
    } else {
        kad::Mode::Client
    }));
    kad
}

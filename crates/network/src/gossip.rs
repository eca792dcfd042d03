//! Heartbeats, spread among all who watch the same shard of the same model: by gossipsub, which signs them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use libp2p::{
    PeerId,
    gossipsub::{
        self, AllowAllSubscriptionFilter, ConfigBuilder, IdentTopic, IdentityTransform, Message,
        MessageAcceptance, MessageAuthenticity, ValidationMode,
    },
    identity::Keypair,
};
use protocol::{Heartbeat, MAX_HEARTBEAT};
use web_time::{Duration, Instant};

use crate::{Error, Key, quiet::Quiet};

/// The project's own, apart from public ones.
const PROTOCOL: &str = "/iap2p/gossip";

/// What is around a heartbeat: a topic, a signature, a key.
const AROUND: usize = 1 << 10;

/// Peers to each of which everything goes, and at least and at most so many: a phone sends a heartbeat to few.
const MESH: usize = 4;
const MESH_LOW: usize = 3;
const MESH_HIGH: usize = 8;

/// Topics of one peer that are noted. A node watches some shards besides those it holds something of.
const MAX_TOPICS: usize = 512;

/// Nobody says anything new of a shard oftener than that: the rest is not spread.
const SHORTEST: Duration = Duration::from_millis(500);

/// How many are remembered that have said something lately.
const MAX_RECENT: usize = 16_384;

type Filter = gossipsub::MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>;
/// Those to whom heartbeats are handed on are kept connected for that, and nobody else is.
pub(crate) type Behaviour = Quiet<gossipsub::Behaviour<IdentityTransform, Filter>>;

pub(crate) fn behaviour(keypair: Keypair) -> Result<Behaviour, Error> {
    let config = ConfigBuilder::default()
        .protocol_id_prefix(PROTOCOL)
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .max_transmit_size(MAX_HEARTBEAT + AROUND)
        .mesh_n(MESH)
        .mesh_n_low(MESH_LOW)
        .mesh_n_high(MESH_HIGH)
        .mesh_outbound_min(1)
        .flood_publish(false)
        .build()
        .map_err(|error| Error::Gossip(error.to_string()))?;
    let filter = gossipsub::MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: MAX_TOPICS,
        max_subscriptions_per_request: MAX_TOPICS,
    };
    let signed = MessageAuthenticity::Signed(keypair);
    gossipsub::Behaviour::new_with_subscription_filter(signed, config, filter)
        .map(Quiet)
        .map_err(|error| Error::Gossip(error.to_owned()))
}

fn topic(model: &Key, shard: u32) -> IdentTopic {
    IdentTopic::new(format!("/iap2p/members/1/{}/{shard}", hex::encode(model)))
}

/// What this node watches, and who has said something lately.
#[derive(Default)]
pub(crate) struct Gossip {
    watched: BTreeMap<(Key, u32), IdentTopic>,
    recent: HashMap<(PeerId, u32), Instant>,
}

impl Gossip {
    /// Watches these shards of a model from now on, and nothing else.
    pub(crate) fn watch(&mut self, behaviour: &mut Behaviour, model: Key, shards: &BTreeSet<u32>) {
        let wanted: BTreeSet<_> = shards.iter().map(|shard| (model, *shard)).collect();
        self.watched.retain(|shard, topic| {
            let stays = wanted.contains(shard);
            if !stays {
                behaviour.0.unsubscribe(topic);
            }
            stays
        });
        for (model, shard) in wanted {
            self.watched.entry((model, shard)).or_insert_with(|| {
                let topic = topic(&model, shard);
                if let Err(error) = behaviour.0.subscribe(&topic) {
                    tracing::warn!(%error, "cannot watch a shard");
                }
                topic
            });
        }
    }

    pub(crate) fn publish(behaviour: &mut Behaviour, heartbeat: &Heartbeat) {
        let topic = topic(&heartbeat.model, heartbeat.shard);
        // Nobody there yet, usually; the next comes soon.
        if let Err(error) = behaviour.0.publish(topic, heartbeat.encode()) {
            tracing::trace!(%error, "nobody has heard this heartbeat");
        }
    }

    /// Whether what came is to be spread, and what it says then.
    pub(crate) fn read(
        &mut self,
        message: &Message,
    ) -> (MessageAcceptance, Option<(PeerId, Heartbeat)>) {
        let Some(source) = message.source else {
            return (MessageAcceptance::Reject, None);
        };
        let heartbeat = match Heartbeat::decode(&message.data) {
            Ok(it) if topic(&it.model, it.shard).hash() == message.topic => it,
            Ok(_) => return (MessageAcceptance::Reject, None),
            Err(error) => {
                tracing::debug!(%source, %error, "no heartbeat");
                return (MessageAcceptance::Reject, None);
            }
        };
        let now = Instant::now();
        if self.recent.len() >= MAX_RECENT {
            self.recent.retain(|_, at| now - *at < SHORTEST);
        }
        let key = (source, heartbeat.shard);
        let often = self.recent.get(&key).is_some_and(|at| now - *at < SHORTEST);
        if often || self.recent.len() >= MAX_RECENT {
            return (MessageAcceptance::Ignore, None);
        }
        self.recent.insert(key, now);
        (MessageAcceptance::Accept, Some((source, heartbeat)))
    }
}

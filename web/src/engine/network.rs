//! The network on the page: carries messages between the engine and libp2p, and decides nothing.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use futures_util::StreamExt;
use leptos::logging;
use network::{Config, Event, Events, Handle, Identity, Multiaddr, Path, PeerId, Transport};
use protocol::{Heartbeat, Message};
use serde_bytes::ByteBuf;
use tokio::sync::Semaphore;
use wasm_bindgen_futures::spawn_local;
use web_bridge::{
    flow,
    messages::{Channel, FromNetwork, ToEngine, ToNetwork},
    port::Port,
    status::{Connection, Peer},
    transfer::{pack, unpack},
};

use super::{outbox::Outbox, peers};
use crate::{invite::Swarm, platform::net};

/// The running network; copies are the same one.
#[derive(Clone)]
pub(super) struct Network {
    handle: Handle,
    outbox: Outbox,
    bootstrap: Rc<[Multiaddr]>,
    events: Rc<RefCell<Option<Events>>>,
    /// How much more may be posted to the engine.
    room: Rc<Semaphore>,
}

impl Network {
    /// Starts to connect.
    pub(super) fn start(identity: Identity, swarm: &Swarm) -> Result<Self, String> {
        let bootstrap = swarm.bootstrap.iter().filter_map(|text| address(text));
        let bootstrap: Vec<Multiaddr> = bootstrap.collect();
        let mut config = Config::new(identity);
        if let Some(secret) = &swarm.secret {
            // Without it nobody would let us in, or worse, strangers would.
            config.secret = Some(secret.parse().map_err(|error| format!("{error}"))?);
        }
        config.remembered = peers::remembered();
        config.bootstrap = bootstrap.clone();
        // For tests and for networks where WebRTC only gets in the way.
        config.direct = net::query("direct").as_deref() != Some("0");
        let (handle, events, driver) = network::start(config).map_err(|error| error.to_string())?;
        spawn_local(driver);
        Ok(Self {
            outbox: Outbox::new(handle.clone()),
            handle,
            bootstrap: bootstrap.into(),
            events: Rc::new(RefCell::new(Some(events))),
            room: Rc::new(Semaphore::new(flow::ROOM as usize)),
        })
    }

    /// Tells the engine what happens from now on. `unreachable` hears why an entry point cannot be reached, and
    /// `None` when somebody can.
    pub(super) fn relay(&self, engine: Port, unreachable: impl Fn(Option<String>) + 'static) {
        let Some(mut events) = self.events.borrow_mut().take() else {
            return;
        };
        let (handle, room) = (self.handle.clone(), self.room.clone());
        spawn_local(async move {
            while let Some(event) = events.next().await {
                match event {
                    Event::BootstrapUnreachable {
                        address, reason, ..
                    } => {
                        logging::warn!("{address}: {reason}");
                        unreachable(Some(format!("{address}: {reason}")));
                    }
                    Event::ListenFailed { address, reason } => {
                        logging::warn!("cannot be reached at {address}: {reason}");
                    }
                    event => {
                        if matches!(event, Event::Connected { .. }) {
                            unreachable(None);
                            // A page may end without a last word.
                            peers::remember(&handle.known());
                        }
                        if let Some((event, body)) = translate(event) {
                            post(&engine, &room, event, &body).await;
                        }
                    }
                }
            }
        });
    }

    /// Does what the engine wants.
    pub(super) fn perform(&self, wish: ToNetwork, body: &[u8]) {
        match wish {
            ToNetwork::Taken { weight } => self.room.add_permits(weight as usize),
            ToNetwork::Send { peer, channel } => {
                if let (Some(peer), Some(message)) = (peer_id(&peer), unpack(channel, body)) {
                    self.outbox.send(peer, message);
                }
            }
            ToNetwork::Introduce => {
                if let Some(Message::Hello(hello)) = unpack(Channel::Compute, body) {
                    self.handle.set_hello(hello);
                }
            }
            ToNetwork::Disconnect { peer } => {
                if let Some(peer) = peer_id(&peer) {
                    self.handle.disconnect(peer);
                }
            }
            ToNetwork::Ban { peer, reason } => {
                if let Some(peer) = peer_id(&peer) {
                    logging::warn!("no more words with {peer}: {reason}");
                    self.handle.ban(peer);
                }
            }
            ToNetwork::Find { key } => {
                if let Ok(key) = <[u8; 32]>::try_from(&key[..]) {
                    self.handle.find_providers(key);
                }
            }
            ToNetwork::Watch { model, shards } => {
                if let Ok(model) = <[u8; 32]>::try_from(&model[..]) {
                    self.handle.watch(model, shards);
                }
            }
            ToNetwork::Publish => {
                if let Ok(heartbeat) = Heartbeat::decode(body) {
                    self.handle.publish(heartbeat);
                }
            }
            ToNetwork::Announce { key } => {
                if let Ok(key) = <[u8; 32]>::try_from(&key[..]) {
                    self.handle.provide(key);
                }
            }
        }
    }

    /// Says how peers are connected.
    pub(super) fn describe(&self, peers: &mut [Peer]) {
        let connections = self.handle.connections();
        let mut connections: HashMap<String, network::Connection> = connections
            .into_iter()
            .filter(|it| it.usage == network::Usage::Messages)
            .map(|it| (it.peer.to_string(), it))
            .collect();
        for peer in peers {
            let connection = connections.remove(&peer.id);
            peer.connection = connection.map(|it| Connection {
                transport: written(it.path.transport()).to_owned(),
                sent: it.sent,
                received: it.received,
            });
        }
    }

    /// Tries the entry points at once, instead of when their turn comes.
    pub(super) fn retry(&self) {
        for address in self.bootstrap.iter() {
            self.handle.dial(address.clone());
        }
    }

    /// Says goodbye: peers would only notice after a while.
    pub(super) fn leave(&self) {
        peers::remember(&self.handle.known());
        self.handle.shutdown();
    }
}

/// Tells the engine, once there is room: one that gets on gives it back.
async fn post(engine: &Port, room: &Semaphore, event: FromNetwork, body: &[u8]) {
    let weight = flow::weight(body);
    let Ok(taken) = room.acquire_many(weight).await else {
        // Nobody closes it.
        return;
    };
    match engine.send_with(&ToEngine::Network(event), body) {
        Ok(()) => taken.forget(),
        Err(error) => logging::error!("{error}"),
    }
}

/// As people write it; the same in every language.
fn written(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "TCP",
        Transport::Quic => "QUIC",
        Transport::WebSocket | Transport::SecureWebSocket => "WebSocket",
        Transport::WebRtc | Transport::WebRtcDirect => "WebRTC",
        other => other.name(),
    }
}

fn address(text: &str) -> Option<Multiaddr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(error) => {
            logging::warn!("{text} is no address: {error}");
            None
        }
    }
}

fn peer_id(bytes: &[u8]) -> Option<PeerId> {
    // The engine only names peers it was told of.
    PeerId::from_bytes(bytes).ok()
}

/// What the engine has to know, and the bytes beside it.
fn translate(event: Event) -> Option<(FromNetwork, Vec<u8>)> {
    let name = |peer: PeerId| ByteBuf::from(peer.to_bytes());
    let connected = |peer: PeerId, path: Path| FromNetwork::Connected {
        peer: name(peer),
        name: peer.to_string(),
        relayed: path.relayed,
    };
    let event = match event {
        Event::Connected { peer, path } | Event::PathChanged { peer, path } => {
            connected(peer, path)
        }
        Event::Disconnected { peer } => FromNetwork::Disconnected { peer: name(peer) },
        Event::Message { peer, message } => {
            let (channel, body) = pack(&message)?;
            let peer = name(peer);
            return Some((FromNetwork::Message { peer, channel }, body));
        }
        Event::Heartbeat { peer, heartbeat } => {
            let peer = name(peer);
            return Some((FromNetwork::Heartbeat { peer }, heartbeat.encode()));
        }
        Event::Observed { ip, dialled } => FromNetwork::Observed { ip, dialled },
        Event::RoundTrip { peer, time } => FromNetwork::RoundTrip {
            peer: name(peer),
            milliseconds: time.as_secs_f64() * 1e3,
        },
        Event::Violation { peer, reason } => {
            logging::warn!("{peer} broke the rules: {reason}");
            FromNetwork::Violation {
                peer: name(peer),
                reason,
            }
        }
        _ => return None,
    };
    Some((event, Vec::new()))
}

//! Who tells WebRTC by which address it is seen: a native node that listens for WebRTC-direct answers STUN, too, at the
//! same port, and may have a TURN server. Those that let us in are asked; nobody has to be configured.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, request_response, swarm::ConnectionId};
use webrtc::{IceServer, IceServers};

use super::{Done, Driver};
use crate::turn;

/// How many are asked. One suffices; a second one may still be there when it has gone.
const MAX_HELPERS: usize = 3;

/// The servers of the configuration, and those that were met.
pub(super) struct Helpers {
    servers: IceServers,
    configured: Vec<IceServer>,
    /// The latest first.
    met: VecDeque<String>,
    /// The nodes that have a TURN server.
    offered: HashMap<PeerId, Offered>,
    /// How often it was planned to ask one of them again.
    plans: u64,
    /// The TURN servers that nodes let us use.
    granted: HashMap<PeerId, IceServer>,
}

/// What a node has said of its TURN server.
struct Offered {
    /// On this connection. One that was started anew does not know what it has granted before.
    connection: ConnectionId,
    /// The last plan to ask again; others do not count any more.
    plan: u64,
}

impl Helpers {
    pub(super) fn new(servers: IceServers) -> Self {
        Self {
            configured: servers.get().to_vec(),
            servers,
            met: VecDeque::new(),
            offered: HashMap::new(),
            plans: 0,
            granted: HashMap::new(),
        }
    }

    /// A node that lets us in was reached at `reached`, and listens at these addresses.
    pub(super) fn met(&mut self, reached: &Multiaddr, listens: &[Multiaddr]) {
        let Some(url) = stun_url(reached, listens) else {
            return;
        };
        self.met.retain(|other| *other != url);
        self.met.push_front(url);
        self.met.truncate(MAX_HELPERS);
        self.tell();
    }

    /// A node has a TURN server. Says whether that is news: it is not as long as the connection stands on which it was
    /// said before.
    fn offered(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        stands: impl Fn(ConnectionId) -> bool,
    ) -> bool {
        match self.offered.entry(peer) {
            Entry::Occupied(known) if stands(known.get().connection) => false,
            Entry::Occupied(mut known) => {
                known.get_mut().connection = connection;
                true
            }
            Entry::Vacant(new) => {
                new.insert(Offered {
                    connection,
                    plan: 0,
                });
                true
            }
        }
    }

    /// It will be asked again, and at no other time that was planned before.
    fn plan(&mut self, peer: PeerId) -> Option<u64> {
        let offered = self.offered.get_mut(&peer)?;
        self.plans += 1;
        offered.plan = self.plans;
        Some(self.plans)
    }

    fn is_last_plan(&self, peer: PeerId, plan: u64) -> bool {
        self.offered.get(&peer).is_some_and(|it| it.plan == plan)
    }

    /// A node lets us use its TURN server.
    fn granted(&mut self, peer: PeerId, server: IceServer) {
        // Each costs every new connection a few requests.
        if self.granted.len() < MAX_HELPERS || self.granted.contains_key(&peer) {
            self.granted.insert(peer, server);
            self.tell();
        }
    }

    /// It does not do so any more.
    fn expired(&mut self, peer: PeerId) {
        self.offered.remove(&peer);
        if self.granted.remove(&peer).is_some() {
            self.tell();
        }
    }

    /// Connections are made with these from now on.
    fn tell(&self) {
        let met = self.met.iter().map(|url| IceServer {
            urls: vec![url.clone()],
            ..IceServer::default()
        });
        let all = self.configured.iter().cloned().chain(met);
        self.servers
            .set(all.chain(self.granted.values().cloned()).collect());
    }
}

/// The wait after a node that has a TURN server did not say how to use it.
const PAUSE: Duration = Duration::from_secs(60);

impl Driver {
    /// A node that lets us in has a TURN server.
    pub(super) fn turn_offered(&mut self, peer: PeerId, connection: ConnectionId) {
        let connections = self.peers.get(&peer).map_or(&[][..], |it| &it.connections);
        let stands = |id| connections.iter().any(|it| it.id == id);
        if self.helpers.offered(peer, connection, stands) && self.settings.direct {
            self.ask_for_turn(peer);
        }
    }

    /// The time of a plan has come.
    pub(super) fn ask_again(&mut self, peer: PeerId, plan: u64) {
        if self.helpers.is_last_plan(peer, plan) {
            self.ask_for_turn(peer);
        }
    }

    /// Asks for credentials: at the beginning, before the last ones expire, and when there was no answer.
    fn ask_for_turn(&mut self, peer: PeerId) {
        if self.bootstrap.iter().any(|it| it.is_connected(peer)) {
            let turn = &mut self.swarm.behaviour_mut().turn;
            turn.send_request(&peer, turn::Ask {});
        } else {
            self.helpers.expired(peer);
        }
    }

    pub(super) fn turn_event(&mut self, event: turn::Event) {
        match event {
            request_response::Event::Message {
                peer,
                message: request_response::Message::Response { response, .. },
                ..
            } => {
                let read = response.read();
                let mut pause = PAUSE;
                if let Some((server, holds)) = read {
                    tracing::debug!(%peer, urls = ?server.urls, "TURN");
                    self.helpers.granted(peer, server);
                    pause = holds * 3 / 4;
                }
                self.ask_later(peer, pause);
            }
            request_response::Event::Message {
                message: request_response::Message::Request { channel, .. },
                ..
            } => {
                if let Some(granter) = &self.settings.turn {
                    let grant = granter.grant();
                    // Who has asked may be gone.
                    let _ = self
                        .swarm
                        .behaviour_mut()
                        .turn
                        .send_response(channel, grant);
                }
            }
            request_response::Event::OutboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "TURN");
                self.ask_later(peer, PAUSE);
            }
            other => tracing::trace!(?other),
        }
    }

    fn ask_later(&mut self, peer: PeerId, pause: Duration) {
        if let Some(plan) = self.helpers.plan(peer) {
            self.after(pause, Done::Turn { peer, plan });
        }
    }
}

/// The host by which a node was reached, with the port at which it listens for WebRTC-direct.
fn stun_url(reached: &Multiaddr, listens: &[Multiaddr]) -> Option<String> {
    let host = match reached.iter().next()? {
        Protocol::Ip4(ip) => ip.to_string(),
        Protocol::Ip6(ip) => format!("[{ip}]"),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) => name.into_owned(),
        _ => return None,
    };
    let port = listens.iter().find_map(|address| {
        let mut parts = address.iter().skip(1);
        match (parts.next()?, parts.next()?) {
            (Protocol::Udp(port), Protocol::WebRTCDirect) => Some(port),
            _ => None,
        }
    })?;
    Some(format!("stun:{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Multiaddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_node_is_asked_where_it_was_reached() {
        let listens = addresses(&[
            "/ip4/10.0.0.5/tcp/1/ws",
            "/ip4/10.0.0.5/udp/7/webrtc-direct",
        ]);
        for (reached, url) in [
            ("/ip4/192.0.2.1/tcp/4001", Some("stun:192.0.2.1:7")),
            ("/ip6/2001:db8::1/tcp/4001", Some("stun:[2001:db8::1]:7")),
            ("/dns4/a.example/tcp/443/wss", Some("stun:a.example:7")),
            ("/memory/1", None),
        ] {
            let found = stun_url(&reached.parse().unwrap(), &listens);
            assert_eq!(found.as_deref(), url);
        }
        assert_eq!(stun_url(&listens[0], &listens[..1]), None);
    }

    #[test]
    fn who_says_twice_that_it_has_a_server_is_asked_once_at_a_time() {
        let mut helpers = Helpers::new(IceServers::new(Vec::new()));
        let peer = PeerId::random();
        let [one, other] = [1, 2].map(ConnectionId::new_unchecked);
        // Over two connections in turn, as long as both stand.
        assert!(helpers.offered(peer, one, |_| false));
        for connection in [other, one, other] {
            assert!(!helpers.offered(peer, connection, |_| true));
        }
        assert!(
            helpers.offered(peer, other, |it| it != one),
            "it may be a new one"
        );
        // Each answer plans another question, and there is one plan.
        let plans: Vec<_> = (0..5).filter_map(|_| helpers.plan(peer)).collect();
        let last = plans.iter().filter(|it| helpers.is_last_plan(peer, **it));
        assert_eq!((plans.len(), last.count()), (5, 1));
        helpers.expired(peer);
        assert_eq!(helpers.plan(peer), None);
    }

    #[test]
    fn the_latest_are_asked_and_those_of_the_configuration_always() {
        let configured = IceServer {
            urls: vec!["turn:b.example".to_owned()],
            ..IceServer::default()
        };
        let servers = IceServers::new(vec![configured.clone()]);
        let mut helpers = Helpers::new(servers.clone());
        let listens = addresses(&["/ip4/10.0.0.5/udp/7/webrtc-direct"]);
        for last in 1..=9 {
            let reached = format!("/ip4/192.0.2.{last}/tcp/1").parse().unwrap();
            helpers.met(&reached, &listens);
        }
        let now = servers.get();
        assert_eq!(now.len(), 1 + MAX_HELPERS);
        assert_eq!(now[0], configured);
        assert_eq!(now[1].urls, ["stun:192.0.2.9:7"]);
    }
}

//! A way through a TURN server, for those whose routers let nothing else through.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use str0m::net::Transmit;
use turn_client_proto::{
    api::{TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet},
    stun::agent,
    types::{TransportType, TurnCredentials, transmit::DelayedTransmitBuild},
    udp::TurnClientUdp,
};

use super::{session::Way, socket::Socket};
use crate::IceServer;

const UDP: TransportType = TransportType::Udp;

/// How many are sent to through it: a peer has as many addresses at the server as it was asked for.
const MAX_PEERS: usize = 8;

/// For so long the place is kept when another way was found: the peer may not know of that yet.
const SPARE: Duration = Duration::from_secs(2);

/// More than the client lets pass between two requests.
const PAUSE: Duration = Duration::from_secs(1);

/// When there is nothing to do.
const LONG: Duration = Duration::from_secs(60);

/// A place at a TURN server, given back when dropped. Otherwise it sends nothing itself.
pub(super) struct Relay {
    client: TurnClientUdp,
    socket: Arc<Socket>,
    server: SocketAddr,
    started: Instant,
    address: Option<SocketAddr>,
    failed: bool,
    /// Who is sent to through a channel, or soon will be.
    peers: HashSet<SocketAddr>,
    spare_since: Option<Instant>,
}

impl Relay {
    /// Will ask for a place, if this is a TURN server, by this socket.
    pub(super) fn new(socket: &Arc<Socket>, server: SocketAddr, known: &IceServer) -> Option<Self> {
        let (name, secret) = (known.username.as_ref()?, known.credential.as_ref()?);
        let config = TurnConfig::new(TurnCredentials::new(name, secret));
        Some(Self {
            client: TurnClientUdp::allocate(socket.local(), server, config),
            socket: Arc::clone(socket),
            server,
            started: Instant::now(),
            address: None,
            failed: false,
            peers: HashSet::new(),
            spare_since: None,
        })
    }

    pub(super) fn server(&self) -> SocketAddr {
        self.server
    }

    /// By which others reach us, once there is such an address.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Whether there may still be one.
    pub(super) fn is_pending(&self) -> bool {
        self.address.is_none() && !self.failed
    }

    /// What is to be said to the server now, and when there will be more.
    pub(super) fn poll(&mut self, datagrams: &mut Vec<Vec<u8>>) -> Instant {
        let now = self.now();
        let next = match self.client.poll(now) {
            TurnPollRet::WaitUntil(at) => Instant::now() + at.saturating_duration_since(now),
            _ => {
                self.failed = true;
                Instant::now() + LONG
            }
        };
        while let Some(said) = self.client.poll_transmit(now) {
            datagrams.push(said.data.as_ref().to_vec());
        }
        while let Some(event) = self.client.poll_event() {
            match event {
                TurnEvent::AllocationCreated(_, address) => self.address = Some(address),
                TurnEvent::AllocationCreateFailed(_) => self.failed = true,
                TurnEvent::ChannelCreateFailed(_, peer) => _ = self.peers.remove(&peer),
                _ => {}
            }
        }
        next
    }

    /// What the server says; what comes of it is what a peer says, and which one.
    pub(super) fn received(&mut self, data: &[u8]) -> Option<(SocketAddr, Vec<u8>)> {
        let transmit = agent::Transmit {
            data,
            transport: UDP,
            from: self.server,
            to: self.client.local_addr(),
        };
        match self.client.recv(transmit, self.now()) {
            TurnRecvRet::PeerData(said) => Some((said.peer, said.data().to_vec())),
            _ => None,
        }
    }

    /// Takes the packets that go through it, and adds what the server is to be sent instead.
    pub(super) fn carry(&mut self, packets: &mut Vec<Transmit>, datagrams: &mut Vec<Vec<u8>>) {
        let Some(address) = self.address else {
            return;
        };
        packets.retain(|packet| {
            let through = packet.source == address;
            if through {
                datagrams.extend(self.wrap(packet.destination, &packet.contents));
            }
            !through
        });
    }

    /// Whether it has not been needed for a while, since what is said goes another way.
    pub(super) fn is_spare(&mut self, way: Option<Way>, now: Instant) -> bool {
        match way {
            Some(way) if self.address != Some(way.source) => {
                now >= *self.spare_since.get_or_insert(now) + SPARE
            }
            _ => {
                self.spare_since = None;
                false
            }
        }
    }

    /// What the server is sent for a peer to get this. Nothing at first, when the server has yet to learn of the peer:
    /// whoever looks for a way tries again.
    fn wrap(&mut self, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        // The swarm's servers hand on between their clients only.
        if self.address?.ip() != peer.ip() {
            return None;
        }
        let now = self.now();
        if self.peers.len() < MAX_PEERS && self.peers.insert(peer) {
            // If it cannot be asked for it now, it is not worth more than the packet that is lost.
            let _ = self.client.bind_channel(UDP, peer, now);
        }
        let sent = self.client.send_to(UDP, peer, data, now).ok()??;
        Some(sent.data.build())
    }

    fn now(&self) -> turn_client_proto::types::Instant {
        let nanos = self.started.elapsed().as_nanos();
        // For the next three hundred years.
        turn_client_proto::types::Instant::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let now = self.now();
        // An error says that there is nothing to give back.
        if self.client.delete(now).is_err() {
            return;
        }
        // This is the last, and does not wait for the end of the pause after what was said before.
        let later = now + PAUSE;
        while let Some(said) = self.client.poll_transmit(later) {
            self.socket.send_now(self.server, said.data.as_ref());
        }
    }
}

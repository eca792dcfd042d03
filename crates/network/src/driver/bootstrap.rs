//! The way into the network: bootstrap nodes are dialled until they answer, and again when they are lost.

use std::time::Duration;

use libp2p::{
    Multiaddr, PeerId,
    core::transport::ListenerId,
    identify,
    multiaddr::Protocol,
    relay,
    swarm::{
        ConnectionId, DialError,
        dial_opts::{DialOpts, PeerCondition},
    },
};

use super::{Done, Driver, describe};
use crate::{Event, Reserve, transport};

/// The wait before a bootstrap node is dialled again, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// How many peers may wait for a bootstrap node that is being dialled.
const MAX_THEN: usize = 64;

pub(super) struct Bootstrap {
    address: Multiaddr,
    /// Not named by the configuration, but met another time: needed only when those are gone.
    remembered: bool,
    state: State,
    /// Counts the times at which it was planned to dial it: the last one holds, or they would become ever more.
    plan: u64,
    /// Failures in a row.
    failures: u32,
    /// It relays for others.
    relays: bool,
    reservation: Reservation,
    /// Failures to have it relay for us, in a row.
    refusals: u32,
    /// Whom to dial through it once it is connected, or known not to be.
    then: Vec<Multiaddr>,
}

#[derive(PartialEq)]
enum State {
    Waiting,
    Dialling(ConnectionId),
    Connected(PeerId),
}

#[derive(PartialEq)]
enum Reservation {
    None,
    Waiting,
    /// Asked for, or granted.
    Listening(ListenerId),
}

impl Bootstrap {
    pub(super) fn new(address: Multiaddr) -> Self {
        Self {
            address,
            remembered: false,
            state: State::Waiting,
            plan: 0,
            failures: 0,
            relays: false,
            reservation: Reservation::None,
            refusals: 0,
            then: Vec::new(),
        }
    }

    pub(super) fn remembered(address: Multiaddr) -> Self {
        Self {
            remembered: true,
            ..Self::new(address)
        }
    }

    pub(super) fn is_remembered(&self) -> bool {
        self.remembered
    }

    pub(super) fn is_connected(&self, peer: PeerId) -> bool {
        self.state == State::Connected(peer)
    }

    /// Takes an address, to be dialled later, if this node is what it goes through and is being dialled: libp2p would dial
    /// the relay itself, be refused because that is being done, and give up.
    pub(super) fn takes(&mut self, address: &Multiaddr) -> bool {
        let relay = transport::relay_of(address);
        let takes = matches!(self.state, State::Dialling(_))
            && relay.is_some()
            && relay == transport::peer_of(&self.address)
            && self.then.len() < MAX_THEN;
        if takes {
            self.then.push(address.clone());
        }
        takes
    }

    /// Where a peer can be reached if this node relays for it.
    pub(super) fn circuit_to(&self, peer: PeerId) -> Option<Multiaddr> {
        let State::Connected(relay) = self.state else {
            return None;
        };
        let relay = transport::with_peer(self.address.clone(), relay);
        Some(relay.with(Protocol::P2pCircuit).with(Protocol::P2p(peer)))
    }
}

impl Driver {
    /// Dials it after a while, and at no other time that was planned before.
    pub(super) fn redial_after(&mut self, pause: Duration, index: usize) {
        self.bootstrap[index].plan += 1;
        let plan = self.bootstrap[index].plan;
        self.after(
            pause,
            Done::Redial {
                bootstrap: index,
                plan,
            },
        );
    }

    /// The time of a plan has come.
    pub(super) fn redial(&mut self, index: usize, plan: u64) {
        if self.bootstrap[index].plan == plan {
            self.dial_bootstrap(index);
        }
    }

    pub(super) fn dial_bootstrap(&mut self, index: usize) {
        let bootstrap = &mut self.bootstrap[index];
        if self.closing || bootstrap.state != State::Waiting {
            return;
        }
        let address = transport::to_dial(bootstrap.address.clone());
        if bootstrap.remembered && self.has_entry() {
            return self.redial_after(MAX_PAUSE, index);
        }
        let bootstrap = &mut self.bootstrap[index];
        let expected = transport::peer_of(&address);
        if let Some(peer) = expected
            && self.swarm.is_connected(&peer)
        {
            bootstrap.state = State::Connected(peer);
            return self.acquaint(peer);
        }
        let options = match expected {
            Some(peer) => DialOpts::peer_id(peer)
                .addresses(vec![address])
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .build(),
            None => DialOpts::unknown_peer_id().address(address).build(),
        };
        let id = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => bootstrap.state = State::Dialling(id),
            // Another of its addresses is being dialled.
            Err(DialError::DialPeerConditionFalse(_)) => self.redial_after(PAUSE, index),
            Err(error) => self.bootstrap_failed(index, &error),
        }
    }

    /// Whether one of them has let us in.
    fn has_entry(&self) -> bool {
        let connected = |it: &Bootstrap| matches!(it.state, State::Connected(_));
        self.bootstrap.iter().any(connected)
    }

    /// Says whether the failed dial was one of these.
    pub(super) fn bootstrap_dial_failed(&mut self, id: ConnectionId, error: &DialError) -> bool {
        let Some(index) = self
            .bootstrap
            .iter()
            .position(|it| it.state == State::Dialling(id))
        else {
            return false;
        };
        self.bootstrap_failed(index, error);
        true
    }

    fn bootstrap_failed(&mut self, index: usize, error: &DialError) {
        let bootstrap = &mut self.bootstrap[index];
        bootstrap.state = State::Waiting;
        let retry_in = PAUSE
            .saturating_mul(1 << bootstrap.failures.min(8))
            .min(MAX_PAUSE);
        bootstrap.failures += 1;
        let address = bootstrap.address.clone();
        let then = std::mem::take(&mut bootstrap.then);
        if bootstrap.remembered {
            // Nobody was told to expect it.
            tracing::debug!(%address, error = describe(error), "not there any more");
        } else {
            self.emit(Event::BootstrapUnreachable {
                address,
                reason: describe(error),
                retry_in,
            });
        }
        self.redial_after(retry_in, index);
        for address in then {
            self.dial(address);
        }
    }

    /// Says whether it is one whom we want to know; one that was met another time is so only if we dialled it.
    pub(super) fn bootstrap_connected(&mut self, peer: PeerId, id: ConnectionId) -> bool {
        let mut wanted = false;
        let mut addresses = Vec::new();
        let mut then = Vec::new();
        for bootstrap in &mut self.bootstrap {
            let dialled = bootstrap.state == State::Dialling(id);
            if dialled || transport::peer_of(&bootstrap.address) == Some(peer) {
                wanted |= dialled || !bootstrap.remembered;
                bootstrap.state = State::Connected(peer);
                bootstrap.failures = 0;
                addresses.push(bootstrap.address.clone());
                then.append(&mut bootstrap.then);
            }
        }
        if !addresses.is_empty() {
            self.route(peer, addresses.into_iter());
        }
        for address in then {
            self.dial(address);
        }
        wanted
    }

    pub(super) fn bootstrap_disconnected(&mut self, peer: PeerId) {
        for index in 0..self.bootstrap.len() {
            if self.bootstrap[index].is_connected(peer) {
                self.bootstrap[index].state = State::Waiting;
                self.bootstrap[index].reservation = Reservation::None;
                self.redial_after(PAUSE, index);
            }
        }
    }

    /// A peer has told which protocols it speaks.
    pub(super) fn bootstrap_identified(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        info: &identify::Info,
    ) {
        let Some(index) = self.bootstrap.iter().position(|it| it.is_connected(peer)) else {
            return;
        };
        let protocols = &info.protocols;
        self.helpers
            .met(&self.bootstrap[index].address, &info.listen_addrs);
        if protocols.contains(&crate::turn::TURN) {
            self.turn_offered(peer, connection);
        }
        if protocols.contains(&crate::behaviour::KAD) {
            self.refresh();
            self.refresh_soon();
        }
        self.bootstrap[index].relays = protocols.contains(&relay::HOP_PROTOCOL_NAME);
        if self.bootstrap[index].relays {
            self.reserve(index);
        }
    }

    /// Has a bootstrap node relay for us, once per node however many addresses it has.
    pub(super) fn reserve(&mut self, index: usize) {
        let State::Connected(peer) = self.bootstrap[index].state else {
            return;
        };
        let listens = |it: &super::Bootstrap| matches!(it.reservation, Reservation::Listening(_));
        if !self.wants_relays()
            || self
                .bootstrap
                .iter()
                .any(|it| it.is_connected(peer) && listens(it))
        {
            return;
        }
        let relay = transport::with_peer(self.bootstrap[index].address.clone(), peer);
        match self
            .swarm
            .listen_on(relay.clone().with(Protocol::P2pCircuit))
        {
            Ok(id) => self.bootstrap[index].reservation = Reservation::Listening(id),
            Err(error) => self.emit(Event::ListenFailed {
                address: relay,
                reason: describe(&error),
            }),
        }
    }

    fn wants_relays(&self) -> bool {
        match self.settings.reserve {
            Reserve::Always => true,
            Reserve::WhenTranslated => self.translated,
            Reserve::Never => false,
        }
    }

    /// Others see us by an address that we do not have: has the bootstrap nodes relay that can.
    pub(super) fn seen_elsewhere(&mut self, address: &Multiaddr) {
        if std::mem::replace(&mut self.translated, true) {
            return;
        }
        tracing::debug!(%address, "there is a router in between");
        for index in 0..self.bootstrap.len() {
            if self.bootstrap[index].relays {
                self.reserve(index);
            }
        }
    }

    /// Says whether the listener was one of these.
    pub(super) fn reservation_lost(
        &mut self,
        id: ListenerId,
        reason: Option<&std::io::Error>,
    ) -> bool {
        let Some(index) = self
            .bootstrap
            .iter()
            .position(|it| it.reservation == Reservation::Listening(id))
        else {
            return false;
        };
        let bootstrap = &mut self.bootstrap[index];
        bootstrap.reservation = Reservation::Waiting;
        let pause = PAUSE
            .saturating_mul(1 << bootstrap.refusals.min(8))
            .min(MAX_PAUSE);
        bootstrap.refusals += 1;
        tracing::debug!(address = %bootstrap.address, ?reason, "the relay does not relay for us any more");
        self.after(pause, Done::Reserve { bootstrap: index });
        true
    }

    pub(super) fn reservation_granted(&mut self, relay: PeerId) {
        for bootstrap in self
            .bootstrap
            .iter_mut()
            .filter(|it| it.is_connected(relay))
        {
            bootstrap.refusals = 0;
        }
    }
}

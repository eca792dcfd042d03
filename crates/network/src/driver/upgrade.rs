//! From relayed to direct.
//!
//! Two browsers first meet through a relay. The one with the lower peer id then dials the other by `/webrtc` (the one
//! that dialled, if the other is of another program); both sides exchange what WebRTC needs over a stream of the relayed
//! connection. A peer with an address of its own may also have been met through a relay first; it is simply dialled
//! there.
//!
//! The direct connection is preferred as soon as it stands, the streams move over, and the relayed one is closed.
//! Should it not come about, everything stays as it is, and is tried again a few times.

use std::time::Duration;

use futures::channel::oneshot;
use libp2p::{
    Multiaddr, PeerId, Stream, identify,
    multiaddr::Protocol,
    swarm::{
        ConnectionId,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use protocol::Channel;

use super::{Done, Driver};
use crate::{
    streams::{Outcome, Purpose},
    transport::{self, MAX_ADDRESSES, Wanted},
};

/// Tries for one peer, and the wait before the second; each further wait is four times the one before.
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(5);

/// How many direct connections a peer may be arranging with us. It needs one; a second one may begin before the first has
/// failed. Each takes a place among all the connections that are being made, and a socket, for as long as we wait.
const MAX_ARRANGED: usize = 2;

impl Driver {
    /// A peer has told which protocols it speaks, and where it listens.
    pub(super) fn upgrade_identified(&mut self, peer: PeerId, info: &identify::Info) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let speaks = |purpose: Purpose| info.protocols.contains(&purpose.protocol());
        known.signalling = speaks(Purpose::Signalling);
        known.foreign = !speaks(Purpose::Messages(Channel::Compute));
        let listens = info.listen_addrs.iter().take(MAX_ADDRESSES);
        let by_relay = |it: &Multiaddr| it.iter().any(|part| part == Protocol::P2pCircuit);
        let usable = listens.filter(|it| transport::is_dialable(it) && !by_relay(it));
        known.direct_addresses = usable.cloned().collect();
        let session = known.session;
        if known.upgrade_attempts == 0 {
            self.upgrade(peer, session);
        }
    }

    pub(super) fn upgrade(&mut self, peer: PeerId, session: u64) {
        let (wanted, lower) = (self.settings.direct, self.local() < peer);
        let Some(known) = self.peers.get_mut(&peer).filter(|it| it.session == session) else {
            return;
        };
        let busy = known.upgrading.is_some() || known.upgrade_attempts >= ATTEMPTS;
        if busy || !known.outgoing.acquainted || known.has_direct_connection() {
            return;
        }
        let mut addresses = known.direct_addresses.clone();
        // Of us the one with the lower id begins. Others do not know of that, and expect it of who has dialled.
        let begins = match known.foreign {
            true => known
                .connections
                .iter()
                .any(|it| it.path.relayed && it.dialled_by_lower == lower),
            false => lower,
        };
        if wanted && begins && known.signalling {
            let arranged = Multiaddr::empty()
                .with(Protocol::P2pCircuit)
                .with(Protocol::WebRTC)
                .with(Protocol::P2p(peer));
            addresses.push(arranged);
        }
        if addresses.is_empty() {
            return;
        }
        let options = DialOpts::peer_id(peer)
            .addresses(addresses)
            .condition(PeerCondition::Always)
            .build();
        known.upgrade_attempts += 1;
        known.upgrading = Some(options.connection_id());
        if let Err(error) = self.swarm.dial(options) {
            tracing::debug!(%peer, %error, "no direct connection");
            self.upgrade_again(peer);
        }
    }

    /// Says whether the failed dial was one of these.
    pub(super) fn upgrade_failed(&mut self, id: ConnectionId) -> bool {
        let found = self
            .peers
            .iter_mut()
            .find(|(_, known)| known.upgrading == Some(id));
        let Some((&peer, _)) = found else {
            return false;
        };
        self.upgrade_again(peer);
        true
    }

    /// An attempt has failed; another one is made after a while.
    fn upgrade_again(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.upgrading = None;
        let session = known.session;
        let pause = PAUSE.saturating_mul(4_u32.saturating_pow(known.upgrade_attempts - 1));
        self.after(pause, Done::Upgrade { peer, session });
    }

    /// The transport dials and needs a stream to the peer it dials.
    pub(super) fn open_signalling(&mut self, Wanted { peer, reply }: Wanted) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        // Dropping `reply` tells the transport that there is none.
        if let Some(relayed) = known.relayed_connection() {
            known.awaiting_signalling = Some(reply);
            self.swarm
                .behaviour_mut()
                .streams
                .open(peer, relayed, Purpose::Signalling);
        }
    }

    pub(super) fn signalling_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        outcome: Outcome,
    ) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let reply: Option<oneshot::Sender<Stream>> = match &outcome {
            Outcome::Inbound(_) => None,
            _ => known.awaiting_signalling.take(),
        };
        match (outcome, reply) {
            (Outcome::Inbound(stream), _) => {
                // Who is connected directly has nothing to arrange.
                let relayed = known
                    .connection(connection)
                    .is_some_and(|it| it.path.relayed);
                match known.arranging.take(MAX_ARRANGED) {
                    Some(place) if relayed => self.signals.incoming(peer, stream, place),
                    _ => tracing::debug!(%peer, relayed, "no direct connection is arranged"),
                }
            }
            // Fails when the transport has given up meanwhile.
            (Outcome::Opened(stream), Some(reply)) => reply.send(stream).unwrap_or_default(),
            (outcome, _) => tracing::debug!(%peer, ?outcome, "no stream for signalling"),
        }
    }
}

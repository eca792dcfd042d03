//! Peers that were reached: with them a node comes back when every bootstrap node is gone.

use std::{collections::VecDeque, time::Duration};

use libp2p::{Multiaddr, PeerId, core::ConnectedPoint, identify, multiaddr::Protocol};

use super::Driver;
use crate::{
    handle::lock,
    transport::{self, MAX_ADDRESSES},
};

/// How many are remembered.
pub(super) const MAX_KNOWN: usize = 64;

/// The bootstrap nodes have so long to answer before those are dialled that were met another time, and these follow one
/// another by so much.
const HEAD_START: Duration = Duration::from_secs(3);
const APART: Duration = Duration::from_millis(500);

impl Driver {
    /// Dials, after the bootstrap nodes, those that are remembered from another time.
    pub(super) fn dial_remembered(&mut self) {
        let remembered = (0..self.bootstrap.len()).filter(|at| self.bootstrap[*at].is_remembered());
        for (turn, index) in (0_u32..).zip(remembered.collect::<Vec<_>>()) {
            self.redial_after(HEAD_START + APART * turn, index);
        }
    }

    /// A peer was reached where we dialled it: that is where it will be next time.
    pub(super) fn note_known(&mut self, peer: PeerId, endpoint: &ConnectedPoint) {
        let ConnectedPoint::Dialer { address, .. } = endpoint else {
            return;
        };
        // One that was arranged is of no use without whom it was arranged through.
        if address.iter().any(|part| part == Protocol::P2pCircuit) {
            return;
        }
        let address = transport::with_peer(address.clone(), peer);
        insert(&mut lock(&self.ends.shared).known, address);
    }

    /// A peer that dialled us tells where it listens. Where it is seen to come from, it is likely to be reached, too.
    pub(super) fn note_listener(&mut self, peer: PeerId, info: &identify::Info) {
        let seen = self.peers.get(&peer).and_then(|known| {
            let path = &known.outgoing.links.first()?.path;
            (!path.relayed).then(|| path.address.iter().next())?
        });
        let there = info.listen_addrs.iter().take(MAX_ADDRESSES).find(|it| {
            transport::is_dialable(it) && !transport::is_relayed(it) && it.iter().next() == seen
        });
        let known = &mut lock(&self.ends.shared).known;
        let is_new = known.iter().all(|it| transport::peer_of(it) != Some(peer));
        if let Some(address) = there
            && is_new
            && known.len() < MAX_KNOWN
        {
            // Behind those that were really reached.
            known.push_back(transport::with_peer(address.clone(), peer));
        }
    }
}

/// Puts the latest first. Of a peer the latest address is kept.
fn insert(known: &mut VecDeque<Multiaddr>, address: Multiaddr) {
    let peer = transport::peer_of(&address);
    known.retain(|other| transport::peer_of(other) != peer);
    known.push_front(address);
    known.truncate(MAX_KNOWN);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_address_of_the_latest_peers_is_kept() {
        let mut known = VecDeque::new();
        let address = |port: u16, peer: PeerId| -> Multiaddr {
            format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")
                .parse()
                .unwrap()
        };
        let peers: Vec<_> = (0..MAX_KNOWN + 10).map(|_| PeerId::random()).collect();
        for peer in &peers {
            insert(&mut known, address(1, *peer));
        }
        assert_eq!(known.len(), MAX_KNOWN);
        insert(&mut known, address(2, peers[40]));
        assert_eq!(known.len(), MAX_KNOWN);
        assert_eq!(known[0], address(2, peers[40]));
        assert_eq!(known[1], address(1, peers[MAX_KNOWN + 9]));
        assert!(!known.contains(&address(1, peers[40])));
    }
}

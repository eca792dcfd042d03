//! By which address others see this node, as most of those say who were asked last.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// Peers whose word counts.
const WITNESSES: usize = 16;

/// What peers say.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    said: VecDeque<(PeerId, IpAddr)>,
    believed: Option<IpAddr>,
}

impl Observed {
    /// Takes in what a peer says; gives what is believed from now on, if that is new.
    pub(crate) fn note(&mut self, peer: PeerId, address: &Multiaddr) -> Option<IpAddr> {
        let ip = ip(address).filter(is_global)?;
        self.said.retain(|(other, _)| *other != peer);
        self.said.push_back((peer, ip));
        if self.said.len() > WITNESSES {
            self.said.pop_front();
        }
        let mut votes: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, ip) in &self.said {
            *votes.entry(*ip).or_default() += 1;
        }
        // What is believed stays so as long as nothing has more votes.
        let most = votes
            .into_iter()
            .max_by_key(|(ip, votes)| (*votes, self.believed == Some(*ip)));
        let (most, _) = most?;
        (self.believed.replace(most) != Some(most)).then_some(most)
    }
}

/// The address of the machine that this leads to directly.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    }
}

/// Whether it means the same everywhere.
fn is_global(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // Providers' own, where they have too few others (RFC 6598).
            let shared = a == 100 && (64..128).contains(&b);
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_documentation()
                || shared)
        }
        // Global unicast (RFC 4291, section 2.4).
        IpAddr::V6(ip) => ip.segments()[0] & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    fn address(ip: &str) -> Multiaddr {
        let kind = if ip.contains(':') { "ip6" } else { "ip4" };
        format!("/{kind}/{ip}/tcp/1").parse().unwrap()
    }

    #[test]
    fn most_are_believed_and_one_is_not() {
        let mut observed = Observed::default();
        let (ours, lie) = (address("8.8.4.4"), address("9.9.9.9"));
        let first = observed.note(PeerId::random(), &ours);
        assert_eq!(first, Some("8.8.4.4".parse().unwrap()));
        let liar = PeerId::random();
        // However often it says so.
        for _ in 0..5 {
            assert_eq!(observed.note(liar, &lie), None);
        }
        assert_eq!(observed.note(PeerId::random(), &ours), None);
        // The line has another address now: those who have seen it do not live for ever.
        let mut told = (0..2 * WITNESSES).filter_map(|_| observed.note(PeerId::random(), &lie));
        assert_eq!(told.next(), Some("9.9.9.9".parse().unwrap()));
        assert_eq!(told.next(), None);
    }

    #[test]
    fn addresses_that_many_have_say_nothing() {
        for ip in [
            "10.1.2.3",
            "192.168.1.2",
            "127.0.0.1",
            "100.64.0.1",
            "fe80::1",
            "::1",
            "fd00::1",
        ] {
            assert_eq!(
                Observed::default().note(PeerId::random(), &address(ip)),
                None,
                "{ip}"
            );
        }
        for ip in ["100.63.0.1", "2001:db8::1"] {
            assert!(
                Observed::default()
                    .note(PeerId::random(), &address(ip))
                    .is_some(),
                "{ip}"
            );
        }
    }
}

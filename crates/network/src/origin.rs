//! By what a stranger is counted.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::forwarded::Forwarding;

/// Where a connection comes from that others have made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// From this address, or network of one customer.
    Address(IpAddr),
    /// Through a relay, from the client that has this name there. What it calls itself here costs it nothing.
    Relayed(PeerId),
}

/// What connections are counted by.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    /// Whether those of this machine are counted, too.
    pub(crate) count_loopback: bool,
    pub(crate) forwarding: Forwarding,
}

impl Origins {
    /// What a connection from there is counted by.
    pub(crate) fn of(&self, address: &Multiaddr) -> Option<Origin> {
        let mut parts = address.iter();
        let ip = match parts.next()? {
            Protocol::Ip4(ip) => IpAddr::from(ip),
            Protocol::Ip6(ip) => ip.into(),
            // So the relay says who it is.
            Protocol::P2p(client) if parts.next().is_none() => {
                return Some(Origin::Relayed(client));
            }
            _ => return None,
        };
        let client = match parts.next() {
            Some(Protocol::Tcp(port)) => self.forwarding.client(&SocketAddr::new(ip, port)),
            _ => None,
        };
        let ip = customer(client.unwrap_or(ip));
        let relayed = address.iter().any(|part| part == Protocol::P2pCircuit);
        let counted = !relayed && (self.count_loopback || !ip.is_loopback());
        counted.then_some(Origin::Address(ip))
    }
}

/// Whom an address belongs to: one of IPv4, or a network of IPv6 as one customer gets it (`/64`).
#[must_use]
pub fn customer(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into()
        }
        ip => ip,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn a_customer_of_ipv6_has_one_address_and_loopback_none() {
        let origins = Origins {
            count_loopback: false,
            forwarding: Forwarding::default(),
        };
        let origin = |ip: &str| {
            let kind = if ip.contains(':') { "ip6" } else { "ip4" };
            origins.of(&format!("/{kind}/{ip}/tcp/1").parse().unwrap())
        };
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:2"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:9.9.9.9"), origin("9.9.9.9"));
        assert_eq!((origin("127.0.0.1"), origin("::1")), (None, None));
        assert_eq!(origin("::ffff:127.0.0.1"), None);
        let relay = "p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let relayed: Multiaddr = format!("/ip4/9.9.9.9/tcp/1/{relay}/p2p-circuit")
            .parse()
            .unwrap();
        assert_eq!(origins.of(&relayed), None);
        let client = PeerId::random();
        let through_relay = Multiaddr::from(Protocol::P2p(client));
        assert_eq!(origins.of(&through_relay), Some(Origin::Relayed(client)));
    }
}

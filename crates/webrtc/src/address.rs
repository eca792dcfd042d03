//! Addresses for WebRTC-direct.

use std::net::{IpAddr, SocketAddr};

use libp2p::{Multiaddr, multiaddr::Protocol};

/// Code of SHA-256 in multihashes.
const SHA_256: u64 = 0x12;

/// `/ip4/…/udp/…/webrtc-direct/certhash/…`
#[cfg_attr(
    target_arch = "wasm32",
    expect(dead_code, reason = "pages listen nowhere")
)]
pub(crate) fn direct_address(at: SocketAddr, digest: [u8; 32]) -> Multiaddr {
    let address = Multiaddr::from(at.ip())
        .with(Protocol::Udp(at.port()))
        .with(Protocol::WebRTCDirect);
    // A digest of 32 bytes fits into one of at most 64.
    match libp2p::multihash::Multihash::wrap(SHA_256, &digest) {
        Ok(hash) => address.with(Protocol::Certhash(hash)),
        Err(_) => address,
    }
}

/// Where an address for WebRTC-direct leads: to listen on it has no certificate yet, to dial it needs one.
pub(crate) struct Target {
    pub(crate) at: SocketAddr,
    pub(crate) digest: Option<[u8; 32]>,
}

/// Reads such an address; `None` if it is one of another kind.
pub(crate) fn parse_direct(address: &Multiaddr) -> Option<Target> {
    let mut parts = address.iter().peekable();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => IpAddr::from(ip),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let (Protocol::Udp(port), Protocol::WebRTCDirect) = (parts.next()?, parts.next()?) else {
        return None;
    };
    let mut target = Target {
        at: SocketAddr::new(ip, port),
        digest: None,
    };
    for part in parts {
        match part {
            // Of several certificates those count that we can check.
            Protocol::Certhash(hash) if hash.code() == SHA_256 && target.digest.is_none() => {
                target.digest = hash.digest().try_into().ok();
            }
            Protocol::Certhash(_) => {}
            // Who is there, the swarm compares with whom it wanted.
            Protocol::P2p(_) => {}
            _ => return None,
        }
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let at: SocketAddr = "127.0.0.1:4003".parse().unwrap();
        let written = direct_address(at, [7; 32]);
        let read = parse_direct(&written).unwrap();
        assert_eq!((read.at, read.digest), (at, Some([7; 32])));
        let peer = libp2p::PeerId::random();
        assert!(parse_direct(&written.with(Protocol::P2p(peer))).is_some());
        for other in [
            "/ip4/1.2.3.4/udp/1/quic-v1",
            "/ip4/1.2.3.4/tcp/1",
            "/webrtc",
            "/dns4/a/udp/1/webrtc-direct",
        ] {
            assert!(parse_direct(&other.parse().unwrap()).is_none(), "{other}");
        }
        assert!(
            parse_direct(&"/ip4/1.2.3.4/udp/1/webrtc-direct".parse().unwrap())
                .unwrap()
                .digest
                .is_none()
        );
    }
}

//! What an attacker sends who knows what the node speaks: it looks genuine, and is cut short, too long, or leads nowhere.

use rand::{Rng, RngCore as _, rngs::StdRng};

/// As long as a datagram may be at most.
const LONGEST: usize = 65_000;
/// What usually fits into a packet.
const USUAL: usize = 1200;

/// A request to speak WebSocket, as a browser makes it.
pub(super) const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: 10.99.0.1\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What is said over a WebSocket port, after the request in most cases.
pub(super) fn websockets() -> Vec<Vec<u8>> {
    // Binary, masked, with its length in eight bytes.
    let frame = |length: u64| [&[0x82, 0xff], &length.to_be_bytes()[..], &[7; 4]].concat();
    let after = |bytes: &[u8]| [UPGRADE, bytes].concat();
    vec![
        UPGRADE.to_vec(),
        // No browser says so much of itself.
        [&UPGRADE[..UPGRADE.len() - 2], &[b'x'; 64 << 10]].concat(),
        after(&[0xa7; 1000]),
        after(&frame(u64::MAX)),
        after(&frame(1 << 62)),
        after(&[frame(1 << 30), vec![0; 64 << 10]].concat()),
        // Pieces of a message without an end.
        after(&[0x02, 0x80, 0, 0, 0, 0].repeat(1000)),
        // The beginning of what is said of protocols, in a frame, and a length that nothing may have.
        after(&[&[0x82, 0x85, 0, 0, 0, 0], &[0xff; 5][..]].concat()),
    ]
}

/// One datagram: noise, or something like the beginning of a connection of one of the two kinds.
pub(super) fn datagram(random: &mut StdRng) -> Vec<u8> {
    let mut packet = match random.random_range(0..6) {
        0 => noise(random, USUAL),
        1 => stun(random, false),
        2 => stun(random, true),
        3 => dtls(random),
        _ => quic(random),
    };
    match random.random_range(0..4) {
        0 => packet.truncate(random.random_range(0..packet.len())),
        1 => {
            let length = random.random_range(packet.len()..LONGEST);
            packet.resize(length, 0xa7);
        }
        _ => {}
    }
    packet
}

fn noise(random: &mut StdRng, longest: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(1..longest)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A binding request ([RFC 8489](https://www.rfc-editor.org/rfc/rfc8489)), with the name by which a client of
/// WebRTC-direct begins a connection or without one, and with lengths that lie at times.
fn stun(random: &mut StdRng, named: bool) -> Vec<u8> {
    const USERNAME: [u8; 2] = [0, 6];
    let mut attributes = Vec::new();
    if named {
        let password: u128 = random.random();
        let name = format!("libp2p+webrtc+v2/{password:032x}:abcd");
        let mut length = u16::try_from(name.len()).unwrap_or(0);
        if random.random_bool(0.2) {
            length = random.random();
        }
        attributes.extend(USERNAME);
        attributes.extend(length.to_be_bytes());
        attributes.extend(name.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    let mut length = u16::try_from(attributes.len()).unwrap_or(0);
    if random.random_bool(0.2) {
        length = random.random();
    }
    let mut packet = vec![0, 1];
    packet.extend(length.to_be_bytes());
    packet.extend(0x2112_a442_u32.to_be_bytes());
    packet.extend(random.random::<[u8; 12]>());
    packet.extend(attributes);
    packet
}

/// A record with the beginning of a handshake ([RFC 6347](https://www.rfc-editor.org/rfc/rfc6347)), of which it is said
/// that it is longer than it is.
fn dtls(random: &mut StdRng) -> Vec<u8> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let body = noise(random, 500);
    let told: u32 = random.random_range(0..1 << 24);
    let told = told.to_be_bytes();
    let mut handshake = vec![CLIENT_HELLO];
    handshake.extend(&told[1..]);
    // The number of the message, where this piece of it begins, and how long the piece is.
    handshake.extend([0; 5]);
    handshake.extend(&told[1..]);
    handshake.extend(body);
    let mut packet = vec![HANDSHAKE, 0xfe, 0xfd];
    packet.extend([0; 2]);
    packet.extend(&random.random::<[u8; 8]>()[..6]);
    packet.extend(u16::try_from(handshake.len()).unwrap_or(0).to_be_bytes());
    packet.extend(handshake);
    packet
}

/// The first packet of a connection ([RFC 9000](https://www.rfc-editor.org/rfc/rfc9000#section-17.2.2)), as long as it
/// has to be, of a version that exists or does not, with contents that nobody has encrypted.
fn quic(random: &mut StdRng) -> Vec<u8> {
    let version: u32 = if random.random_bool(0.8) {
        1
    } else {
        random.random()
    };
    let mut packet = vec![0xc0 | random.random_range(0..16)];
    packet.extend(version.to_be_bytes());
    packet.push(8);
    packet.extend(random.random::<[u8; 8]>());
    packet.push(8);
    packet.extend(random.random::<[u8; 8]>());
    // No token.
    packet.push(0);
    // A length of two bytes, with what marks it as such.
    let length: u16 = if random.random_bool(0.2) {
        random.random_range(0..1 << 14)
    } else {
        1100
    };
    packet.extend((0x4000 | length).to_be_bytes());
    let head = packet.len();
    packet.resize(USUAL.max(head), 0);
    random.fill_bytes(&mut packet[head..]);
    packet
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    /// Otherwise the attack would be noise only.
    #[test]
    fn packets_begin_as_genuine_ones_do() {
        let mut random = StdRng::seed_from_u64(1);
        let stun = stun(&mut random, true);
        assert_eq!(&stun[..2], [0, 1]);
        assert_eq!(&stun[4..8], [0x21, 0x12, 0xa4, 0x42]);
        let text = String::from_utf8_lossy(&stun).into_owned();
        assert!(text.contains("libp2p+webrtc+v2/") && text.contains(":abcd"));
        assert_eq!(dtls(&mut random)[0], 22);
        let quic = quic(&mut random);
        assert!(quic[0] & 0xf0 == 0xc0 && quic.len() >= 1200);
    }

    #[test]
    fn datagrams_differ_and_fit() {
        let mut random = StdRng::seed_from_u64(1);
        let packets: Vec<_> = (0..1000).map(|_| datagram(&mut random)).collect();
        assert!(packets.iter().all(|packet| packet.len() <= LONGEST));
        assert!(packets.iter().any(|packet| packet.len() > 10 * USUAL));
        assert!(packets.iter().any(|packet| packet.len() < 20));
    }
}

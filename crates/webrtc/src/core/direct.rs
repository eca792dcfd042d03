//! WebRTC-direct: how a server learns from a first packet all it needs of a client that it has never heard of.
//!
//! A client that knows a server's address and certificate sends no offer. It takes both the offer and the answer for
//! granted, with credentials that both sides can derive, and the server reads them from the `USERNAME` of the client's
//! first [connectivity check](https://www.rfc-editor.org/rfc/rfc8445#section-7.2.2), which is
//! `<server's fragment>:<client's fragment>`:
//!
//! - [Version 1](https://github.com/libp2p/specs/blob/master/webrtc/webrtc-direct.md): all four, fragments and
//!   passwords, are `libp2p+webrtc+v1/<random>`. For this a browser has to be talked into other credentials than it
//!   chose, which Chromium is about to forbid.
//! - [Version 2](https://github.com/libp2p/specs/pull/715): the client keeps its own; fragment and password of the
//!   server are `libp2p+webrtc+v2/<the client's password>`.

use std::{fmt::Write as _, net::SocketAddr};

use super::MAX_FRAME;

const V1: &str = "libp2p+webrtc+v1/";
const V2: &str = "libp2p+webrtc+v2/";

/// Lengths of a fragment that [RFC 8839](https://www.rfc-editor.org/rfc/rfc8839#section-5.4) allows; those of a
/// password begin at 22.
const FRAGMENT: std::ops::RangeInclusive<usize> = 4..=256;
const PASSWORD: std::ops::RangeInclusive<usize> = 22..=256;

/// Which convention a client follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Both sides use the same made-up credentials.
    V1,
    /// The client uses its own.
    V2,
}

/// Fragment and password of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The username fragment.
    pub fragment: String,
    /// The password.
    pub password: String,
}

/// What a first packet says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The convention.
    pub version: Version,
    /// What the server has to use.
    pub server: Credentials,
    /// What the client uses.
    pub client: Credentials,
}

impl Greeting {
    /// Reads the `USERNAME` of a connectivity check. `None` for all that no client of a known version sends.
    #[must_use]
    pub fn parse(username: &str) -> Option<Self> {
        let (server, client) = username.split_once(':')?;
        if !is_fragment(server) || !is_fragment(client) {
            return None;
        }
        let same = |text: &str| Credentials {
            fragment: text.to_owned(),
            password: text.to_owned(),
        };
        if let Some(password) = server.strip_prefix(V2) {
            return is(password, PASSWORD).then(|| Self {
                version: Version::V2,
                server: same(server),
                client: Credentials {
                    fragment: client.to_owned(),
                    password: password.to_owned(),
                },
            });
        }
        (server.starts_with(V1) && server == client && is(server, PASSWORD)).then(|| Self {
            version: Version::V1,
            server: same(server),
            client: same(client),
        })
    }
}

/// What a client of version 2 takes for the server's credentials. `password` is its own, as its offer has it.
#[must_use]
pub fn server_credentials(password: &str) -> Option<Credentials> {
    let text = format!("{V2}{password}");
    (is(password, PASSWORD) && is_fragment(&text)).then(|| Credentials {
        fragment: text.clone(),
        password: text,
    })
}

/// The answer that a server at this address would give if it were asked, with the
/// [lines of the specification](https://github.com/libp2p/specs/blob/master/webrtc/webrtc-direct.md#server-sdp).
/// `digest` is the SHA-256 of its certificate.
#[must_use]
pub fn answer(at: SocketAddr, digest: &[u8; 32], server: &Credentials) -> String {
    let family = if at.is_ipv4() { "IP4" } else { "IP6" };
    let (ip, port) = (at.ip(), at.port());
    let Credentials { fragment, password } = server;
    let mut fingerprint = String::new();
    for byte in digest {
        let colon = if fingerprint.is_empty() { "" } else { ":" };
        // Writing to a string does not fail.
        let _ = write!(fingerprint, "{colon}{byte:02X}");
    }
    let lines = [
        "v=0".to_owned(),
        format!("o=- 0 0 IN {family} {ip}"),
        "s=-".to_owned(),
        format!("c=IN {family} {ip}"),
        "t=0 0".to_owned(),
        "a=ice-lite".to_owned(),
        format!("m=application {port} UDP/DTLS/SCTP webrtc-datachannel"),
        "a=mid:0".to_owned(),
        "a=ice-options:ice2".to_owned(),
        format!("a=ice-ufrag:{fragment}"),
        format!("a=ice-pwd:{password}"),
        format!("a=fingerprint:sha-256 {fingerprint}"),
        "a=setup:passive".to_owned(),
        "a=sctp-port:5000".to_owned(),
        format!("a=max-message-size:{MAX_FRAME}"),
        format!("a=candidate:1467250027 1 UDP 1467250027 {ip} {port} typ host"),
        "a=end-of-candidates".to_owned(),
        String::new(),
    ];
    lines.join("\r\n")
}

/// The SHA-256 of a certificate in a description, and the password beside it.
#[must_use]
pub fn description(sdp: &str) -> Option<([u8; 32], String)> {
    let value = |name: &str| sdp.lines().find_map(|line| line.strip_prefix(name));
    let fingerprint = value("a=fingerprint:sha-256 ")?.trim_end();
    let mut digest = [0; 32];
    let mut parts = fingerprint.split(':');
    for byte in &mut digest {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    let password = value("a=ice-pwd:")?.trim_end().to_owned();
    parts.next().is_none().then_some((digest, password))
}

/// What the Noise handshake of a WebRTC-direct connection is tied to: the certificates of both sides, as multihashes of
/// SHA-256, and what only the members of a private swarm know.
#[must_use]
pub fn prologue(client: &[u8; 32], server: &[u8; 32], secret: &[u8]) -> Vec<u8> {
    const SHA_256: [u8; 2] = [0x12, 32];
    [
        b"libp2p-webrtc-noise:".as_slice(),
        &SHA_256,
        client,
        &SHA_256,
        server,
        secret,
    ]
    .concat()
}

fn is_fragment(text: &str) -> bool {
    is(text, FRAGMENT)
}

/// Only `ice-char`s: whatever else a stranger writes must not get into a session description.
fn is(text: &str, lengths: std::ops::RangeInclusive<usize>) -> bool {
    let ice_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    lengths.contains(&text.len()) && text.bytes().all(ice_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_of_the_second_version_keeps_its_own_credentials() {
        let password = "0123456789abcdefghijkl";
        let server = server_credentials(password).unwrap();
        let greeting = Greeting::parse(&format!("{}:Ab1/", server.fragment)).unwrap();
        assert_eq!(greeting.version, Version::V2);
        assert_eq!(greeting.server, server);
        assert_eq!(
            (&*greeting.client.fragment, &*greeting.client.password),
            ("Ab1/", password)
        );
    }

    #[test]
    fn a_client_of_the_first_version_uses_one_word_four_times() {
        let word = "libp2p+webrtc+v1/abcdefgh";
        let greeting = Greeting::parse(&format!("{word}:{word}")).unwrap();
        assert_eq!(greeting.version, Version::V1);
        for credentials in [greeting.server, greeting.client] {
            assert_eq!(
                (&*credentials.fragment, &*credentials.password),
                (word, word)
            );
        }
    }

    #[test]
    fn a_made_up_answer_says_what_the_server_would() {
        let server = server_credentials("0123456789abcdefghijkl").unwrap();
        let sdp = answer("[::1]:4003".parse().unwrap(), &[0xab; 32], &server);
        assert!(sdp.contains("c=IN IP6 ::1\r\n") && sdp.ends_with("a=end-of-candidates\r\n"));
        let (digest, password) = description(&sdp).unwrap();
        assert_eq!((digest, password), ([0xab; 32], server.password));
        assert_eq!(
            description("a=ice-pwd:x\r\na=fingerprint:sha-256 AB:CD\r\n"),
            None
        );
        assert_eq!(description(""), None);
    }

    #[test]
    fn what_would_write_into_a_session_description_is_refused() {
        let good = "libp2p+webrtc+v2/0123456789abcdefghijkl";
        assert!(Greeting::parse(&format!("{good}:abcd")).is_some());
        for bad in [
            format!("{good}\r\na=x:abcd"),
            format!("{good}:ab cd"),
            format!("{good}:abc"),
            format!("{good}:{}", "x".repeat(257)),
            format!("{good}:a:bcd"),
            "libp2p+webrtc+v2/short:abcd".to_owned(),
            "libp2p+webrtc+v3/0123456789abcdefghijkl:abcd".to_owned(),
            "libp2p+webrtc+v1/abcdefgh:libp2p+webrtc+v1/abcdefgi".to_owned(),
            good.to_owned(),
        ] {
            assert_eq!(Greeting::parse(&bad), None, "{bad}");
        }
        assert_eq!(server_credentials("0123456789abcdefghij\nl"), None);
    }
}

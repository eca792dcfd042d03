//! What there is to tell about a connection: how it goes, how long a round trip takes, how much has gone through it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use crate::Path;

/// What carries a connection, or its last part to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// TCP.
    Tcp,
    /// QUIC.
    Quic,
    /// WebSocket.
    WebSocket,
    /// WebSocket over TLS.
    SecureWebSocket,
    /// WebRTC to an address that was dialled.
    WebRtcDirect,
    /// WebRTC between two that cannot be dialled.
    WebRtc,
    /// None of these.
    Other,
}

impl Transport {
    /// What carries a connection with this address.
    pub(crate) fn of(address: &Multiaddr) -> Self {
        // What was arranged over a relay still names it; and of a relayed one the relay comes first.
        if address.iter().any(|part| part == Protocol::WebRTC) {
            return Self::WebRtc;
        }
        let mut transport = Self::Other;
        for part in address
            .iter()
            .take_while(|part| *part != Protocol::P2pCircuit)
        {
            transport = match part {
                Protocol::Tcp(_) => Self::Tcp,
                Protocol::Quic | Protocol::QuicV1 => Self::Quic,
                Protocol::Tls if transport == Self::Tcp => Self::SecureWebSocket,
                Protocol::Ws(_) if transport == Self::Tcp => Self::WebSocket,
                Protocol::Wss(_) => Self::SecureWebSocket,
                Protocol::WebRTCDirect => Self::WebRtcDirect,
                _ => transport,
            };
        }
        transport
    }

    /// Whether it ends by itself when nothing comes from the other side any more. TCP does so only after many minutes.
    pub(crate) const fn notices_silence(self) -> bool {
        matches!(self, Self::Quic | Self::WebRtc | Self::WebRtcDirect)
    }

    /// A name for programs, which does not change.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::WebSocket => "websocket",
            Self::SecureWebSocket => "secure-websocket",
            Self::WebRtcDirect => "webrtc-direct",
            Self::WebRtc => "webrtc",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a connection is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Usage {
    /// Messages go this way.
    Messages,
    /// A better one with the same peer has taken its place; it is about to be closed.
    Replaced,
    /// No messages are exchanged with this peer: the DHT asks it something, or is asked. Closed when it is idle.
    Contact,
}

impl Usage {
    /// Its name, for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Replaced => "replaced",
            Self::Contact => "contact",
        }
    }
}

/// A connection, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// With whom.
    pub peer: PeerId,
    /// Where it leads.
    pub path: Path,
    /// What it is there for.
    pub usage: Usage,
    /// The last round trip that was measured.
    pub round_trip: Option<Duration>,
    /// Bytes of messages sent, with their framing.
    pub sent: u64,
    /// Bytes of messages received.
    pub received: u64,
}

/// What has gone through all connections of a kind since the start, those that are closed included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of messages sent, with their framing.
    pub sent: u64,
    /// Bytes of messages received.
    pub received: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, counters: &Counters) {
        self.sent += counters.sent.load(Ordering::Relaxed);
        self.received += counters.received.load(Ordering::Relaxed);
    }
}

/// Counted where a connection is read and written. All clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Arc<Counted>);

#[derive(Debug, Default)]
pub(crate) struct Counted {
    sent: AtomicU64,
    received: AtomicU64,
    /// In microseconds and one more; 0 when none was measured.
    round_trip: AtomicU64,
}

impl std::ops::Deref for Counters {
    type Target = Counted;

    fn deref(&self) -> &Counted {
        &self.0
    }
}

impl Counted {
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How much has gone through it so far, in both directions.
    pub(crate) fn moved(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) + self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn round_trip(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX - 1);
        self.round_trip.store(micros + 1, Ordering::Relaxed);
    }

    /// The round trip measured last.
    pub(crate) fn measured(&self) -> Option<Duration> {
        let round_trip = self.round_trip.load(Ordering::Relaxed);
        round_trip.checked_sub(1).map(Duration::from_micros)
    }
}

/// One connection as the driver shares it.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) path: Path,
    pub(crate) counters: Counters,
}

impl Link {
    pub(crate) fn describe(&self, peer: PeerId, usage: Usage) -> Connection {
        let mut traffic = Traffic::default();
        traffic.add(&self.counters);
        Connection {
            peer,
            path: self.path.clone(),
            usage,
            round_trip: self.counters.measured(),
            sent: traffic.sent,
            received: traffic.received,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_carries_the_connection() {
        let relay = "p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let circuit = format!("/ip4/1.2.3.4/udp/1/quic-v1/{relay}/p2p-circuit");
        let arranged = format!("{circuit}/webrtc");
        for (address, expected) in [
            ("/ip4/1.2.3.4/tcp/1", Transport::Tcp),
            ("/ip4/1.2.3.4/udp/1/quic-v1", Transport::Quic),
            ("/ip4/1.2.3.4/tcp/1/ws", Transport::WebSocket),
            ("/dns/a.example/tcp/443/tls/ws", Transport::SecureWebSocket),
            ("/dns/a.example/tcp/443/wss", Transport::SecureWebSocket),
            ("/ip4/1.2.3.4/udp/1/webrtc-direct", Transport::WebRtcDirect),
            (&circuit, Transport::Quic),
            (&arranged, Transport::WebRtc),
            ("/ip4/1.2.3.4/udp/1/webrtc", Transport::WebRtc),
            ("/memory/1", Transport::Other),
        ] {
            assert_eq!(
                Transport::of(&address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}

//! How QUIC is spoken.

use std::{sync::Arc, time::Duration};

use libp2p::{identity::Keypair, tls};
use quinn::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, ServerConfig, TransportConfig, VarInt,
    congestion::NewRenoConfig,
    crypto::{
        CryptoError, HmacKey,
        rustls::{QuicClientConfig, QuicServerConfig},
    },
};

/// What may be on its way before anything is known of the path: 128 packets, spread over a round trip as all that is sent.
/// With the ten that are usual a request of 16 KiB takes two round trips, and ever again: a window grows only while it is
/// full, and one who asks and waits seldom fills it.
const FIRST_WINDOW: u64 = 128 * 1452;

/// What a loss leaves of the window, which grows by a packet each round trip: as much as two connections of TCP have in its
/// place, since the mean window is in proportion to `sqrt((1 + b) / (1 - b))` (Yang and Lam, General AIMD Congestion Control,
/// ICNP 2000). A round trip between two programs is longer than between two kernels, which at home, where nothing else
/// takes time, is half of it.
const LEFT_BY_A_LOSS: f32 = 0.85;

/// After so many packets one of them is acknowledged, and all before it: once in a request or an answer. To acknowledge every
/// second one, as is usual, costs as much as to read it.
const ACKNOWLEDGED: u32 = 8;

/// Or after this time. What has come out of turn is acknowledged at once, so that a loss is noticed as soon as ever.
const ACKNOWLEDGED_AFTER: Duration = Duration::from_millis(1);

/// Bytes that wait unread in a stream, and in all of a connection.
const UNREAD: u32 = 10_000_000;
const ALL_UNREAD: u32 = 15_000_000;

/// Streams that the other side may have open.
const STREAMS: u32 = 256;

/// Silence after which a connection is given up, and after which something is said so that it is not.
const GIVE_UP: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// For endpoints and connections.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) endpoint: EndpointConfig,
    pub(super) client: ClientConfig,
    pub(super) server: ServerConfig,
}

impl Settings {
    pub(super) fn new(keypair: &Keypair) -> Result<Self, crate::Error> {
        let failed = |error: &dyn std::fmt::Display| crate::Error::Encryption(error.to_string());
        let client = tls::make_client_config(keypair, None).map_err(|error| failed(&error))?;
        let client = QuicClientConfig::try_from(client).map_err(|error| failed(&error))?;
        let server = tls::make_server_config(keypair).map_err(|error| failed(&error))?;
        let server = QuicServerConfig::try_from(server).map_err(|error| failed(&error))?;
        let transport = Arc::new(transport());
        let mut client = ClientConfig::new(Arc::new(client));
        client.transport_config(Arc::clone(&transport));
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(transport);
        // libp2p would have to hear of it.
        server.migration(false);
        Ok(Self {
            endpoint: endpoint(keypair),
            client,
            server,
        })
    }
}

fn endpoint(keypair: &Keypair) -> EndpointConfig {
    let mut endpoint = match keypair.derive_secret(b"iap2p quic reset") {
        Some(secret) => EndpointConfig::new(Arc::new(Forgotten(secret))),
        None => EndpointConfig::default(),
    };
    endpoint.supported_versions(vec![1]);
    endpoint
}

/// The key by which a node that was started again proves to its peers of before that it has forgotten them.
struct Forgotten([u8; 32]);

impl HmacKey for Forgotten {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let expected = blake3::keyed_hash(&self.0, data);
        // In constant time.
        if expected == *signature {
            Ok(())
        } else {
            Err(CryptoError)
        }
    }
}

fn transport() -> TransportConfig {
    let mut congestion = NewRenoConfig::default();
    congestion
        .initial_window(FIRST_WINDOW)
        .loss_reduction_factor(LEFT_BY_A_LOSS);
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements
        .ack_eliciting_threshold(ACKNOWLEDGED.into())
        .max_ack_delay(Some(ACKNOWLEDGED_AFTER));
    let mut transport = TransportConfig::default();
    transport
        .congestion_controller_factory(Arc::new(congestion))
        .ack_frequency_config(Some(acknowledgements))
        // libp2p has neither streams of one direction nor datagrams.
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_concurrent_bidi_streams(STREAMS.into())
        .stream_receive_window(UNREAD.into())
        .receive_window(ALL_UNREAD.into())
        .keep_alive_interval(Some(KEEP_ALIVE))
        // A few seconds fit.
        .max_idle_timeout(GIVE_UP.try_into().ok())
        .allow_spin(false);
    transport
}

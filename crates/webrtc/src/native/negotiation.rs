//! From a stream between two peers to a connection of their own.

use std::{
    collections::HashMap,
    future::poll_fn,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use serde::Deserialize;
use str0m::{
    Candidate, CandidateKind, Rtc, RtcConfig,
    change::{SdpAnswer, SdpOffer},
};
use tokio::time::timeout;

use super::{
    Connection, Error,
    certificate::provider,
    driver::{Source, drive},
    paths::{self, ANYWHERE},
    session::{INIT, Session},
    socket::{Buffers, Socket},
    turn::Relay,
};
use crate::{
    IceServer, Role,
    core::signaling::Type,
    signals::{Signals, send},
};

/// Finding a path takes a fraction of a second, or does not succeed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Candidates taken from a peer; honest ones have a handful.
const MAX_CANDIDATES: usize = 128;

/// What matters of an `RTCIceCandidate` as browsers write it: there is one section, and it is that one's.
#[derive(Deserialize)]
struct JsonCandidate {
    candidate: String,
}

/// Settings that every connection has.
pub(super) fn config() -> RtcConfig {
    /// Both sides hear of each other at least this often, so that silence means something.
    const CHECK: Duration = Duration::from_millis(1500);
    /// What all streams together have on their way; each is bounded by itself.
    const MAX_BUFFERED: usize = 64 << 20;
    let mut config = RtcConfig::new()
        .clear_codecs()
        .set_crypto_provider(Arc::new(provider()))
        .set_sctp_max_buffered_amount(MAX_BUFFERED);
    config.set_max_stun_rto(CHECK);
    config
}

/// Negotiates over `stream`, which is used for nothing else and closed in the end. It must be authenticated and private:
/// what the connection is tied to is said there. Must be called within a Tokio runtime.
///
/// # Errors
/// If the two find no path to each other within twenty seconds, or one does not keep to the protocol.
pub async fn negotiate(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    servers: &[IceServer],
    role: Role,
) -> Result<Connection, Error> {
    negotiate_at(ANYWHERE, stream, servers, role).await
}

/// The same, with packets from and to this address, for machines that are to use one of theirs only.
///
/// # Errors
/// As [`negotiate`].
pub async fn negotiate_at(
    address: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    servers: &[IceServer],
    role: Role,
) -> Result<Connection, Error> {
    timeout(TIMEOUT, agree(address, stream, servers, role))
        .await
        .unwrap_or(Err(Error::TimedOut))
}

async fn agree(
    address: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    servers: &[IceServer],
    role: Role,
) -> Result<Connection, Error> {
    let socket = Arc::new(Socket::bind(address)?);
    let (reader, mut writer) = stream.split();
    let mut signals = Signals::new(reader);
    let mut rtc = config().build(Instant::now());
    let mut theirs = Theirs::default();
    let relay = match role {
        Role::Offers => {
            let relay = find_ourselves(&mut rtc, &socket, servers).await?;
            let mut change = rtc.sdp_api();
            change.add_channel(INIT.to_owned());
            let (offer, pending) = change
                .apply()
                .ok_or(Error::Negotiation("nothing to negotiate"))?;
            send(&mut writer, Type::SdpOffer, offer.to_sdp_string()).await?;
            let answer = signals.expect(Type::SdpAnswer).await?;
            theirs.read_description(&answer);
            let answer = SdpAnswer::from_sdp_string(&answer)
                .map_err(|_| Error::Negotiation("not a description"))?;
            rtc.sdp_api().accept_answer(pending, answer)?;
            relay
        }
        Role::Answers => {
            // The offer takes a while to come; what is asked meanwhile costs nothing.
            let (found, offer) = futures::future::join(
                find_ourselves(&mut rtc, &socket, servers),
                signals.expect(Type::SdpOffer),
            )
            .await;
            let relay = found?;
            let offer = offer?;
            theirs.read_description(&offer);
            let offer = SdpOffer::from_sdp_string(&offer)
                .map_err(|_| Error::Negotiation("not a description"))?;
            let answer = rtc.sdp_api().accept_offer(offer)?;
            send(&mut writer, Type::SdpAnswer, answer.to_sdp_string()).await?;
            relay
        }
    };
    let session = Session::new(rtc);
    let source = Source::Own(Box::new(Buffers::small()));
    tokio::spawn(drive(Arc::clone(&session), socket, source, relay));
    // From here on the session is closed if anything fails.
    let mut connection = Connection::new(Arc::clone(&session), crate::core::Route::Punched);
    find_path(&session, signals, &mut theirs).await?;
    // Connected; nothing depends on the other side's hearing it here.
    let _ = writer.close().await;
    connection.set_route(paths::route(session.lock().way, &theirs.kinds));
    Ok(connection)
}

/// Our candidates go into the description; there is nothing left to tell later.
async fn find_ourselves(
    rtc: &mut Rtc,
    socket: &Arc<Socket>,
    servers: &[IceServer],
) -> Result<Option<Relay>, Error> {
    let (candidates, relay) = paths::gather(socket, servers).await?;
    for candidate in candidates {
        rtc.add_local_candidate(candidate);
    }
    Ok(relay)
}

/// Takes candidates as they come, until the connection stands.
async fn find_path(
    session: &Session,
    mut signals: Signals<impl AsyncRead + Unpin>,
    theirs: &mut Theirs,
) -> Result<(), Error> {
    let listen = async {
        // Whatever ends it: the other side may be connected already, and gone from here.
        while let Ok(message) = signals.receive().await {
            if message.kind == Type::IceCandidate
                && let Some(candidate) = theirs.read_json(&message.data)
            {
                session.with(|state| state.rtc.add_remote_candidate(candidate));
            }
        }
    };
    let mut listen = std::pin::pin!(listen);
    let mut connected = std::pin::pin!(session.connected());
    let mut listening = true;
    poll_fn(|cx| {
        if listening && listen.as_mut().poll(cx).is_ready() {
            listening = false;
        }
        connected.as_mut().poll(cx)
    })
    .await
}

/// What the peer says of its addresses.
#[derive(Default)]
struct Theirs {
    kinds: HashMap<SocketAddr, CandidateKind>,
    taken: usize,
}

impl Theirs {
    /// Notes the candidates that a description has in it.
    fn read_description(&mut self, description: &str) {
        for line in description.lines().take(MAX_CANDIDATES) {
            if let Some(candidate) = line.strip_prefix("a=")
                && let Ok(candidate) = Candidate::from_sdp_string(candidate)
            {
                self.kinds.insert(candidate.addr(), candidate.kind());
            }
        }
    }

    /// A candidate that came by itself. One that is not understood is passed over: there may be better ones. So is a
    /// name under `.local`, behind which a browser hides its address; its packets will show it.
    fn read_json(&mut self, json: &str) -> Option<Candidate> {
        self.taken += 1;
        if self.taken > MAX_CANDIDATES {
            return None;
        }
        // The last is `null` or empty, by which some implementations say that there are no more.
        let candidate: JsonCandidate = serde_json::from_str(json).ok()?;
        let candidate = Candidate::from_sdp_string(&candidate.candidate).ok()?;
        self.kinds.insert(candidate.addr(), candidate.kind());
        Some(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_browsers_are_understood_or_passed_over() {
        let mut theirs = Theirs::default();
        let address: SocketAddr = "10.99.0.1:40000".parse().unwrap();
        let found = theirs.read_json(
            r#"{"candidate":"candidate:1 1 udp 2122260223 10.99.0.1 40000 typ host generation 0 ufrag aBcD network-id 1","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"aBcD"}"#,
        );
        assert_eq!(found.unwrap().addr(), address);
        assert_eq!(theirs.kinds.get(&address), Some(&CandidateKind::Host));
        for nothing in [
            "null",
            "{}",
            r#"{"candidate":""}"#,
            r#"{"candidate":"candidate:1 1 udp 1 0a1b.local 4000 typ host"}"#,
        ] {
            assert!(theirs.read_json(nothing).is_none(), "{nothing}");
        }
        for _ in 0..MAX_CANDIDATES {
            theirs.read_json("null");
        }
        assert!(
            theirs
                .read_json(r#"{"candidate":"candidate:1 1 udp 1 10.99.0.1 40000 typ host"}"#)
                .is_none()
        );
    }
}

//! How a node learns of the TURN server of those it enters through, and gets credentials for it: it asks, and is answered.

use std::{fmt, sync::Arc, time::Duration};

use libp2p::{
    StreamProtocol,
    request_response::{self, ProtocolSupport},
};
use serde::{Deserialize, Serialize};
use webrtc::IceServer;

pub(crate) const TURN: StreamProtocol = StreamProtocol::new("/iap2p/turn/1.0.0");

/// How long an answer may be.
const MAX_ANSWER: u64 = 2048;
const MAX_TEXT: usize = 256;
const PATIENCE: Duration = Duration::from_secs(10);

/// Credentials may be used at least and at most for so long.
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(crate) type Behaviour = request_response::json::Behaviour<Ask, Grant>;
pub(crate) type Event = request_response::Event<Ask, Grant>;

/// Wants credentials.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ask {}

/// What a client of a TURN server needs to know.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where it is: `turn:192.0.2.1:3478?transport=udp`.
    pub url: String,
    /// Who the client says it is.
    pub username: String,
    /// What it proves that with.
    pub password: String,
    /// For how many seconds this holds.
    pub seconds: u32,
}

/// The password is nobody's business.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("url", &self.url)
            .field("seconds", &self.seconds)
            .finish_non_exhaustive()
    }
}

impl Grant {
    /// What it says, if that makes sense, and how long it holds.
    pub(crate) fn read(self) -> Option<(IceServer, Duration)> {
        let short = [&self.url, &self.username, &self.password]
            .into_iter()
            .all(|text| text.len() <= MAX_TEXT);
        let holds = Duration::from_secs(self.seconds.into());
        let sensible = short && self.url.starts_with("turn:") && holds >= SHORTEST;
        let server = IceServer {
            urls: vec![self.url],
            username: Some(self.username),
            credential: Some(self.password),
        };
        sensible.then_some((server, holds.min(LONGEST)))
    }
}

/// Issues credentials for the TURN server that a node has.
#[derive(Clone)]
pub struct Granter(Arc<dyn Fn() -> Grant + Send + Sync>);

impl Granter {
    /// Each peer that asks is given what `issue` says.
    pub fn new(issue: impl Fn() -> Grant + Send + Sync + 'static) -> Self {
        Self(Arc::new(issue))
    }

    pub(crate) fn grant(&self) -> Grant {
        (self.0)()
    }
}

impl fmt::Debug for Granter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Granter")
    }
}

pub(crate) fn behaviour(grants: bool) -> Behaviour {
    let support = if grants {
        ProtocolSupport::Full
    } else {
        ProtocolSupport::Outbound
    };
    let codec = request_response::json::codec::Codec::default()
        .set_request_size_maximum(64)
        .set_response_size_maximum(MAX_ANSWER);
    let settings = request_response::Config::default()
        .with_request_timeout(PATIENCE)
        .with_max_concurrent_streams(4);
    Behaviour::with_codec(codec, [(TURN, support)], settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_sense_is_believed() {
        let good = Grant {
            url: "turn:192.0.2.1:3478?transport=udp".into(),
            username: "u".into(),
            password: "p".into(),
            seconds: 3600,
        };
        let (server, holds) = good.clone().read().unwrap();
        assert_eq!(server.urls, std::slice::from_ref(&good.url));
        assert_eq!(holds, Duration::from_secs(3600));
        let for_ever = Grant {
            seconds: u32::MAX,
            ..good.clone()
        };
        assert_eq!(for_ever.read().unwrap().1, LONGEST);
        for bad in [
            Grant {
                seconds: 1,
                ..good.clone()
            },
            Grant {
                url: "https://192.0.2.1/".into(),
                ..good.clone()
            },
            Grant {
                password: "p".repeat(MAX_TEXT + 1),
                ..good.clone()
            },
        ] {
            assert_eq!(bad.read(), None);
        }
    }
}

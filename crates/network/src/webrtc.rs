//! `/webrtc`: direct connections between two browsers.
//!
//! Neither can be dialled, so they meet through a relay first. Over a stream of that connection, which is encrypted
//! and authenticated from end to end, they exchange what an `RTCPeerConnection` needs (`signal`, `negotiation`);
//! the fingerprints in it tie the new connection to the same two peers, no further handshake is needed. The result is
//! a libp2p connection whose streams are data channels (`connection`, `channel`).
//!
//! Written for this project because no published crate connects browser with browser. Framing and half-closing of
//! streams come from `libp2p-webrtc-utils`.

mod channel;
mod connection;
mod negotiation;
mod signal;
mod transport;

use wasm_bindgen::{JsCast, JsValue};

pub(crate) use transport::Transport;

/// What this transport listens on; it means "everybody who finds me through a relay".
pub(crate) const LISTEN: &str = "/webrtc";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The browser refused something.
    #[error("the browser says: {0}")]
    Browser(String),
    /// There is no relayed connection to arrange a direct one over.
    #[error("no relayed connection to arrange a direct one over")]
    NoSignalling,
    /// The other side did not keep to the protocol.
    #[error("negotiation failed: {0}")]
    Negotiation(&'static str),
    /// The relayed connection failed meanwhile.
    #[error("the relayed connection failed: {0}")]
    Signalling(#[from] std::io::Error),
    /// No path between the two was found, or it was lost.
    #[error("the direct connection is {0}")]
    Lost(&'static str),
    /// It took too long.
    #[error("timed out")]
    TimedOut,
}

impl From<JsValue> for Error {
    fn from(value: JsValue) -> Self {
        Self::Browser(value.dyn_ref::<js_sys::Error>().map_or_else(
            || format!("{value:?}"),
            |error| format!("{}: {}", error.name(), error.message()),
        ))
    }
}

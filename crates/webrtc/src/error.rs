use crate::SignalingError;

/// Why there is no connection, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The browser refused something.
    #[cfg(target_arch = "wasm32")]
    #[error("the browser says: {0}")]
    Browser(String),
    /// A socket failed.
    #[cfg(not(target_arch = "wasm32"))]
    #[error("the network says: {0}")]
    Io(#[from] std::io::Error),
    /// WebRTC failed.
    #[cfg(not(target_arch = "wasm32"))]
    #[error("WebRTC failed: {0}")]
    Rtc(String),
    /// There is no relayed connection to arrange a direct one over.
    #[error("no relayed connection to arrange a direct one over")]
    NoSignaling,
    /// The other side did not keep to the protocol.
    #[error("negotiation failed: {0}")]
    Negotiation(&'static str),
    /// What was said while it was arranged, or could not be.
    #[error(transparent)]
    Signaling(#[from] SignalingError),
    /// The other side could not prove who it is; in a private swarm, or that it belongs to it.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// No path between the two was found.
    #[error("no path between the two was found")]
    NoPath,
    /// The connection was closed, by either side.
    #[error("the connection is closed")]
    Closed,
    /// The other side has fallen silent.
    #[error("the connection is lost")]
    Lost,
    /// It took too long.
    #[error("timed out")]
    TimedOut,
}

#[cfg(target_arch = "wasm32")]
impl From<wasm_bindgen::JsValue> for Error {
    fn from(value: wasm_bindgen::JsValue) -> Self {
        use wasm_bindgen::JsCast as _;

        Self::Browser(value.dyn_ref::<js_sys::Error>().map_or_else(
            || format!("{value:?}"),
            |error| format!("{}: {}", error.name(), error.message()),
        ))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl From<str0m::RtcError> for Error {
    fn from(error: str0m::RtcError) -> Self {
        Self::Rtc(error.to_string())
    }
}

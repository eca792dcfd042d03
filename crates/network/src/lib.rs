//! Peers, found and connected, for native nodes and browsers alike: rust-libp2p behind a narrow door.
//!
//! The crate carries [`protocol::Message`]s between peers over two long-lived streams per pair, finds the peers that
//! serve a model through the DHT, reaches those without an address of their own through a relay, and, between
//! browsers, replaces the relayed connection by a direct one. It decides nothing about work and knows nothing of
//! models. Its API is the same on both targets; the difference lies in `transport/native.rs` and
//! `transport/browser.rs`.
//!
//! [`start`] gives three things: a [`Handle`] to say what should happen, the [`Events`] that tell what happened, and
//! the driver, a future that does the work. The caller runs the driver (`spawn_local` in a browser, where it is not
//! `Send`; a native node gives it a thread of its own by `start_on_thread` instead, together with whoever takes the
//! events) and keeps taking events: while nobody takes them, the network stands still, so that a busy node slows its
//! peers down instead of filling its memory.
//!
//! ```
//! # async fn example() -> Result<(), network::Error> {
//! use futures::StreamExt;
//! use network::{Config, Event, Identity};
//!
//! let mut config = Config::new(Identity::generate());
//! config.bootstrap = vec!["/ip4/127.0.0.1/tcp/4001/ws".parse().expect("an address")];
//! let (handle, mut events, driver) = network::start(config)?;
//! # #[cfg(not(target_arch = "wasm32"))]
//! # fn spawn(driver: impl Future<Output = ()> + Send + 'static) {}
//! # #[cfg(target_arch = "wasm32")]
//! # fn spawn(driver: impl Future<Output = ()> + 'static) {}
//! spawn(driver);
//! while let Some(event) = events.next().await {
//!     if let Event::Message { peer, message } = event {
//!         println!("{} from {peer}", message.kind());
//!     }
//! }
//! # Ok(()) }
//! ```

mod behaviour;
mod config;
mod connection;
mod driver;
mod event;
mod forwarded;
mod gate;
mod gossip;
mod handle;
mod identity;
mod observed;
mod origin;
mod providers;
mod queue;
mod quiet;
mod reachability;
mod reader;
mod relaying;
mod secret;
mod streams;
#[cfg(not(target_arch = "wasm32"))]
mod thread;
mod transport;
mod turn;
mod woken;
mod writer;

pub use config::Config;
pub use connection::{Connection, Traffic, Transport, Usage};
pub use event::{Event, Events, Path};
pub use forwarded::Forwarded;
pub use gate::{ConnectionLimits, Refused};
pub use handle::{Handle, SendError};
pub use identity::{Identity, InvalidIdentity};
pub use libp2p::{Multiaddr, PeerId};
pub use origin::customer;
pub use reachability::{Outcomes, Reserve};
pub use relaying::{Circuits, RelayLimits};
pub use secret::{InvalidSecret, Secret};
#[cfg(not(target_arch = "wasm32"))]
pub use thread::start_on_thread;
pub use turn::{Grant, Granter};
pub use webrtc::IceServer;
#[cfg(not(target_arch = "wasm32"))]
pub use webrtc::native::{Certificate, InvalidCertificate};

/// Names something in the DHT: the digest of a manifest or of a fragment.
pub type Key = protocol::Digest;

/// Why the network cannot start. What goes wrong later is an [`Event`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The encryption layer refused the identity.
    #[error("cannot set up encryption: {0}")]
    Encryption(String),
    /// No certificate for WebRTC could be made.
    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Certificate(#[from] InvalidCertificate),
    /// The machine's name resolution cannot be used.
    #[error("cannot set up name resolution: {0}")]
    Resolver(std::io::Error),
    /// What spreads heartbeats cannot be set up.
    #[error("cannot set up gossip: {0}")]
    Gossip(String),
    /// The machine gives no thread.
    #[cfg(not(target_arch = "wasm32"))]
    #[error("cannot start the network's thread: {0}")]
    Thread(std::io::Error),
}

/// Sets up a node. Nothing happens before the returned driver runs; it ends after [`Handle::shutdown`], or when the
/// last [`Handle`] and the [`Events`] are dropped.
///
/// # Errors
/// If encryption or name resolution cannot be set up. An address that cannot be listened on is an
/// [`Event::ListenFailed`].
pub fn start(config: Config) -> Result<(Handle, Events, impl Future<Output = ()>), Error> {
    let (handle, events, ends) = handle::connect(&config);
    let driver = driver::Driver::new(config, ends)?;
    Ok((handle, events, driver.run()))
}

//! Drives real browsers and real nodes, and locks them in.
//!
//! The tests are in `e2e/`; this is what they stand on. A [`Browser`] is Chromium spoken to over its debugging pipe,
//! with no driver in between; a [`Page`] is one tab; a [`Node`] is an `iap2p` process. [`namespace::enter`] moves the
//! whole program into a network namespace from which no packet gets out, so that tests can neither reach nor be
//! reached by anything else.
//!
//! Nothing here sleeps and hopes: whatever takes time is a condition that is asked again until its deadline.

mod authority;
mod axe;
mod bare;
mod browser;
pub mod data_channel;
pub mod experiments;
mod identity;
pub mod js_libp2p;
pub mod lab;
pub mod link;
pub mod namespace;
mod network;
mod node;
mod page;
mod pipe;
mod proxy;
mod video;
mod visitor;
mod wait;
mod watch;
mod web_server;

pub use authority::{Authority, get, get_plainly};
pub use axe::axe;
pub use browser::Browser;
pub use identity::Identity;
pub use network::{Answer, Network, flip_a_bit};
pub use node::{FRAGMENT_SIZE, Node, Program, dist, model};
pub use page::{Page, Screen};
pub use proxy::Proxy;
pub use video::Video;
pub use visitor::{Audience, Ending, PeerRow, Said, Visitor};
pub use wait::{PATIENCE, until};
pub use watch::metric;
pub use web_server::WebServer;

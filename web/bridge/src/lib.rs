//! What the page and its workers say to each other, and where they keep things.
//!
//! The application in the browser runs in three places: the *page* (user interface, and libp2p because
//! `RTCPeerConnection` exists nowhere else), the *engine* worker (swarm, session, tokenizer, clocks) and the
//! *compute* workers (fragments and kernels). This crate holds the words between them and nothing that decides:
//!
//! - [`messages`]: commands and reports, typed; the bulk (activations, fragments) travels beside them as one
//!   transferred buffer;
//! - [`status`]: the view-model, everything the user interface shows about the network;
//! - [`flow`]: how much the page tells the engine before the engine gets on;
//! - [`port`]: one end of such a conversation over a `Worker`, a `MessagePort` or a worker's own scope;
//! - [`locks`]: what one tab of the browser has and the others must not take;
//! - [`transfer`]: messages of the network's protocol, between the page that has the network and the engine;
//! - [`store`]: IndexedDB, shared by all tabs of the browser;
//! - [`archive`]: the conversations in it.
#![warn(missing_docs)]

pub mod archive;
pub mod flow;
pub mod locks;
pub mod messages;
pub mod port;
pub mod status;
pub mod store;
pub mod transfer;

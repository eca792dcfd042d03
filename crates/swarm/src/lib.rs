//! What a node decides: who computes which request, whom to ask again, what to fetch and from whom, whom to trust.
//!
//! The crate is a state machine without input and output ("sans-IO"). It never reads a clock, opens a socket, starts a
//! task or draws a random number, so the browser, the native program and a simulator of thousands of nodes run the very
//! same decisions, and a test replays them to the microsecond. It knows nothing of libp2p (a peer is some bytes) and
//! nothing of transformers (a request is a fragment's index and some bytes).
//!
//! # How a shell drives a [`Node`]
//!
//! 1. Tell it what happened: [`Node::handle_event`], or an order of the user such as [`Node::submit`].
//! 2. Take [`Node::poll_action`] until it returns nothing, and do what it says.
//! 3. Sleep until something happens or until [`Node::poll_timeout`]; then call [`Node::handle_timeout`].
//!
//! Time is a [`Duration`](std::time::Duration) since any fixed moment; it must not go backwards (if it does, deadlines
//! come late, nothing else).
//!
//! ```
//! use swarm::{Action, Catalogue, Config, ContentId, Event, FragmentIndex, FragmentInfo, Node, PeerId, Priority, RequestId, Worker};
//! use std::time::Duration;
//!
//! let now = Duration::ZERO;
//! let mut node = Node::new(Config::new(PeerId::new(b"me")));
//! let fragment = FragmentInfo { content: ContentId([1; 32]), bytes: 10, always_active: true };
//! node.set_model(ContentId([9; 32]), now);
//! node.set_catalogue(Catalogue { fragments: vec![fragment] }, now);
//! node.set_holdings([FragmentIndex(0)], [FragmentIndex(0)], now);
//!
//! node.submit(RequestId(1), FragmentIndex(0), "2 + 2".into(), Priority::Interactive, now)?;
//! let mut answered = None;
//! while let Some(action) = node.poll_action() {
//!     match action {
//!         Action::Compute { ticket, .. } => node.handle_event(Event::Computed { ticket, result: Ok("4".into()) }, now),
//!         Action::Answer { request, by, body } => {
//!             node.accept(request, now);
//!             answered = Some((by, body));
//!         }
//!         _ => {}
//!     }
//! }
//! assert_eq!(answered, Some((Worker::Local, "4".into())));
//! # Ok::<(), swarm::SubmitError>(())
//! ```
//!
//! # Promises
//!
//! - A request is answered as long as somebody holds its fragment, whoever leaves, stalls, errs or lies in between; an
//!   answer is delivered once. It fails only after [`Config::grace`] without a holder
//!   ([`Config::conditional_grace`] for what only some tokens need) or [`Config::give_up`] without an answer, with words
//!   that name the fragment.
//! - Content is checked against its name block by block: who sends a wrong one is known at once, and nothing wrong is
//!   ever handed to the shell.
//! - The same events in the same order give the same actions: nothing depends on the order of a hash map.
//! - Everything that strangers can make grow is bounded: peers, queues, bitmaps, bans. At the bound the newcomer is
//!   refused, never somebody who is being served.

mod absence;
mod blocks;
pub mod churn;
mod config;
mod content;
mod dispatch;
mod download;
mod event;
mod failure;
mod fair;
mod healing;
mod heartbeats;
mod jobs;
mod latency;
mod members;
mod membership;
mod node;
mod peers;
pub mod placement;
mod queue;
mod recent;
pub mod repair;
pub mod replication;
pub mod routing;
mod serve;
pub mod stages;
mod stats;
mod timers;
mod types;
mod upload;

pub use blocks::Content;
pub use config::Config;
pub use download::{Window, WindowLimits};
pub use event::{Action, ComputeError, Event};
pub use failure::{Failure, SubmitError};
pub use jobs::JobFailure;
pub use node::Node;
pub use protocol::Priority;
pub use queue::Queue;
pub use recent::{Asked, Recent};
pub use replication::Replication;
pub use stats::{Coverage, DownloadStats, Membership, PeerStats, Stats, Totals};
pub use types::{
    Catalogue, ContentId, DownloadId, FragmentIndex, FragmentInfo, PeerId, RequestId, Ticket,
    Worker,
};

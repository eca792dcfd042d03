use std::{
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt, channel::mpsc};
use libp2p::{Multiaddr, PeerId};
use protocol::{Heartbeat, Message};

use crate::{Key, Transport};

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A peer is there. Messages to it are accepted from now on; its [`protocol::Hello`] follows if it speaks our
    /// protocol.
    Connected {
        /// Who.
        peer: PeerId,
        /// How.
        path: Path,
    },
    /// A connected peer is now reached another way, usually directly instead of through a relay. Nothing was lost.
    PathChanged {
        /// Who.
        peer: PeerId,
        /// How from now on.
        path: Path,
    },
    /// The peer is gone, and with it every message to it that was still waiting.
    Disconnected {
        /// Who.
        peer: PeerId,
    },
    /// A peer said something. The first is always a [`protocol::Hello`]; there is another one whenever its stream was
    /// opened anew.
    Message {
        /// Who.
        peer: PeerId,
        /// What.
        message: Message,
    },
    /// A node, connected or not, has said what it holds. That it was this node is certain.
    Heartbeat {
        /// Who.
        peer: PeerId,
        /// What.
        heartbeat: Heartbeat,
    },
    /// Most of those who were asked see this node by this address, which means the same everywhere.
    Observed {
        /// The address.
        ip: IpAddr,
        /// Others can dial it there.
        dialled: bool,
    },
    /// A peer broke the protocol. It is being disconnected.
    Violation {
        /// Who.
        peer: PeerId,
        /// How, for the log.
        reason: String,
    },
    /// A round trip to a peer took this long (measured now and then).
    RoundTrip {
        /// Who.
        peer: PeerId,
        /// From ping to pong.
        time: Duration,
    },
    /// This node can now be reached here (including through a relay). Ends in `/p2p/<our id>`.
    Listening {
        /// Where.
        address: Multiaddr,
    },
    /// This node cannot listen here.
    ListenFailed {
        /// Where.
        address: Multiaddr,
        /// Why, for people.
        reason: String,
    },
    /// The node asked for with [`crate::Handle::dial`] could not be reached.
    DialFailed {
        /// Its address.
        address: Multiaddr,
        /// Why, for people.
        reason: String,
    },
    /// A bootstrap node did not answer.
    BootstrapUnreachable {
        /// Which.
        address: Multiaddr,
        /// Why, for people.
        reason: String,
        /// When it will be tried again.
        retry_in: Duration,
    },
    /// The answer to [`crate::Handle::find_providers`]. Those not connected yet are being dialled.
    ProvidersFound {
        /// What was looked for.
        key: Key,
        /// Who announced it; this node itself is left out.
        providers: Vec<PeerId>,
    },
}

/// How a peer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its address on the connection in use.
    pub address: Multiaddr,
    /// Through a relay.
    pub relayed: bool,
}

impl Path {
    /// What carries it; of a relayed one, the way to the relay.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::of(&self.address)
    }

    /// Whether a connection through a relay was needed to arrange it.
    pub(crate) fn is_arranged(&self) -> bool {
        self.transport() == Transport::WebRtc
    }
}

/// What happened, in order: a [`Stream`] that ends when the node has shut down. Keep taking from it (see the
/// [crate's documentation](crate)).
#[derive(Debug)]
pub struct Events(pub(crate) mpsc::Receiver<Event>);

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.0.poll_next_unpin(cx)
    }
}

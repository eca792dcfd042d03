//! What is known of a connected peer, and which of its connections is the one to use. Pure state.

use std::collections::VecDeque;

use futures::channel::oneshot;
use libp2p::{Multiaddr, PeerId, Stream, swarm::ConnectionId};
use protocol::Channel;
use web_time::Instant;

use crate::{
    Path,
    connection::{Counters, Link},
    handle::Outgoing,
    reader::Reader,
};

/// Streams of one channel that wait while an earlier one is still being read. More are a peer's mistake.
const MAX_WAITING_READERS: usize = 3;

pub(super) struct Peer {
    /// See [`crate::reader::Source`].
    pub(super) session: u64,
    /// Never empty; bounded by the limit of connections per peer.
    pub(super) connections: Vec<Connection>,
    /// The one that new streams are opened on.
    pub(super) preferred: ConnectionId,
    pub(super) outgoing: Outgoing,
    /// Since when it is connected.
    pub(super) since: Instant,
    compute: Half,
    content: Half,
    /// A look at connections that are not needed is planned.
    pub(super) pruning: bool,
    /// How often connections that are not needed were found in use.
    pub(super) prune_rounds: u32,
    /// The peer can arrange a direct connection over a relayed one.
    pub(super) signalling: bool,
    /// It speaks nothing of ours.
    pub(super) foreign: bool,
    /// Where the peer says it can be reached directly.
    pub(super) direct_addresses: Vec<Multiaddr>,
    pub(super) upgrade_attempts: u32,
    /// A direct connection is being tried.
    pub(super) upgrading: Option<ConnectionId>,
    /// Where the stream goes that is being opened to arrange it.
    pub(super) awaiting_signalling: Option<oneshot::Sender<Stream>>,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) path: Path,
    pub(super) counters: Counters,
    /// The dialling side has the lower peer id of the two.
    pub(super) dialled_by_lower: bool,
    pub(super) failed_pings: u32,
}

/// Both directions of one channel.
#[derive(Default)]
pub(super) struct Half {
    pub(super) writer: Writer,
    /// Failures to open the stream in a row.
    pub(super) failures: u32,
    /// The connection whose stream is being read.
    pub(super) reading: Option<ConnectionId>,
    /// Read after that one, so that messages keep their order when the connection changes.
    pub(super) waiting: VecDeque<Reader>,
}

#[derive(Default)]
pub(super) enum Writer {
    /// No stream; one is opened for the first message.
    #[default]
    Idle,
    Opening(ConnectionId),
    Open {
        connection: ConnectionId,
        /// Taken when the stream has been told to end.
        stop: Option<oneshot::Sender<()>>,
    },
    /// Opening failed; the next try has its time.
    Pausing,
    /// The peer does not speak this protocol.
    Unsupported,
}

impl Peer {
    pub(super) fn new(session: u64, first: Connection) -> Self {
        Self {
            session,
            preferred: first.id,
            connections: vec![first],
            outgoing: Outgoing::new(),
            since: Instant::now(),
            compute: Half::default(),
            content: Half::default(),
            pruning: false,
            prune_rounds: 0,
            signalling: false,
            foreign: false,
            direct_addresses: Vec::new(),
            upgrade_attempts: 0,
            upgrading: None,
            awaiting_signalling: None,
        }
    }

    pub(super) fn half(&mut self, channel: Channel) -> &mut Half {
        match channel {
            Channel::Compute => &mut self.compute,
            Channel::Content => &mut self.content,
        }
    }

    pub(super) fn connection(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections
            .iter_mut()
            .find(|connection| connection.id == id)
    }

    pub(super) fn relayed_connection(&self) -> Option<ConnectionId> {
        self.connections
            .iter()
            .find(|connection| connection.path.relayed)
            .map(|connection| connection.id)
    }

    pub(super) fn has_direct_connection(&self) -> bool {
        self.connections
            .iter()
            .any(|connection| !connection.path.relayed)
    }

    /// Chooses the connection to use; gives its path if that is news. Both sides choose alike: direct before relayed,
    /// dialled before arranged, which costs more, then the one that the lower peer id dialled, then the oldest.
    pub(super) fn choose(&mut self) -> Option<Path> {
        let best = self
            .connections
            .iter()
            .min_by_key(|it| (it.path.relayed, it.path.is_arranged(), !it.dialled_by_lower))?;
        let changed = best.id != self.preferred;
        self.preferred = best.id;
        changed.then(|| best.path.clone())
    }

    /// All connections, the preferred one first.
    pub(super) fn links(&self) -> Vec<Link> {
        let (first, rest): (Vec<_>, Vec<_>) = self
            .connections
            .iter()
            .partition(|it| it.id == self.preferred);
        first
            .into_iter()
            .chain(rest)
            .map(|connection| Link {
                path: connection.path.clone(),
                counters: connection.counters.clone(),
            })
            .collect()
    }

    /// Tells streams on other connections than the preferred one to end.
    pub(super) fn stop_writers_elsewhere(&mut self) {
        let preferred = self.preferred;
        for channel in Channel::ALL {
            if let Writer::Open { connection, stop } = &mut self.half(channel).writer
                && *connection != preferred
                && let Some(stop) = stop.take()
            {
                // Fails when the stream has just ended by itself.
                let _ = stop.send(());
            }
        }
    }

    /// Whether a stream of ours still runs over this connection.
    pub(super) fn is_in_use(&mut self, id: ConnectionId) -> bool {
        Channel::ALL.into_iter().any(|channel| {
            let half = self.half(channel);
            let written =
                matches!(half.writer, Writer::Open { connection, .. } if connection == id);
            let waits = half
                .waiting
                .iter()
                .any(|reader| reader.source().connection == id);
            written || half.reading == Some(id) || waits
        })
    }

    /// Takes a new inbound stream; gives it back if it is to be read at once.
    pub(super) fn admit(&mut self, reader: Reader) -> Option<Reader> {
        let source = reader.source();
        let half = self.half(source.channel);
        if half.reading.is_none() {
            half.reading = Some(source.connection);
            return Some(reader);
        }
        if half.waiting.len() < MAX_WAITING_READERS {
            half.waiting.push_back(reader);
        }
        None
    }

    /// The stream that is being read has ended; gives the next one to read.
    pub(super) fn next_reader(&mut self, channel: Channel) -> Option<Reader> {
        let half = self.half(channel);
        let next = half.waiting.pop_front();
        half.reading = next.as_ref().map(|reader| reader.source().connection);
        next
    }
}

impl Connection {
    pub(super) fn new(id: ConnectionId, path: Path, dialler: PeerId, other: PeerId) -> Self {
        Self {
            id,
            path,
            counters: Counters::default(),
            dialled_by_lower: dialler < other,
            failed_pings: 0,
        }
    }
}

//! What is known of a connected peer, and which of its connections is the one to use. Pure state.

use std::collections::VecDeque;

use futures::channel::oneshot;
use libp2p::{Multiaddr, PeerId, Stream, swarm::ConnectionId};
use protocol::Channel;
use web_time::Instant;

use super::{inbound::Inbound, silence::Silence};
use crate::{
    Path,
    connection::{Counters, Link},
    handle::Outgoing,
    transport::Places,
};

/// For each stream of a channel so many may wait while earlier ones are still being read. More are a peer's mistake.
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
    /// Direct connections that it is arranging.
    pub(super) arranging: Places,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) path: Path,
    pub(super) counters: Counters,
    /// The dialling side has the lower peer id of the two.
    pub(super) dialled_by_lower: bool,
    pub(super) silence: Silence,
    /// It was told to close, which may take a while.
    pub(super) closing: bool,
}

/// Both directions of one channel.
pub(super) struct Half {
    channel: Channel,
    /// The streams to the peer, as many as the channel may have.
    pub(super) lanes: Vec<Lane>,
    /// The connections of the streams that are being read; no more than the channel may have.
    reading: Vec<ConnectionId>,
    /// Read after those, so that messages keep their order when the connection changes.
    waiting: VecDeque<Inbound>,
}

/// The place of one stream to the peer.
#[derive(Default)]
pub(super) struct Lane {
    pub(super) writer: Writer,
    /// Failures to open the stream in a row.
    pub(super) failures: u32,
    /// We will hear when messages wait for it.
    pub(super) awaited: bool,
}

#[derive(Default)]
pub(super) enum Writer {
    /// No stream; one is opened once it is wanted.
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
            compute: Half::new(Channel::Compute),
            content: Half::new(Channel::Content),
            pruning: false,
            prune_rounds: 0,
            signalling: false,
            foreign: false,
            direct_addresses: Vec::new(),
            upgrade_attempts: 0,
            upgrading: None,
            awaiting_signalling: None,
            arranging: Places::default(),
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

    /// Chooses the connection to use; gives its path if that is news. Both sides choose alike, of those that are to stay:
    /// direct before relayed, dialled before arranged, which costs more, then the one that the lower peer id dialled, then
    /// the oldest.
    pub(super) fn choose(&mut self) -> Option<Path> {
        let best = self.connections.iter().min_by_key(|it| {
            (
                it.closing,
                it.path.relayed,
                it.path.is_arranged(),
                !it.dialled_by_lower,
            )
        })?;
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
        for lane in self.compute.lanes.iter_mut().chain(&mut self.content.lanes) {
            if let Writer::Open { connection, stop } = &mut lane.writer
                && *connection != preferred
                && let Some(stop) = stop.take()
            {
                // Fails when the stream has just ended by itself.
                let _ = stop.send(());
            }
        }
    }

    /// A connection has closed. Says whether a stream of it is being read.
    pub(super) fn close_waiting(&mut self, gone: ConnectionId) -> bool {
        let mut is_read = false;
        for half in [&mut self.compute, &mut self.content] {
            is_read |= half.reading.contains(&gone);
            let of_it = |reader: &&mut Inbound| reader.source().connection == gone;
            half.waiting
                .iter_mut()
                .filter(of_it)
                .for_each(Inbound::close);
        }
        is_read
    }

    /// Another round has passed; see [`Half::keep_waiting`].
    pub(super) fn keep_waiting(&mut self, most: usize) {
        self.compute.keep_waiting(most);
        self.content.keep_waiting(most);
    }

    /// Whether a stream of ours still runs over this connection.
    pub(super) fn is_in_use(&self, id: ConnectionId) -> bool {
        self.compute.is_in_use(id) || self.content.is_in_use(id)
    }
}

impl Half {
    fn new(channel: Channel) -> Self {
        Self {
            channel,
            lanes: (0..channel.streams()).map(|_| Lane::default()).collect(),
            reading: Vec::new(),
            waiting: VecDeque::new(),
        }
    }

    fn is_in_use(&self, id: ConnectionId) -> bool {
        let is_written = |lane: &Lane| matches!(lane.writer, Writer::Open { connection, .. } if connection == id);
        let mut waiting = self.waiting.iter();
        self.lanes.iter().any(is_written)
            || self.reading.contains(&id)
            || waiting.any(|reader| reader.source().connection == id)
    }

    /// No stream has been needed so far, or none any more.
    pub(super) fn is_idle(&self) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.all(|lane| matches!(lane.writer, Writer::Idle))
    }

    /// A stream that is being opened on this connection: which of them it is makes no difference.
    pub(super) fn opening(&self, id: ConnectionId) -> Option<usize> {
        self.lanes
            .iter()
            .position(|lane| matches!(lane.writer, Writer::Opening(on) if on == id))
    }

    /// Streams that came are not read yet.
    #[cfg(test)]
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes a new inbound stream; gives it back if it is to be read at once.
    pub(super) fn admit(&mut self, reader: Inbound) -> Option<Inbound> {
        let streams = self.channel.streams();
        if self.reading.len() < streams {
            self.reading.push(reader.source().connection);
            return Some(reader);
        }
        if self.waiting.len() < MAX_WAITING_READERS * streams {
            self.waiting.push_back(reader);
        }
        None
    }

    /// Another round has passed. Gives up the streams whose turn has not come for so many, with what has come of them:
    /// nobody waits longer whose earlier streams end.
    pub(super) fn keep_waiting(&mut self, most: usize) {
        self.waiting.retain_mut(|reader| reader.wait() <= most);
    }

    /// The peer is about to go: what it has begun besides is not read any more.
    pub(super) fn read_no_more(&mut self) {
        self.waiting.clear();
    }

    /// A stream of this connection that was being read has ended; gives the next one to read.
    pub(super) fn next_reader(&mut self, ended: ConnectionId) -> Option<Inbound> {
        if let Some(place) = self.reading.iter().position(|id| *id == ended) {
            self.reading.swap_remove(place);
        }
        let next = self.waiting.pop_front()?;
        self.reading.push(next.source().connection);
        Some(next)
    }
}

impl Connection {
    pub(super) fn new(id: ConnectionId, path: Path, dialler: PeerId, other: PeerId) -> Self {
        Self {
            id,
            path,
            counters: Counters::default(),
            dialled_by_lower: dialler < other,
            silence: Silence::default(),
            closing: false,
        }
    }
}

//! The two streams to, and the two from, each peer.

use std::time::Duration;

use futures::channel::oneshot;
use libp2p::{PeerId, Stream, swarm::ConnectionId};
use protocol::Channel;

use super::{Done, Driver, peer::Writer};
use crate::{
    Event,
    handle::lock,
    reader::{Read, Reader, Source},
    streams::{self, Outcome, Purpose},
    writer,
};

/// The wait after a stream could not be opened, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

impl Driver {
    /// The compute stream is opened at once, for hello; the content stream once it is wanted.
    pub(super) fn start_writers(&mut self, peer: PeerId) {
        self.open_writer(peer, Channel::Compute);
        self.await_content(peer);
    }

    fn await_content(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        known.half(Channel::Content).writer = Writer::Idle;
        let (session, queue) = (known.session, known.outgoing.content.clone());
        self.tasks.push(Box::pin(async move {
            queue.wanted().await;
            Done::Wanted {
                peer,
                session,
                channel: Channel::Content,
            }
        }));
    }

    fn open_writer(&mut self, peer: PeerId, channel: Channel) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let connection = known.preferred;
        known.half(channel).writer = Writer::Opening(connection);
        self.swarm
            .behaviour_mut()
            .streams
            .open(peer, connection, Purpose::Messages(channel));
    }

    pub(super) fn stream_wanted(&mut self, peer: PeerId, session: u64, channel: Channel) {
        let Some(known) = self.peers.get_mut(&peer).filter(|it| it.session == session) else {
            return;
        };
        if matches!(known.half(channel).writer, Writer::Idle) {
            self.open_writer(peer, channel);
        }
    }

    pub(super) fn reopen(&mut self, peer: PeerId, session: u64, channel: Channel) {
        let Some(known) = self.peers.get_mut(&peer).filter(|it| it.session == session) else {
            return;
        };
        if matches!(known.half(channel).writer, Writer::Pausing) {
            self.open_writer(peer, channel);
        }
    }

    pub(super) fn stream_event(&mut self, event: streams::Event) {
        let streams::Event {
            peer,
            connection,
            purpose,
            outcome,
        } = event;
        match (purpose, outcome) {
            (Purpose::Signalling, outcome) => self.signalling_event(peer, outcome),
            (Purpose::Messages(channel), Outcome::Inbound(stream)) => {
                self.inbound(peer, connection, channel, stream);
            }
            (Purpose::Messages(channel), Outcome::Opened(stream)) => {
                self.opened(peer, connection, channel, stream)
            }
            (Purpose::Messages(channel), Outcome::Unsupported) => {
                let Some(known) = self.peers.get_mut(&peer) else {
                    return;
                };
                known.half(channel).writer = Writer::Unsupported;
                known.outgoing.queue(channel).close();
            }
            (Purpose::Messages(channel), Outcome::Failed(reason)) => {
                tracing::debug!(%peer, ?channel, reason, "stream not opened");
                self.pause_writer(peer, channel);
            }
        }
    }

    fn opened(&mut self, peer: PeerId, connection: ConnectionId, channel: Channel, stream: Stream) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let awaited = matches!(known.half(channel).writer, Writer::Opening(id) if id == connection);
        if !awaited {
            return;
        }
        if connection != known.preferred {
            return self.open_writer(peer, channel);
        }
        let (stop, stopped) = oneshot::channel();
        let (session, queue) = (known.session, known.outgoing.queue(channel).clone());
        let Some(counters) = known.connection(connection).map(|it| it.counters.clone()) else {
            return;
        };
        let half = known.half(channel);
        half.writer = Writer::Open {
            connection,
            stop: Some(stop),
        };
        half.failures = 0;
        let hello = (channel == Channel::Compute).then(|| lock(&self.ends.shared).hello.clone());
        self.tasks.push(Box::pin(async move {
            writer::write(stream, &counters, channel, queue, hello, stopped).await;
            Done::Written {
                peer,
                session,
                channel,
                connection,
            }
        }));
    }

    /// A stream to a peer has ended: because it was told to, because its connection has closed, or for a reason of the
    /// peer's.
    pub(super) fn written(
        &mut self,
        peer: PeerId,
        session: u64,
        channel: Channel,
        connection: ConnectionId,
    ) {
        let Some(known) = self.peers.get_mut(&peer).filter(|it| it.session == session) else {
            return;
        };
        let moved = known.preferred != connection;
        match channel {
            Channel::Compute if moved => self.open_writer(peer, channel),
            Channel::Compute => self.pause_writer(peer, channel),
            Channel::Content => self.await_content(peer),
        }
    }

    fn pause_writer(&mut self, peer: PeerId, channel: Channel) {
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let session = known.session;
        let half = known.half(channel);
        half.writer = Writer::Pausing;
        let pause = PAUSE
            .saturating_mul(1 << half.failures.min(8))
            .min(MAX_PAUSE);
        half.failures += 1;
        self.after(
            pause,
            Done::Reopen {
                peer,
                session,
                channel,
            },
        );
    }

    /// A connection has closed while a stream was being opened on it: there will be no answer.
    pub(super) fn reopen_lost(&mut self, peer: PeerId, lost: ConnectionId) {
        for channel in Channel::ALL {
            let Some(known) = self.peers.get_mut(&peer) else {
                return;
            };
            if matches!(known.half(channel).writer, Writer::Opening(id) if id == lost) {
                self.open_writer(peer, channel);
            }
        }
    }

    fn inbound(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        channel: Channel,
        stream: Stream,
    ) {
        self.acquaint(peer);
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let source = Source {
            peer,
            session: known.session,
            connection,
            channel,
        };
        let Some(counters) = known.connection(connection).map(|it| it.counters.clone()) else {
            return;
        };
        if let Some(reader) = known.admit(Reader::new(source, stream, counters)) {
            self.readers.push(reader);
        }
    }

    pub(super) fn read(&mut self, source: Source, read: Read) {
        let Source {
            peer,
            session,
            channel,
            ..
        } = source;
        // What was read too late is nobody's any more.
        let Some(known) = self.peers.get_mut(&peer).filter(|it| it.session == session) else {
            return;
        };
        match read {
            Read::Message(message) => self.emit(Event::Message { peer, message }),
            Read::End => {
                let next = known.next_reader(channel);
                self.readers.extend(next);
            }
            Read::Violation(reason) => {
                self.emit(Event::Violation { peer, reason });
                let _ = self.swarm.disconnect_peer_id(peer);
            }
        }
    }
}

//! The streams to and from each peer.

use std::time::Duration;

use futures::channel::oneshot;
use libp2p::{PeerId, Stream, swarm::ConnectionId};
use protocol::Channel;

use super::{
    Done, Driver,
    inbound::Inbound,
    peer::{Lane, Writer},
};
use crate::{
    Event, Transport,
    handle::lock,
    reader::{Read, Reader, Source},
    streams::{self, Outcome, Purpose},
    writer,
};

/// The wait after a stream could not be opened, doubled each time.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// What must wait for each stream that is open already before another one is opened: what Yamux lets a new one carry.
const BACKLOG: usize = 256 << 10;

/// Of which stream to a peer something is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    peer: PeerId,
    /// See [`Source::session`].
    session: u64,
    channel: Channel,
    /// Of those that the channel may have.
    lane: usize,
}

impl Driver {
    /// The compute stream is opened at once, for hello; content streams once they are wanted.
    pub(super) fn start_writers(&mut self, peer: PeerId) {
        let Some(session) = self.peers.get(&peer).map(|it| it.session) else {
            return;
        };
        for channel in Channel::ALL {
            for lane in 0..channel.streams() {
                let place = Place {
                    peer,
                    session,
                    channel,
                    lane,
                };
                match channel {
                    Channel::Compute => self.open_writer(place),
                    Channel::Content => self.await_messages(place),
                }
            }
        }
    }

    fn lane(&mut self, place: Place) -> Option<&mut Lane> {
        let known = self.peers.get_mut(&place.peer)?;
        if known.session != place.session {
            return None;
        }
        known.half(place.channel).lanes.get_mut(place.lane)
    }

    fn await_messages(&mut self, place: Place) {
        let Some(lane) = self.lane(place) else { return };
        lane.writer = Writer::Idle;
        if std::mem::replace(&mut lane.awaited, true) {
            return;
        }
        let Some(known) = self.peers.get(&place.peer) else {
            return;
        };
        let queue = known.outgoing.queue(place.channel).clone();
        self.tasks.push(Box::pin(async move {
            queue.holds_more_than(place.lane * BACKLOG).await;
            Done::Wanted(place)
        }));
    }

    /// This stream has ended; it is opened again once it is wanted, and so are those that are not open.
    fn await_idle(&mut self, ended: Place) {
        for lane in 0..ended.channel.streams() {
            let place = Place { lane, ..ended };
            let is_idle = |lane: &mut Lane| matches!(lane.writer, Writer::Idle);
            if place.lane == ended.lane || self.lane(place).is_some_and(is_idle) {
                self.await_messages(place);
            }
        }
    }

    /// Opens a stream if it is of use: all that WebRTC has on one connection share a window, so that the first carries as
    /// much as several.
    fn open_writer(&mut self, place: Place) {
        let Some(known) = self.peers.get_mut(&place.peer) else {
            return;
        };
        let connection = known.preferred;
        let transport = known.connection(connection).map(|it| it.path.transport());
        let one_window = matches!(transport, Some(Transport::WebRtc | Transport::WebRtcDirect));
        let Some(lane) = self.lane(place) else { return };
        if one_window && place.lane > 0 {
            lane.writer = Writer::Idle;
            return;
        }
        lane.writer = Writer::Opening(connection);
        self.swarm.behaviour_mut().streams.open(
            place.peer,
            connection,
            Purpose::Messages(place.channel),
        );
    }

    pub(super) fn stream_wanted(&mut self, place: Place) {
        let Some(lane) = self.lane(place) else { return };
        lane.awaited = false;
        if matches!(lane.writer, Writer::Idle) {
            self.open_writer(place);
        }
    }

    pub(super) fn reopen(&mut self, place: Place) {
        if self
            .lane(place)
            .is_some_and(|lane| matches!(lane.writer, Writer::Pausing))
        {
            self.open_writer(place);
        }
    }

    pub(super) fn stream_event(&mut self, event: streams::Event) {
        let streams::Event {
            peer,
            connection,
            purpose,
            outcome,
        } = event;
        let channel = match purpose {
            Purpose::Signalling => return self.signalling_event(peer, connection, outcome),
            Purpose::Messages(channel) => channel,
        };
        if let Outcome::Inbound(stream) = outcome {
            return self.inbound(peer, connection, channel, stream);
        }
        let Some(known) = self.peers.get_mut(&peer) else {
            return;
        };
        let session = known.session;
        let Some(lane) = known.half(channel).opening(connection) else {
            return;
        };
        let place = Place {
            peer,
            session,
            channel,
            lane,
        };
        match outcome {
            Outcome::Opened(stream) => self.opened(place, connection, stream),
            Outcome::Unsupported => {
                for lane in &mut known.half(channel).lanes {
                    lane.writer = Writer::Unsupported;
                }
                known.outgoing.queue(channel).close();
            }
            Outcome::Failed(reason) => {
                tracing::debug!(%peer, ?channel, reason, "stream not opened");
                self.pause_writer(place);
            }
            Outcome::Inbound(_) => {}
        }
    }

    fn opened(&mut self, place: Place, connection: ConnectionId, stream: Stream) {
        let Some(known) = self.peers.get_mut(&place.peer) else {
            return;
        };
        if connection != known.preferred {
            return self.open_writer(place);
        }
        let (stop, stopped) = oneshot::channel();
        let queue = known.outgoing.queue(place.channel).clone();
        let Some(counters) = known.connection(connection).map(|it| it.counters.clone()) else {
            return;
        };
        let Some(lane) = self.lane(place) else { return };
        lane.writer = Writer::Open {
            connection,
            stop: Some(stop),
        };
        lane.failures = 0;
        let channel = place.channel;
        let hello = (channel == Channel::Compute).then(|| lock(&self.ends.shared).hello.clone());
        self.tasks.push(Box::pin(async move {
            writer::write(stream, &counters, channel, queue, hello, stopped).await;
            Done::Written { place, connection }
        }));
    }

    /// A stream to a peer has ended: because it was told to, because its connection has closed, or for a reason of the
    /// peer's.
    pub(super) fn written(&mut self, place: Place, connection: ConnectionId) {
        // One may have been open when another one was refused: it is not opened again either.
        let is_over = |lane: &mut Lane| matches!(lane.writer, Writer::Unsupported);
        if self.lane(place).is_none_or(is_over) {
            return;
        }
        let preferred = self.peers.get(&place.peer).map(|it| it.preferred);
        let moved = preferred != Some(connection);
        match place.channel {
            Channel::Compute if moved => self.open_writer(place),
            Channel::Compute => self.pause_writer(place),
            // Others may not have been of use over the connection before.
            Channel::Content => self.await_idle(place),
        }
    }

    fn pause_writer(&mut self, place: Place) {
        let Some(lane) = self.lane(place) else { return };
        lane.writer = Writer::Pausing;
        let pause = PAUSE
            .saturating_mul(1 << lane.failures.min(8))
            .min(MAX_PAUSE);
        lane.failures += 1;
        self.after(pause, Done::Reopen(place));
    }

    /// A connection has closed while streams were being opened on it: there will be no answer.
    pub(super) fn reopen_lost(&mut self, peer: PeerId, lost: ConnectionId) {
        for channel in Channel::ALL {
            for _ in 0..channel.streams() {
                let Some(known) = self.peers.get_mut(&peer) else {
                    return;
                };
                let session = known.session;
                let Some(lane) = known.half(channel).opening(lost) else {
                    break;
                };
                self.open_writer(Place {
                    peer,
                    session,
                    channel,
                    lane,
                });
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
        let reader = Inbound::new(Reader::new(source, stream, counters));
        let half = known.half(channel);
        // Who asks for content is answered over as many streams as there may be: they are open when its request comes.
        let answers = channel == Channel::Content && half.is_idle();
        if let Some(reader) = half.admit(reader) {
            self.readers.push(reader);
        }
        if answers {
            for lane in 0..channel.streams() {
                self.open_writer(Place {
                    peer,
                    session: source.session,
                    channel,
                    lane,
                });
            }
        }
    }

    /// A connection has closed: what has come over it is read, and then others may be.
    pub(super) fn close_readers(&mut self, peer: PeerId, gone: ConnectionId) {
        let known = self.peers.get_mut(&peer);
        if known.is_some_and(|it| it.close_waiting(gone)) {
            let of_it = |reader: &&mut Inbound| reader.source().connection == gone;
            self.readers
                .iter_mut()
                .filter(of_it)
                .for_each(Inbound::close);
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
            Read::Message(message) => {
                self.note_serving(peer, &message);
                self.emit(Event::Message { peer, message });
            }
            Read::End => {
                let next = known.half(channel).next_reader(source.connection);
                self.readers.extend(next);
            }
            Read::Violation(reason) => {
                known.half(channel).read_no_more();
                self.emit(Event::Violation { peer, reason });
                self.part_from(peer);
            }
        }
    }
}

//! Streams on a connection of our choice.
//!
//! A pair of peers may have two connections for a moment, one through a relay and its direct replacement. Which of
//! them carries a stream matters then; that is why this behaviour opens streams on one given connection, never dials,
//! and says on which connection a stream came in.

mod handler;

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};
use protocol::Channel;

use handler::{Handler, Open, Report};

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Our messages.
    Messages(Channel),
    /// Arranging a direct connection between two browsers.
    Signalling,
}

impl Purpose {
    pub(crate) const fn protocol(self) -> StreamProtocol {
        match self {
            Self::Messages(channel) => StreamProtocol::new(channel.name()),
            Self::Signalling => StreamProtocol::new(webrtc::core::signaling::PROTOCOL),
        }
    }
}

/// What became of a stream.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The peer opened it.
    Inbound(Stream),
    /// We did.
    Opened(Stream),
    /// The peer does not speak this protocol.
    Unsupported,
    /// It could not be opened, for another reason.
    Failed(String),
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) purpose: Purpose,
    pub(crate) outcome: Outcome,
}

pub(crate) struct Behaviour {
    accepted: Vec<Purpose>,
    /// Bounded: a command is added only by ourselves, an event only by a connection that is being polled.
    actions: VecDeque<ToSwarm<Event, Open>>,
}

impl Behaviour {
    /// Signalling is offered to peers only with `signalling`.
    pub(crate) fn new(signalling: bool) -> Self {
        let mut accepted: Vec<_> = Channel::ALL.map(Purpose::Messages).into();
        if signalling {
            accepted.push(Purpose::Signalling);
        }
        Self {
            accepted,
            actions: VecDeque::new(),
        }
    }

    /// Answered by an [`Event`] with an outcome other than `Inbound`, unless the connection closes first.
    pub(crate) fn open(&mut self, peer: PeerId, connection: ConnectionId, purpose: Purpose) {
        self.actions.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Open(purpose),
        });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(&self.accepted))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(&self.accepted))
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        Report { purpose, outcome }: THandlerOutEvent<Self>,
    ) {
        self.actions.push_back(ToSwarm::GenerateEvent(Event {
            peer,
            connection,
            purpose,
            outcome,
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        // Nothing is added while nobody polls: no waker needed.
        self.actions.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

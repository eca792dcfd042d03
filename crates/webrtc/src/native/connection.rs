use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

use super::{Error, Stream, session::Session};
use crate::core::Route;

/// A connection; its streams are data channels. Closed when dropped.
pub struct Connection {
    session: Arc<Session>,
    route: Route,
    /// Lives as long as the connection.
    kept: Option<Box<dyn std::any::Any + Send>>,
}

impl Connection {
    pub(super) fn new(session: Arc<Session>, route: Route) -> Self {
        Self {
            session,
            route,
            kept: None,
        }
    }

    /// How its packets travel, as far as could be told when it was made.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }

    pub(super) fn keep(&mut self, it: Box<dyn std::any::Any + Send>) {
        self.kept = Some(it);
    }

    pub(super) fn set_route(&mut self, route: Route) {
        self.route = route;
    }

    fn stream(&self, id: str0m::channel::ChannelId) -> Stream {
        Stream::new(Arc::clone(&self.session), id)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.close();
    }
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        let id = ready!(self.session.poll_accept(cx))?;
        Poll::Ready(Ok(self.stream(id)))
    }

    /// A new channel. It can be written to before the peer has answered.
    fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        let id = self.session.open()?;
        Poll::Ready(Ok(self.stream(id)))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.session.close();
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Error>> {
        let end = ready!(self.session.poll_end(cx));
        Poll::Ready(Err(end.into()))
    }
}

use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::LocalBoxFuture};
use futures_timer::Delay;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use send_wrapper::SendWrapper;
use web_sys::RtcPeerConnectionState;

use super::{
    Error, Stream, channel::Channel, linger::Leftovers, peer::PeerConnection, silence::silence,
};

/// How long a connection may stay in the state `disconnected` before it is given up. By itself a browser would try for a
/// quarter of a minute.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// A direct connection; its streams are data channels. Closed when dropped.
pub struct Connection(SendWrapper<Inner>);

struct Inner {
    peer: PeerConnection,
    leftovers: Rc<Leftovers>,
    /// Ends when nothing comes any more.
    silence: LocalBoxFuture<'static, ()>,
    /// Runs while the connection is disconnected.
    disconnected: Option<Delay>,
    end: Option<End>,
    /// Lives as long as the connection.
    kept: Option<Box<dyn std::any::Any>>,
}

#[derive(Clone, Copy)]
enum End {
    Closed,
    Lost,
}

impl Connection {
    pub(super) fn new(peer: PeerConnection) -> Self {
        let silence = silence(peer.inner.clone()).boxed_local();
        Self(SendWrapper::new(Inner {
            peer,
            leftovers: Rc::default(),
            silence,
            disconnected: None,
            end: None,
            kept: None,
        }))
    }

    pub(super) fn keep(&mut self, it: Box<dyn std::any::Any>) {
        self.0.kept = Some(it);
    }

    fn stream(&self, channel: Channel) -> Stream {
        Stream::new(channel, Rc::clone(&self.0.leftovers))
    }
}

impl Inner {
    /// Ready when the connection has ended, and ever after.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if self.end.is_none() {
            self.end = self.look_for_end(cx);
        }
        match self.end {
            None => Poll::Pending,
            Some(End::Closed) => Poll::Ready(Error::Closed),
            Some(End::Lost) => Poll::Ready(Error::Lost),
        }
    }

    fn look_for_end(&mut self, cx: &mut Context<'_>) -> Option<End> {
        while let Poll::Ready(state) = self.peer.poll_change(cx) {
            match state {
                RtcPeerConnectionState::Failed => return Some(End::Lost),
                RtcPeerConnectionState::Closed => return Some(End::Closed),
                RtcPeerConnectionState::Disconnected => {
                    self.disconnected
                        .get_or_insert_with(|| Delay::new(PATIENCE));
                }
                _ => self.disconnected = None,
            }
        }
        let given_up = match &mut self.disconnected {
            Some(patience) => patience.poll_unpin(cx).is_ready(),
            None => false,
        };
        (given_up || self.silence.poll_unpin(cx).is_ready()).then_some(End::Lost)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Streams that are still held keep nothing but themselves.
        self.leftovers.clear();
    }
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        let channel = ready!(self.0.peer.channels.poll_next_unpin(cx));
        Poll::Ready(
            channel
                .map(|channel| self.stream(channel))
                .ok_or(Error::Closed),
        )
    }

    /// A new channel. It can be written to when the browser has opened it, for which the peer need not answer.
    fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        let channel = self.0.peer.open()?;
        Poll::Ready(Ok(self.stream(channel)))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0.leftovers.clear();
        self.0.peer.close();
        Poll::Ready(Ok(()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Error>> {
        if let Poll::Ready(error) = self.0.poll_end(cx) {
            return Poll::Ready(Err(error));
        }
        self.0.leftovers.poll(cx);
        Poll::Pending
    }
}

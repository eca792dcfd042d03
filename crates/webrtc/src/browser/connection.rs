use std::{
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use futures_timer::Delay;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use send_wrapper::SendWrapper;
use web_sys::RtcPeerConnectionState;

use super::{Error, Stream, channel::Channel, linger::Leftovers, peer::PeerConnection};

/// How long a connection may be without an answer, after the browser has noticed that there is none, before it is given
/// up. By itself it would try for a quarter of a minute.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// A direct connection; its streams are data channels. Closed when dropped.
pub struct Connection(SendWrapper<Inner>);

struct Inner {
    peer: PeerConnection,
    leftovers: Rc<Leftovers>,
    /// Runs while the other side does not answer.
    silence: Option<Delay>,
}

impl Connection {
    pub(super) fn new(peer: PeerConnection) -> Self {
        Self(SendWrapper::new(Inner {
            peer,
            leftovers: Rc::default(),
            silence: None,
        }))
    }

    fn stream(&self, channel: Channel) -> Stream {
        Stream::new(channel, Rc::clone(&self.0.leftovers))
    }
}

impl Inner {
    /// Ready when the connection has ended.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        while let Poll::Ready(state) = self.peer.poll_change(cx) {
            match state {
                RtcPeerConnectionState::Failed => return Poll::Ready(Error::Lost),
                RtcPeerConnectionState::Closed => return Poll::Ready(Error::Closed),
                RtcPeerConnectionState::Disconnected => {
                    self.silence.get_or_insert_with(|| Delay::new(PATIENCE));
                }
                _ => self.silence = None,
            }
        }
        match &mut self.silence {
            Some(silence) => silence.poll_unpin(cx).map(|()| Error::Lost),
            None => Poll::Pending,
        }
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

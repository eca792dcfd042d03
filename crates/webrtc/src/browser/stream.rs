use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use send_wrapper::SendWrapper;

use super::{channel::Channel, linger::Leftovers};

/// One stream of a [`super::Connection`]. A half that was not ended is reset when the stream is dropped.
pub struct Stream(SendWrapper<Inner>);

struct Inner {
    /// Taken when dropped.
    channel: Option<Channel>,
    leftovers: Rc<Leftovers>,
}

impl Stream {
    pub(super) fn new(channel: Channel, leftovers: Rc<Leftovers>) -> Self {
        Self(SendWrapper::new(Inner {
            channel: Some(channel),
            leftovers,
        }))
    }

    /// The stream of a channel that is never let go of before the connection.
    pub(super) fn alone(channel: Channel) -> Self {
        Self::new(channel, Rc::default())
    }

    fn channel(&self) -> io::Result<&Channel> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        self.0.channel.as_ref().ok_or_else(gone)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.channel()?.poll_read(cx, buffer).map_err(Into::into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.channel()?.poll_write(cx, data).map_err(Into::into)
    }

    /// The browser sends what it has taken; there is nothing to hurry.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the sending half. Does not wait for the other side to acknowledge it: the channel lives on until it has.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.channel()?.close_write();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            channel.abandon();
            if !channel.is_finished() {
                self.leftovers.add(channel);
            }
        }
    }
}

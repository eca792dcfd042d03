use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures::{AsyncRead, AsyncWrite};
use str0m::channel::ChannelId;

use super::session::Session;

/// One stream of a [`super::Connection`]. A half that was not ended is reset when the stream is dropped.
pub struct Stream {
    session: Arc<Session>,
    id: ChannelId,
}

impl Stream {
    pub(super) fn new(session: Arc<Session>, id: ChannelId) -> Self {
        Self { session, id }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // What was read makes room, of which the other side may have to be told.
        self.session.with(|state| {
            let read = state.channel(self.id, |channel, _| {
                let read = channel.stream.read(buffer).transpose();
                if read.is_none() {
                    channel.reader = Some(cx.waker().clone());
                }
                read
            });
            match read {
                None => Poll::Ready(Err(gone())),
                Some(None) => Poll::Pending,
                Some(Some(read)) => Poll::Ready(read.map_err(Into::into)),
            }
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.session.with(|state| {
            let most = state.may_be_unsent();
            let mut is_full = false;
            let written = state.channel(self.id, |channel, rtc| {
                // A channel that is closed says so itself.
                let ready = channel.is_closed() || channel.has_room(rtc, most);
                if !ready || !channel.stream.is_writable() {
                    is_full = !ready;
                    channel.writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                let mut frame = Vec::new();
                let len = channel.stream.write(data, &mut frame)?;
                if len > 0 {
                    channel.send(frame, rtc);
                }
                Poll::Ready(Ok(len))
            });
            if is_full {
                state.full(self.id);
            }
            written.unwrap_or_else(|| Poll::Ready(Err(gone())))
        })
    }

    /// The task sends what it was given; there is nothing to hurry.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the sending half. Does not wait for the other side to acknowledge it: the channel lives on until it has.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.with(|state| {
            state.channel(self.id, |channel, _| channel.stream.close_write());
        });
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session
            .with(|state| state.abandon(self.id, Instant::now()));
    }
}

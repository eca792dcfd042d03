//! WebSockets that fail when they are refused.
//!
//! libp2p's waits to be opened, and nothing wakes who waits when that fails. Looked at again, it says so: hence it is, now
//! and then, until something has come over it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, FutureExt};
use futures_timer::Delay;

/// How often it is looked.
const AGAIN: Duration = Duration::from_millis(250);

/// A connection that may not be open yet.
pub(super) struct Opening<C> {
    connection: C,
    /// Until something has come.
    look: Option<Delay>,
}

impl<C> Opening<C> {
    pub(super) fn new(connection: C) -> Self {
        Self {
            connection,
            look: Some(Delay::new(AGAIN)),
        }
    }

    /// Has the task look again soon.
    fn look(&mut self, cx: &mut Context<'_>) {
        if let Some(delay) = &mut self.look {
            while delay.poll_unpin(cx).is_ready() {
                delay.reset(AGAIN);
            }
        }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Opening<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.look(cx);
        let read = ready!(Pin::new(&mut self.connection).poll_read(cx, buffer));
        self.look = None;
        Poll::Ready(read)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Opening<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look(cx);
        Pin::new(&mut self.connection).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_close(cx)
    }
}

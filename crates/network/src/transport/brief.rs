//! A connection that does not take long to close.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

use super::GOODBYE;

/// Any connection. What has not gone when the time is over goes with it.
pub(super) struct Brief<M> {
    connection: M,
    /// When it has to be closed.
    end: Option<Delay>,
}

impl<M> Brief<M> {
    pub(super) fn new(connection: M) -> Self {
        Self {
            connection,
            end: None,
        }
    }
}

impl<M: StreamMuxer + Unpin> StreamMuxer for Brief<M> {
    type Substream = M::Substream;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<M::Substream, M::Error>> {
        Pin::new(&mut self.connection).poll_inbound(cx)
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<M::Substream, M::Error>> {
        Pin::new(&mut self.connection).poll_outbound(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
        let this = self.get_mut();
        if let Poll::Ready(closed) = Pin::new(&mut this.connection).poll_close(cx) {
            return Poll::Ready(closed);
        }
        let end = this.end.get_or_insert_with(|| Delay::new(GOODBYE));
        ready!(end.poll_unpin(cx));
        Poll::Ready(Ok(()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        Pin::new(&mut self.connection).poll(cx)
    }
}

#[cfg(all(test, not(target_arch = "wasm32")))]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::{convert::Infallible, future::poll_fn};

    use futures::io::Cursor;

    use super::*;

    /// Nothing ever happens to it.
    struct Stuck;

    impl StreamMuxer for Stuck {
        type Substream = Cursor<Vec<u8>>;
        type Error = Infallible;

        fn poll_inbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Pending
        }

        fn poll_outbound(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, Infallible>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }

        fn poll(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<StreamMuxerEvent, Infallible>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_connection_that_never_closes_is_let_go_of() {
        let mut connection = Brief::new(Stuck);
        let closed = poll_fn(|cx| Pin::new(&mut connection).poll_close(cx));
        let closed = tokio::time::timeout(GOODBYE * 6, closed).await;
        assert_eq!(closed, Ok(Ok(())));
    }
}

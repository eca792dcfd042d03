//! [Yamux](https://github.com/hashicorp/yamux/blob/master/spec.md), with a task of its own for each connection.
//!
//! libp2p polls a connection together with the protocols that are spoken over it, all of them, whenever a packet comes. That
//! takes longer than what has to be done for the packet, which mostly concerns a stream that is there already. And it does
//! not let be set how much is written at once.

use std::{
    future::{Ready, poll_fn, ready},
    io, iter,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{
    AsyncRead, AsyncWrite, FutureExt, StreamExt,
    channel::{mpsc, oneshot},
};
use futures_timer::Delay;
use libp2p::core::{
    UpgradeInfo,
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
};
use yamux::{Connection, ConnectionError, Mode, Stream};

use super::GOODBYE;

/// Bytes of a stream that are written, encrypted and sent as a whole: a request or an answer of one layer. By itself Yamux
/// has 16 KiB, and sends what a message of 16 KiB has besides in a packet of its own.
const AT_ONCE: usize = 32 << 10;

/// Streams of the other side that wait to be looked at; further ones are reset. Those who keep to Yamux's limit for streams
/// that are not acknowledged never open more.
const WAITING: usize = 256;

/// How a connection becomes a [`Multiplexed`] one.
#[derive(Clone, Copy)]
pub(super) struct Upgrade;

impl Upgrade {
    /// Must be called within a Tokio runtime.
    fn begin<C>(io: C, mode: Mode) -> Ready<io::Result<Multiplexed>>
    where
        C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let mut config = yamux::Config::default();
        config.set_split_send_size(AT_ONCE);
        ready(Ok(Multiplexed::new(Connection::new(io, config, mode))))
    }
}

impl UpgradeInfo for Upgrade {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for Upgrade
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Multiplexed;
    type Error = io::Error;
    type Future = Ready<io::Result<Multiplexed>>;

    fn upgrade_inbound(self, io: C, _: Self::Info) -> Self::Future {
        Self::begin(io, Mode::Server)
    }
}

impl<C> OutboundConnectionUpgrade<C> for Upgrade
where
    C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Output = Multiplexed;
    type Error = io::Error;
    type Future = Ready<io::Result<Multiplexed>>;

    fn upgrade_outbound(self, io: C, _: Self::Info) -> Self::Future {
        Self::begin(io, Mode::Client)
    }
}

/// What is left of the connection for libp2p to poll.
pub(super) struct Multiplexed {
    inbound: mpsc::Receiver<Stream>,
    wanted: mpsc::Sender<()>,
    /// A stream was asked for.
    asked: bool,
    outbound: mpsc::Receiver<Stream>,
    /// Told when all is to be closed; dropped, it is let go of at once.
    close: Option<oneshot::Sender<()>>,
    /// How it ended.
    end: oneshot::Receiver<io::Result<()>>,
    ended: bool,
}

/// What the task has.
struct Work<C> {
    connection: Connection<C>,
    inbound: mpsc::Sender<Stream>,
    wanted: mpsc::Receiver<()>,
    is_wanted: bool,
    outbound: mpsc::Sender<Stream>,
    close: oneshot::Receiver<()>,
    /// All is to be closed, by then.
    closing: Option<Delay>,
}

impl Multiplexed {
    fn new<C>(connection: Connection<C>) -> Self
    where
        C: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (inbound_end, inbound) = mpsc::channel(WAITING);
        let (wanted, wanted_end) = mpsc::channel(1);
        let (outbound_end, outbound) = mpsc::channel(1);
        let (close, close_end) = oneshot::channel();
        let (tell_end, end) = oneshot::channel();
        let mut work = Work {
            connection,
            inbound: inbound_end,
            wanted: wanted_end,
            is_wanted: false,
            outbound: outbound_end,
            close: close_end,
            closing: None,
        };
        tokio::spawn(async move {
            let end = poll_fn(|cx| work.poll(cx)).await;
            // Nobody has to hear of it.
            let _ = tell_end.send(end);
        });
        Self {
            inbound,
            wanted,
            asked: false,
            outbound,
            close: Some(close),
            end,
            ended: false,
        }
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        let end = ready!(self.end.poll_unpin(cx));
        self.ended = true;
        Poll::Ready(end.unwrap_or_else(|_| Err(io::ErrorKind::NotConnected.into())))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Work<C> {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(end) = &mut self.closing {
                if let Poll::Ready(closed) = self.connection.poll_close(cx) {
                    return Poll::Ready(closed.map_err(failed));
                }
                ready!(end.poll_unpin(cx));
                // What is left goes with the connection.
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            match self.close.poll_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    self.closing = Some(Delay::new(GOODBYE));
                    continue;
                }
                // Let go of.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            self.is_wanted |= matches!(self.wanted.poll_next_unpin(cx), Poll::Ready(Some(())));
            if self.is_wanted
                && let Poll::Ready(stream) =
                    self.connection.poll_new_outbound(cx).map_err(failed)?
            {
                self.is_wanted = false;
                // There is room: they are asked for one by one.
                let _ = self.outbound.try_send(stream);
                continue;
            }
            match ready!(self.connection.poll_next_inbound(cx)) {
                Some(stream) => {
                    if self.inbound.try_send(stream.map_err(failed)?).is_err() {
                        tracing::debug!("a stream is reset: too many wait");
                    }
                }
                None => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }
}

fn failed(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(error) => error,
        error => io::Error::other(error),
    }
}

impl StreamMuxer for Multiplexed {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match ready!(self.inbound.poll_next_unpin(cx)) {
            Some(stream) => Poll::Ready(Ok(stream)),
            // `poll` says why.
            None => Poll::Pending,
        }
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        if !self.asked {
            self.asked = true;
            // There is room: they are asked for one by one. The task may have ended, of which `poll` tells.
            let _ = self.wanted.try_send(());
        }
        match ready!(self.outbound.poll_next_unpin(cx)) {
            Some(stream) => {
                self.asked = false;
                Poll::Ready(Ok(stream))
            }
            None => Poll::Pending,
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(close) = self.close.take() {
            let _ = close.send(());
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        self.poll_end(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        ready!(self.poll_end(cx))?;
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::time::Instant;

    use super::*;

    /// The other side takes nothing and says nothing.
    struct Deaf;

    impl AsyncRead for Deaf {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Deaf {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_does_not_keep_a_connection_that_is_closed() {
        let connection = Connection::new(Deaf, yamux::Config::default(), Mode::Client);
        let mut connection = Multiplexed::new(connection);
        let began = Instant::now();
        let closed = poll_fn(|cx| Pin::new(&mut connection).poll_close(cx));
        let closed = tokio::time::timeout(GOODBYE * 6, closed).await;
        assert_eq!(closed.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(
            began.elapsed() >= GOODBYE,
            "it had time for what was on its way"
        );
    }
}

//! A connection that is worked for by a task of its own.
//!
//! libp2p polls a connection together with the protocols that are spoken over it, all of them, whenever a packet comes. That
//! takes longer than what has to be done for the packet, which mostly concerns a stream that is there already.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{
    AsyncRead, AsyncWrite, FutureExt, Sink, SinkExt, StreamExt,
    channel::{mpsc, oneshot},
};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent, StreamMuxerExt};

/// Streams of the other side that wait to be looked at.
const WAITING: usize = 8;

/// What is left of the connection for libp2p to poll.
pub(super) struct Apart<S> {
    inbound: mpsc::Receiver<S>,
    wanted: mpsc::Sender<()>,
    /// A stream was asked for.
    asked: bool,
    outbound: mpsc::Receiver<S>,
    /// Told when all is to be closed; dropped, it is let go of at once.
    close: Option<oneshot::Sender<()>>,
    /// How it ended.
    end: oneshot::Receiver<Result<(), io::Error>>,
    ended: bool,
}

/// What the task has.
struct Work<M: StreamMuxer> {
    muxer: M,
    inbound: mpsc::Sender<M::Substream>,
    wanted: mpsc::Receiver<()>,
    is_wanted: bool,
    outbound: mpsc::Sender<M::Substream>,
    close: oneshot::Receiver<()>,
    closing: bool,
}

impl<S: Send + 'static> Apart<S> {
    /// Has a task work for a connection, of which [`StreamMuxer::poll_inbound`] does all there is to do, as that of Yamux.
    /// Must be called within a Tokio runtime.
    pub(super) fn new<M>(muxer: M) -> Self
    where
        M: StreamMuxer<Substream = S> + Send + Unpin + 'static,
        M::Error: Send + Sync + 'static,
    {
        let (inbound_end, inbound) = mpsc::channel(WAITING);
        let (wanted, wanted_end) = mpsc::channel(1);
        let (outbound_end, outbound) = mpsc::channel(1);
        let (close, close_end) = oneshot::channel();
        let (tell_end, end) = oneshot::channel();
        let mut work = Work {
            muxer,
            inbound: inbound_end,
            wanted: wanted_end,
            is_wanted: false,
            outbound: outbound_end,
            close: close_end,
            closing: false,
        };
        tokio::spawn(async move {
            let end = std::future::poll_fn(|cx| work.poll(cx)).await;
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

impl<M> Work<M>
where
    M: StreamMuxer + Unpin,
    M::Error: Send + Sync + 'static,
{
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.closing {
                return self.muxer.poll_close_unpin(cx).map_err(io::Error::other);
            }
            match self.close.poll_unpin(cx) {
                Poll::Ready(Ok(())) => {
                    self.closing = true;
                    continue;
                }
                // Let go of.
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => {}
            }
            self.is_wanted |= matches!(self.wanted.poll_next_unpin(cx), Poll::Ready(Some(())));
            if self.is_wanted
                && let Poll::Ready(stream) = self
                    .muxer
                    .poll_outbound_unpin(cx)
                    .map_err(io::Error::other)?
            {
                self.is_wanted = false;
                // There is room: they are asked for one by one.
                let _ = self.outbound.start_send_unpin(stream);
                continue;
            }
            if Pin::new(&mut self.inbound).poll_ready(cx).is_ready() {
                match self
                    .muxer
                    .poll_inbound_unpin(cx)
                    .map_err(io::Error::other)?
                {
                    Poll::Ready(stream) => {
                        let _ = self.inbound.start_send_unpin(stream);
                        continue;
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
            // Other streams go on while new ones wait.
            match self.muxer.poll_unpin(cx).map_err(io::Error::other)? {
                Poll::Ready(StreamMuxerEvent::AddressChange(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S> StreamMuxer for Apart<S>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    type Substream = S;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<S>> {
        match ready!(self.inbound.poll_next_unpin(cx)) {
            Some(stream) => Poll::Ready(Ok(stream)),
            // `poll` says why.
            None => Poll::Pending,
        }
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<S>> {
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

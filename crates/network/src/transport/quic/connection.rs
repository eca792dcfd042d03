use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{AsyncRead, AsyncWrite, FutureExt, future::BoxFuture};
use libp2p::{
    PeerId,
    core::muxing::{StreamMuxer, StreamMuxerEvent},
    tls,
};
use quinn::{ConnectionError, VarInt, rustls::pki_types::CertificateDer};

use super::Error;

type Opening = BoxFuture<'static, Result<(quinn::SendStream, quinn::RecvStream), ConnectionError>>;

/// A connection whose handshake is done; tasks of quinn's work for it. Closed when dropped.
pub(crate) struct Connection {
    connection: quinn::Connection,
    accepting: Option<Opening>,
    opening: Option<Opening>,
    closing: Option<BoxFuture<'static, ConnectionError>>,
}

impl Connection {
    /// With the peer whose key signed the certificate that was shown.
    pub(super) fn new(connection: quinn::Connection) -> Result<(PeerId, Self), Error> {
        let peer = peer(&connection).ok_or(Error::Stranger)?;
        let this = Self {
            connection,
            accepting: None,
            opening: None,
            closing: None,
        };
        Ok((peer, this))
    }
}

/// The handshake has checked the certificate already.
fn peer(connection: &quinn::Connection) -> Option<PeerId> {
    let shown = connection.peer_identity()?;
    let certificates = shown.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let certificate = tls::certificate::parse(certificates.first()?).ok()?;
    Some(certificate.peer_id())
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        let connection = self.connection.clone();
        let accepting = self
            .accepting
            .get_or_insert_with(|| async move { connection.accept_bi().await }.boxed());
        let stream = ready!(accepting.poll_unpin(cx));
        self.accepting = None;
        Poll::Ready(Ok(Stream::new(stream?)))
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, Error>> {
        let connection = self.connection.clone();
        let opening = self
            .opening
            .get_or_insert_with(|| async move { connection.open_bi().await }.boxed());
        let stream = ready!(opening.poll_unpin(cx));
        self.opening = None;
        Poll::Ready(Ok(Stream::new(stream?)))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let connection = self.connection.clone();
        let closing = self.closing.get_or_insert_with(|| {
            connection.close(VarInt::from_u32(0), &[]);
            async move { connection.closed().await }.boxed()
        });
        match ready!(closing.poll_unpin(cx)) {
            ConnectionError::LocallyClosed => Poll::Ready(Ok(())),
            error => Poll::Ready(Err(error.into())),
        }
    }

    /// Quinn does what there is to do, and who waits for a stream hears when it has ended.
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Error>> {
        Poll::Pending
    }
}

/// One stream. Dropped, it ends what it sends and asks for no more.
pub(crate) struct Stream {
    sending: quinn::SendStream,
    receiving: quinn::RecvStream,
    /// How ending the sending half went: it may be asked for again.
    closed: Option<Result<(), io::ErrorKind>>,
}

impl Stream {
    fn new((sending, receiving): (quinn::SendStream, quinn::RecvStream)) -> Self {
        Self {
            sending,
            receiving,
            closed: None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.receiving)
            .poll_read(cx, buffer)
            .map_err(Into::into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.sending), cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.sending), cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(closed) = self.closed {
            return Poll::Ready(closed.map_err(Into::into));
        }
        let closed = ready!(AsyncWrite::poll_close(Pin::new(&mut self.sending), cx));
        self.closed = Some(closed.as_ref().map_err(io::Error::kind).copied());
        Poll::Ready(closed)
    }
}

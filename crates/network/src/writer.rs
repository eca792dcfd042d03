//! One outbound stream, written from its queue.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use futures::{AsyncRead, AsyncWriteExt, FutureExt, channel::oneshot, future::Either};
use futures_timer::Delay;
use libp2p::Stream;
use protocol::{Channel, FrameEncoder, Hello, Message};

use crate::{connection::Counters, queue::Queue};

/// Small messages that wait together are written together, up to about this many bytes.
const COALESCE: usize = 64 << 10;

/// How long a peer may take to read what was sent before the stream's end.
const GOODBYE: Duration = Duration::from_secs(5);

/// Writes what is queued until told to stop, the stream fails, or the queue is closed. When told to stop, everything
/// taken from the queue is on its way, and the stream ends properly: nothing is lost.
pub(crate) async fn write(
    mut stream: Stream,
    counters: &Counters,
    channel: Channel,
    queue: Queue,
    hello: Option<Hello>,
    stop: oneshot::Receiver<()>,
) {
    let encoder = FrameEncoder::new(channel);
    let mut stop = stop.fuse();
    let mut buffer = Vec::new();
    if let Some(hello) = hello {
        encode(encoder, &Message::Hello(hello), &mut buffer);
    }
    loop {
        if !buffer.is_empty() {
            if stream.write_all(&buffer).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            counters.sent(buffer.len());
            buffer.clear();
            buffer.shrink_to(COALESCE);
        }
        let message = {
            let next = pin!(next(&queue, &mut stream));
            match futures::future::select(&mut stop, next).await {
                Either::Left(_) => break,
                Either::Right((None, _)) => break,
                Either::Right((Some(message), _)) => message,
            }
        };
        encode(encoder, &message, &mut buffer);
        while buffer.len() < COALESCE {
            match poll_fn(|cx| queue.poll_pop(cx)).now_or_never() {
                Some(Some(message)) => encode(encoder, &message, &mut buffer),
                _ => break,
            }
        }
    }
    // A peer that does not read must not keep the stream for ever.
    let close = pin!(stream.close());
    futures::future::select(close, Delay::new(GOODBYE)).await;
}

/// The next message; `None` when the queue is closed or the peer has ended the stream, which it never writes to.
async fn next(queue: &Queue, stream: &mut Stream) -> Option<Message> {
    poll_fn(|cx| {
        let mut nothing = [0];
        if std::pin::Pin::new(&mut *stream)
            .poll_read(cx, &mut nothing)
            .is_ready()
        {
            return Poll::Ready(None);
        }
        queue.poll_pop(cx)
    })
    .await
}

fn encode(encoder: FrameEncoder, message: &Message, buffer: &mut Vec<u8>) {
    if let Err(error) = encoder.encode(message, buffer) {
        // A mistake of this node, not of the peer. The asker's deadline deals with it.
        tracing::error!(kind = message.kind(), %error, "message not sent");
    }
}

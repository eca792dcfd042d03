//! The messages of one channel that wait to be written to one peer.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use protocol::{Channel, Message};

/// The most messages that wait. Small ones are bounded by their number, large ones by [`max_bytes`].
const MAX_MESSAGES: usize = 1024;

/// The most bytes that wait: enough to keep a fast link busy, little enough that a slow one is noticed early. A single
/// message may exceed it when nothing else waits.
fn max_bytes(channel: Channel) -> usize {
    match channel {
        Channel::Compute => 32 << 20,
        Channel::Content => 8 << 20,
    }
}

/// The queue is full, or nobody will ever read it again; the message comes back.
#[derive(Debug)]
pub(crate) enum Refused {
    Full(Box<Message>),
    Closed,
}

/// Cheap to clone; all clones are the same queue. One side pushes, one reader for each stream of the channel pops.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    channel: Channel,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    messages: VecDeque<Message>,
    bytes: usize,
    closed: bool,
    /// Those that wait for a message: no more than the channel has streams.
    readers: Vec<Waker>,
    writers: Vec<Waker>,
}

impl Queue {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            shared: Arc::default(),
        }
    }

    pub(crate) fn push(&self, message: Message) -> Result<(), Refused> {
        self.lock().push(message, max_bytes(self.channel))
    }

    /// Like [`Queue::push`], but when the queue is full, `cx` is woken once there is room; `message` is then still
    /// there for the next try.
    pub(crate) fn poll_push(
        &self,
        message: &mut Option<Message>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refused>> {
        let Some(now) = message.take() else {
            return Poll::Ready(Ok(()));
        };
        let mut shared = self.lock();
        match shared.push(now, max_bytes(self.channel)) {
            Err(Refused::Full(back)) => {
                *message = Some(*back);
                shared.writers.push(cx.waker().clone());
                Poll::Pending
            }
            done => Poll::Ready(done),
        }
    }

    /// The next message to write. `None`: the queue is closed.
    pub(crate) fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut shared = self.lock();
        if let Some(message) = shared.messages.pop_front() {
            shared.bytes -= message.size();
            shared.wake_writers();
            return Poll::Ready(Some(message));
        }
        if shared.closed {
            return Poll::Ready(None);
        }
        shared.wait(cx);
        Poll::Pending
    }

    /// Resolves once more than so many bytes wait, or the queue is closed.
    pub(crate) async fn holds_more_than(&self, bytes: usize) {
        poll_fn(|cx| {
            let mut shared = self.lock();
            if shared.bytes > bytes || shared.closed {
                return Poll::Ready(());
            }
            shared.wait(cx);
            Poll::Pending
        })
        .await;
    }

    /// Drops what waits and refuses everything from now on.
    pub(crate) fn close(&self) {
        let mut shared = self.lock();
        shared.closed = true;
        shared.messages.clear();
        shared.bytes = 0;
        shared.wake_writers();
        shared.wake_readers();
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // No code that can panic runs under the lock.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn push(&mut self, message: Message, max_bytes: usize) -> Result<(), Refused> {
        if self.closed {
            return Err(Refused::Closed);
        }
        let bytes = self.bytes + message.size();
        let full = self.messages.len() >= MAX_MESSAGES || bytes > max_bytes;
        if full && !self.messages.is_empty() {
            return Err(Refused::Full(Box::new(message)));
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        self.wake_readers();
        Ok(())
    }

    fn wait(&mut self, cx: &Context<'_>) {
        if !self.readers.iter().any(|it| it.will_wake(cx.waker())) {
            self.readers.push(cx.waker().clone());
        }
    }

    fn wake_readers(&mut self) {
        for reader in self.readers.drain(..) {
            reader.wake();
        }
    }

    fn wake_writers(&mut self) {
        for writer in self.writers.drain(..) {
            writer.wake();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use futures::FutureExt;
    use protocol::{ContentBlock, ContentResponse, RequestId};

    use super::*;

    fn content(len: usize) -> Message {
        let block = ContentBlock {
            total: len as u64,
            bytes: vec![0; len].into(),
            proof: Vec::new(),
        };
        Message::ContentResponse(ContentResponse {
            id: RequestId(0),
            result: Ok(block),
        })
    }

    fn pop(queue: &Queue) -> Option<Option<Message>> {
        poll_fn(|cx| queue.poll_pop(cx)).now_or_never()
    }

    #[test]
    fn a_full_queue_gives_the_message_back() {
        let queue = Queue::new(Channel::Content);
        let mut accepted = 0;
        while queue.push(content(1 << 20)).is_ok() {
            accepted += 1;
        }
        assert_eq!(
            accepted, 7,
            "eight MiB minus what the messages themselves take"
        );
        assert!(matches!(
            queue.push(content(1 << 20)),
            Err(Refused::Full(_))
        ));
        queue.push(content(1)).unwrap();
    }

    #[test]
    fn one_message_larger_than_the_queue_is_still_sent() {
        let queue = Queue::new(Channel::Content);
        queue.push(content(100 << 20)).unwrap();
        assert!(matches!(queue.push(content(1)), Err(Refused::Full(_))));
    }

    #[test]
    fn whoever_waits_is_woken_when_there_is_room() {
        let queue = Queue::new(Channel::Content);
        queue.push(content(100 << 20)).unwrap();
        let mut waiting = Some(content(1));
        let mut push = poll_fn(|cx| queue.poll_push(&mut waiting, cx));
        assert!((&mut push).now_or_never().is_none());
        assert!(pop(&queue).is_some());
        assert!(matches!((&mut push).now_or_never(), Some(Ok(()))));
    }

    #[test]
    fn all_who_read_are_woken_and_who_waits_for_more_waits_on() {
        let queue = Queue::new(Channel::Content);
        let mut first = Box::pin(poll_fn(|cx| queue.poll_pop(cx)));
        let mut second = Box::pin(queue.holds_more_than(1 << 20));
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        let waiting = queue.lock().readers.len();
        queue.push(content(1 << 20)).unwrap();
        assert!(waiting > 0 && queue.lock().readers.is_empty());
        assert!((&mut second).now_or_never().is_some(), "and its header");
        assert!((&mut first).now_or_never().is_some());
        let mut second = Box::pin(queue.holds_more_than(1 << 20));
        queue.push(content(1)).unwrap();
        assert!((&mut second).now_or_never().is_none());
        queue.close();
        assert!((&mut second).now_or_never().is_some());
    }

    #[test]
    fn a_closed_queue_is_empty_and_refuses() {
        let queue = Queue::new(Channel::Content);
        queue.push(content(1)).unwrap();
        queue.close();
        assert!(matches!(queue.push(content(1)), Err(Refused::Closed)));
        assert!(matches!(pop(&queue), Some(None)));
    }
}

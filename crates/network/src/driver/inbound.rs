//! An inbound stream that is read to its end, even when its connection closes under it.
//!
//! Who reads a stream is not always told that this side has closed its connection: Yamux wakes nobody then. The driver
//! knows, and tells.

use std::{
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures::{Stream, StreamExt};

use crate::reader::{Read, Reader, Source};

pub(super) struct Inbound {
    reader: Reader,
    /// What has come is still read, and nothing more is waited for.
    is_closed: bool,
    has_ended: bool,
    /// Rounds in which it was not its turn to be read.
    waited: usize,
    waker: Option<Waker>,
}

impl Inbound {
    pub(super) fn new(reader: Reader) -> Self {
        Self {
            reader,
            is_closed: false,
            has_ended: false,
            waited: 0,
            waker: None,
        }
    }

    /// Another round has passed in which it was not its turn. Gives how many that makes.
    pub(super) fn wait(&mut self) -> usize {
        self.waited += 1;
        self.waited
    }

    /// Its connection has closed.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Deref for Inbound {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl DerefMut for Inbound {
    fn deref_mut(&mut self) -> &mut Reader {
        &mut self.reader
    }
}

impl Stream for Inbound {
    type Item = (Source, Read);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.has_ended {
            return Poll::Ready(None);
        }
        let read = match this.reader.poll_next_unpin(cx) {
            Poll::Ready(Some((_, read))) => read,
            // After a violation, too, another one takes its place.
            Poll::Ready(None) => Read::End,
            Poll::Pending if this.is_closed => Read::End,
            Poll::Pending => {
                this.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        this.has_ended = matches!(read, Read::End);
        Poll::Ready(Some((this.reader.source(), read)))
    }
}

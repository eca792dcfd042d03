use std::{
    cell::RefCell,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use futures_timer::Delay;

use super::channel::Channel;

/// How long the channel of a stream that was let go of is kept for the other side to acknowledge its end. Some
/// implementations never do; with those, this is how long what was sent last has to arrive.
pub const LINGER: Duration = Duration::from_secs(10);

/// The most channels that are kept so. Further ones are closed at once.
const MAX_LEFTOVERS: usize = 1024;

/// The channels of streams that the application has let go of. Shared by a connection and its streams.
#[derive(Default)]
pub(super) struct Leftovers {
    channels: RefCell<FuturesUnordered<Leftover>>,
    waker: RefCell<Option<Waker>>,
}

struct Leftover {
    channel: Channel,
    deadline: Delay,
}

impl Future for Leftover {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.channel.poll_finished(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => self.deadline.poll_unpin(cx),
        }
    }
}

impl Leftovers {
    pub(super) fn add(&self, channel: Channel) {
        let channels = self.channels.borrow();
        if channels.len() < MAX_LEFTOVERS {
            channels.push(Leftover {
                channel,
                deadline: Delay::new(LINGER),
            });
        }
        drop(channels);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Closes those that have come to their end. Never ready.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        while let Poll::Ready(Some(())) = self.channels.borrow_mut().poll_next_unpin(cx) {}
    }

    /// The connection is closed: so are they.
    pub(super) fn clear(&self) {
        self.channels.borrow_mut().clear();
    }
}

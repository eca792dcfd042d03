//! Polls something only when there is a reason to.

use std::{
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures::task::AtomicWaker;

/// Something of which a poll costs much, in a task that has other things to do, too: it is polled when it was woken or
/// touched since it last had nothing to do.
pub(crate) struct Woken<T> {
    inner: T,
    state: Arc<State>,
    waker: Waker,
}

#[derive(Default)]
struct State {
    is_due: AtomicBool,
    task: AtomicWaker,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<T> Woken<T> {
    pub(crate) fn new(inner: T) -> Self {
        let state = Arc::new(State {
            is_due: true.into(),
            task: AtomicWaker::new(),
        });
        let waker = Arc::clone(&state).into();
        Self {
            inner,
            state,
            waker,
        }
    }

    pub(crate) fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut T, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        // Before the look: who wakes it from now on wakes this task.
        self.state.task.register(cx.waker());
        if !self.state.is_due.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let polled = poll(&mut self.inner, &mut Context::from_waker(&self.waker));
        if polled.is_ready() {
            // There may be more.
            self.state.is_due.store(true, Ordering::Release);
        }
        polled
    }
}

impl<T> Deref for Woken<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

/// Whatever is done to it may give it something to do.
impl<T> DerefMut for Woken<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.state.is_due.store(true, Ordering::Release);
        &mut self.inner
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use futures::task::noop_waker_ref;

    use super::*;

    /// Counts its polls, and is ready so many times.
    struct Counted {
        polls: usize,
        ready: usize,
        waker: Option<Waker>,
    }

    fn polls(it: &mut Woken<Counted>) -> usize {
        let cx = Context::from_waker(noop_waker_ref());
        let poll = |it: &mut Counted, cx: &mut Context<'_>| {
            it.polls += 1;
            it.waker = Some(cx.waker().clone());
            if it.ready == 0 {
                return Poll::Pending;
            }
            it.ready -= 1;
            Poll::Ready(())
        };
        let before = it.polls;
        while it.poll(&cx, poll).is_ready() {}
        it.polls - before
    }

    #[test]
    fn it_is_polled_until_it_has_nothing_to_do_and_then_when_woken_or_touched() {
        let mut it = Woken::new(Counted {
            polls: 0,
            ready: 2,
            waker: None,
        });
        assert_eq!(polls(&mut it), 3);
        assert_eq!(polls(&mut it), 0);
        it.inner.waker.clone().unwrap().wake();
        assert_eq!(polls(&mut it), 1);
        assert_eq!(polls(&mut it), 0);
        it.ready = 1;
        assert_eq!(polls(&mut it), 2);
        assert_eq!(polls(&mut it), 0);
    }
}

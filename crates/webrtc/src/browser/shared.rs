use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    task::Waker,
};

use wasm_bindgen::prelude::*;
use web_sys::{RtcDataChannel, RtcDataChannelState};

use crate::core::{Limits, Stream, StreamError};

/// What may wait unread in all streams of a connection together.
pub const MAX_UNREAD: usize = 64 << 20;

/// What the channels of a connection have in common.
#[derive(Default)]
pub(super) struct Shared {
    unread: Cell<usize>,
    next: Cell<u64>,
    states: RefCell<HashMap<u64, Weak<State>>>,
}

impl Shared {
    /// The state of a new channel.
    pub(super) fn channel(self: &Rc<Self>) -> Rc<State> {
        let id = self.next.replace(self.next.get() + 1);
        let state = Rc::new(State {
            stream: RefCell::new(Stream::new(Limits::default())),
            shared: Rc::clone(self),
            id,
            unread: Cell::new(0),
            reader: RefCell::default(),
            writer: RefCell::default(),
        });
        self.states.borrow_mut().insert(id, Rc::downgrade(&state));
        state
    }

    /// The connection was closed by ourselves, of which the browser tells nobody.
    pub(super) fn close(&self) {
        let states: Vec<_> = self.states.borrow().values().cloned().collect();
        for state in states.iter().filter_map(Weak::upgrade) {
            state.stream.borrow_mut().handle_closed();
            state.wake();
        }
    }
}

/// What a channel and its events share.
pub(super) struct State {
    pub(super) stream: RefCell<Stream>,
    shared: Rc<Shared>,
    id: u64,
    /// Our part of what all channels have unread.
    unread: Cell<usize>,
    pub(super) reader: RefCell<Option<Waker>>,
    /// Whoever waits to write; after the stream was let go of, whoever waits for its end.
    pub(super) writer: RefCell<Option<Waker>>,
}

impl State {
    pub(super) fn wake(&self) {
        for waiting in [&self.reader, &self.writer] {
            let waker = waiting.borrow_mut().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    pub(super) fn received(&self, data: &JsValue) {
        // The peer chooses between bytes and text, and there is no text in this protocol. (`Uint8Array::new` would take
        // a text for a length to allocate.)
        let Some(buffer) = data.dyn_ref::<js_sys::ArrayBuffer>() else {
            return;
        };
        let bytes = js_sys::Uint8Array::new(buffer).to_vec();
        let result = self.stream.borrow_mut().handle_input(&bytes);
        if let Err(error) = result {
            tracing::debug!(%error, "a stream was reset");
        }
        self.count();
        if self.shared.unread.get() > MAX_UNREAD {
            self.stream.borrow_mut().fail(StreamError::Overflow);
            self.count();
        }
    }

    /// Brings the connection's sum up to date.
    pub(super) fn count(&self) {
        let now = self.stream.borrow().unread();
        let before = self.unread.replace(now);
        let sum = &self.shared.unread;
        sum.set(sum.get() - before + now);
    }

    /// Sends what the stream has to say by itself.
    pub(super) fn transmit(&self, channel: &RtcDataChannel) {
        let mut stream = self.stream.borrow_mut();
        while channel.ready_state() == RtcDataChannelState::Open {
            let Some(frame) = stream.transmit() else {
                return;
            };
            if channel.send_with_u8_array(&frame).is_err() {
                stream.handle_closed();
            }
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let sum = &self.shared.unread;
        sum.set(sum.get() - self.unread.get());
        self.shared.states.borrow_mut().remove(&self.id);
    }
}

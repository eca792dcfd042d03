use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use futures::{AsyncRead, AsyncWrite};
use wasm_bindgen::prelude::*;
use web_sys::{Event, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

/// What may wait unread. Data channels have no back-pressure: a peer that sends more than this before we read is cut
/// off. It is what a peer may have queued for one channel, so an honest one never gets there.
const MAX_UNREAD: usize = 64 << 20;

/// Bytes handed to the browser before writing waits, and down to where it waits.
const MAX_UNSENT: u32 = 1 << 20;
const RESUME_UNSENT: u32 = 256 << 10;

/// An `RTCDataChannel` as a reader and writer of bytes. Cheap to clone; all clones are the same channel, which is
/// closed with the last of them.
#[derive(Clone)]
pub(super) struct DataChannel(Rc<Inner>);

struct Inner {
    channel: RtcDataChannel,
    state: Rc<State>,
    _on_change: Closure<dyn FnMut(Event)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

#[derive(Default)]
struct State {
    unread: RefCell<BytesMut>,
    overflowed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl State {
    fn received(&self, data: &js_sys::Uint8Array) {
        let len = data.length() as usize;
        let mut unread = self.unread.borrow_mut();
        let start = unread.len();
        if start + len > MAX_UNREAD {
            self.overflowed.set(true);
        } else {
            unread.resize(start + len, 0);
            data.copy_to(&mut unread[start..]);
        }
        drop(unread);
        wake(&self.reader);
    }
}

fn wake(waker: &RefCell<Option<Waker>>) {
    let waker = waker.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl DataChannel {
    pub(super) fn new(channel: RtcDataChannel) -> Self {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        let state = Rc::new(State::default());
        let on_change = Closure::<dyn FnMut(Event)>::new({
            let state = Rc::clone(&state);
            move |_| {
                wake(&state.reader);
                wake(&state.writer);
            }
        });
        let changed = Some(on_change.as_ref().unchecked_ref());
        channel.set_onopen(changed);
        channel.set_onclose(changed);
        channel.set_onerror(changed);
        channel.set_buffered_amount_low_threshold(RESUME_UNSENT);
        channel.set_onbufferedamountlow(changed);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
            let state = Rc::clone(&state);
            move |message: MessageEvent| state.received(&js_sys::Uint8Array::new(&message.data()))
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self(Rc::new(Inner {
            channel,
            state,
            _on_change: on_change,
            _on_message: on_message,
        }))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The closures go with us; the browser must not call them afterwards.
        self.channel.set_onopen(None);
        self.channel.set_onclose(None);
        self.channel.set_onerror(None);
        self.channel.set_onbufferedamountlow(None);
        self.channel.set_onmessage(None);
        self.channel.close();
    }
}

impl AsyncRead for DataChannel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let Inner { channel, state, .. } = &*self.0;
        if state.overflowed.get() {
            return Poll::Ready(Err(io::Error::other("the peer sent more than was read")));
        }
        let mut unread = state.unread.borrow_mut();
        // What came before the end is still to be had after it.
        if !unread.is_empty() {
            let len = buffer.len().min(unread.len());
            buffer[..len].copy_from_slice(&unread.split_to(len));
            return Poll::Ready(Ok(len));
        }
        match channel.ready_state() {
            RtcDataChannelState::Closing | RtcDataChannelState::Closed => Poll::Ready(Ok(0)),
            _ => {
                *state.reader.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for DataChannel {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Inner { channel, state, .. } = &*self.0;
        match channel.ready_state() {
            RtcDataChannelState::Open if channel.buffered_amount() < MAX_UNSENT => {
                let len = data.len().min(libp2p_webrtc_utils::MAX_MSG_LEN);
                let sent = channel.send_with_u8_array(&data[..len]);
                Poll::Ready(
                    sent.map(|()| len)
                        .map_err(|error| io::Error::other(super::Error::from(error).to_string())),
                )
            }
            RtcDataChannelState::Open | RtcDataChannelState::Connecting => {
                *state.writer.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// The browser sends what it has taken; there is nothing to hurry.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// What was written before is still sent.
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.channel.close();
        Poll::Ready(Ok(()))
    }
}

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use wasm_bindgen::prelude::*;
use web_sys::{Event, MessageEvent, RtcDataChannel, RtcDataChannelState, RtcDataChannelType};

use super::shared::{Shared, State};
use crate::core::StreamError;

/// Bytes of one stream that the browser holds before writing waits. Enough to keep a fast path busy between two events.
pub const MAX_UNSENT: u32 = 1 << 20;

/// What is left of them when it goes on.
const RESUME_UNSENT: u32 = 256 << 10;

/// An `RTCDataChannel` and the stream over it; closed when dropped.
///
/// Listens from the moment it is made: a message that nobody listens to is lost.
pub(super) struct Channel {
    channel: RtcDataChannel,
    state: Rc<State>,
    _on_change: Closure<dyn FnMut(Event)>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Channel {
    pub(super) fn new(channel: RtcDataChannel, shared: &Rc<Shared>) -> Self {
        channel.set_binary_type(RtcDataChannelType::Arraybuffer);
        let state = shared.channel();
        let on_change = Closure::<dyn FnMut(Event)>::new({
            let (state, channel) = (Rc::clone(&state), channel.clone());
            move |_| {
                if channel.ready_state() == RtcDataChannelState::Closed {
                    state.stream.borrow_mut().handle_closed();
                }
                state.transmit(&channel);
                state.wake();
            }
        });
        let changed = Some(on_change.as_ref().unchecked_ref());
        channel.set_onopen(changed);
        channel.set_onclose(changed);
        channel.set_onerror(changed);
        channel.set_buffered_amount_low_threshold(RESUME_UNSENT);
        channel.set_onbufferedamountlow(changed);
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new({
            let (state, channel) = (Rc::clone(&state), channel.clone());
            move |message: MessageEvent| {
                state.received(&message.data());
                state.transmit(&channel);
                state.wake();
            }
        });
        channel.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self {
            channel,
            state,
            _on_change: on_change,
            _on_message: on_message,
        }
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, StreamError>> {
        let read = self.state.stream.borrow_mut().read(buffer);
        self.state.count();
        match read.transpose() {
            Some(done) => {
                // What was read makes room.
                self.state.transmit(&self.channel);
                Poll::Ready(done)
            }
            None => {
                *self.state.reader.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        let ready = match self.channel.ready_state() {
            RtcDataChannelState::Connecting => false,
            RtcDataChannelState::Open => self.channel.buffered_amount() < MAX_UNSENT,
            // The stream knows what to say.
            _ => true,
        };
        let mut stream = self.state.stream.borrow_mut();
        if !ready || !stream.is_writable() {
            *self.state.writer.borrow_mut() = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut frame = Vec::new();
        let len = stream.write(data, &mut frame)?;
        if len > 0 && self.channel.send_with_u8_array(&frame).is_err() {
            // What came before is still to be read: the closing that follows ends that half.
            return Poll::Ready(Err(StreamError::Closed));
        }
        Poll::Ready(Ok(len))
    }

    pub(super) fn close_write(&self) {
        self.state.stream.borrow_mut().close_write();
        self.state.transmit(&self.channel);
    }

    /// The application has let go of the stream.
    pub(super) fn abandon(&self) {
        self.state.stream.borrow_mut().abandon();
        self.state.count();
        // From now on it matters when everything is sent.
        self.channel.set_buffered_amount_low_threshold(0);
        self.state.transmit(&self.channel);
    }

    /// Whether the channel of an abandoned stream can be closed: browsers throw away what waits to be sent.
    pub(super) fn is_finished(&self) -> bool {
        match self.channel.ready_state() {
            RtcDataChannelState::Closing | RtcDataChannelState::Closed => true,
            _ => self.state.stream.borrow().is_finished() && self.channel.buffered_amount() == 0,
        }
    }

    pub(super) fn poll_finished(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_finished() {
            return Poll::Ready(());
        }
        *self.state.writer.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Channel {
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

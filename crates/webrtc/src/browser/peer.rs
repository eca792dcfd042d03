use std::{
    rc::Rc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{StreamExt, channel::mpsc};
use futures_timer::Delay;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{
    Event, RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelInit,
    RtcPeerConnection, RtcPeerConnectionState,
};

use super::{Error, channel::Channel, shared::Shared};

/// Label of the channel that exists only so that the offer asks for data channels at all.
const INIT: &str = "init";

/// Channels a peer may open before the first is looked at; further ones are closed.
const MAX_WAITING: usize = 256;

/// When a connection is closed that does not stand. Chromium keeps for ever what is closed between a change of its state
/// and the event that tells of it, and such a connection is often given up because it has just changed.
const SETTLED: Duration = Duration::from_secs(1);

#[wasm_bindgen]
extern "C" {
    /// `web-sys` declares this method as one that cannot fail; it throws when the connection is closed or has used up
    /// its channels, and that must not end the program.
    #[wasm_bindgen(extends = js_sys::Object)]
    type Throwing;
    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    fn create_data_channel(this: &Throwing, label: &str) -> Result<RtcDataChannel, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    fn create_data_channel_with(
        this: &Throwing,
        label: &str,
        init: &RtcDataChannelInit,
    ) -> Result<RtcDataChannel, JsValue>;

    /// What `web-sys` does not know yet: the transport below the channels.
    type WithTransport;
    #[wasm_bindgen(method, getter)]
    fn sctp(this: &WithTransport) -> Option<SctpTransport>;
    type SctpTransport;
    #[wasm_bindgen(method, getter)]
    fn state(this: &SctpTransport) -> String;
    #[wasm_bindgen(method, setter, js_name = onstatechange)]
    fn set_onstatechange(this: &SctpTransport, listener: Option<&js_sys::Function>);
}

/// An `RTCPeerConnection` with its events to wait for; closed when dropped.
pub(super) struct PeerConnection {
    pub(super) inner: RtcPeerConnection,
    /// Channels that the peer has opened.
    pub(super) channels: mpsc::Receiver<Channel>,
    changed: mpsc::Sender<()>,
    changes: mpsc::Receiver<()>,
    /// Watched for the other side's goodbye.
    transport: Option<SctpTransport>,
    shared: Rc<Shared>,
    _on_channel: Closure<dyn FnMut(RtcDataChannelEvent)>,
    on_state: Closure<dyn FnMut(Event)>,
    on_leave: Closure<dyn FnMut(Event)>,
}

impl PeerConnection {
    pub(super) fn new(configuration: &RtcConfiguration) -> Result<Self, Error> {
        let inner = RtcPeerConnection::new_with_configuration(configuration)?;
        let shared = Rc::new(Shared::default());
        let (mut channel_found, channels) = mpsc::channel(MAX_WAITING);
        let all = Rc::clone(&shared);
        let on_channel =
            Closure::<dyn FnMut(RtcDataChannelEvent)>::new(move |event: RtcDataChannelEvent| {
                if event.channel().label() != INIT {
                    let channel = Channel::new(event.channel(), &all);
                    // A channel that is refused is closed by being dropped.
                    let _ = channel_found.try_send(channel);
                }
            });
        inner.set_ondatachannel(Some(on_channel.as_ref().unchecked_ref()));
        let (changed, changes) = mpsc::channel(1);
        let on_state = Closure::<dyn FnMut(Event)>::new({
            let mut changed = changed.clone();
            move |_| {
                // When it is full, the change before this one has not been looked at: both will be seen together.
                let _ = changed.try_send(());
            }
        });
        inner.set_onconnectionstatechange(Some(on_state.as_ref().unchecked_ref()));
        // A page that is merely left lets the other side wait for a quarter of a minute.
        let on_leave = Closure::<dyn FnMut(Event)>::new({
            let (inner, mut changed) = (inner.clone(), changed.clone());
            let shared = Rc::clone(&shared);
            move |_| {
                inner.close();
                shared.close();
                // The browser does not report what we do ourselves, and the page may come back.
                let _ = changed.try_send(());
            }
        });
        if let Some(window) = web_sys::window() {
            window
                .add_event_listener_with_callback("pagehide", on_leave.as_ref().unchecked_ref())?;
        }
        Ok(Self {
            inner,
            channels,
            changed,
            changes,
            transport: None,
            shared,
            _on_channel: on_channel,
            on_state,
            on_leave,
        })
    }

    /// To be called once connected. A browser that closes the connection says so to the transport at once; the state
    /// of the connection itself follows a quarter of a minute later.
    pub(super) fn watch_transport(&mut self) {
        self.transport = self.inner.unchecked_ref::<WithTransport>().sctp();
        if let Some(transport) = &self.transport {
            transport.set_onstatechange(Some(self.on_state.as_ref().unchecked_ref()));
        }
        // It may be closed already.
        let _ = self.changed.try_send(());
    }

    /// The state after the next change.
    pub(super) fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<RtcPeerConnectionState> {
        // The sender lives as long as this.
        ready!(self.changes.poll_next_unpin(cx));
        Poll::Ready(self.state())
    }

    fn state(&self) -> RtcPeerConnectionState {
        let transport = self.transport.as_ref();
        if transport.is_some_and(|it| it.state() == "closed") {
            RtcPeerConnectionState::Closed
        } else {
            self.inner.connection_state()
        }
    }

    /// A channel for a stream.
    pub(super) fn open(&self) -> Result<Channel, Error> {
        let channel = self.create("")?;
        Ok(Channel::new(channel, &self.shared))
    }

    /// A channel that both sides take for granted, with this number.
    pub(super) fn open_negotiated(&self, id: u16) -> Result<Channel, Error> {
        let init = RtcDataChannelInit::new();
        init.set_negotiated(true);
        init.set_id(id);
        let throwing = self.inner.unchecked_ref::<Throwing>();
        let channel = throwing.create_data_channel_with("", &init)?;
        Ok(Channel::new(channel, &self.shared))
    }

    /// The channel without which there would be nothing to negotiate.
    pub(super) fn open_init(&self) -> Result<RtcDataChannel, Error> {
        self.create(INIT)
    }

    /// Says goodbye, if there is somebody to say it to.
    pub(super) fn close(&self) {
        if self.state() == RtcPeerConnectionState::Connected {
            self.inner.close();
        }
        self.shared.close();
    }

    fn create(&self, label: &str) -> Result<RtcDataChannel, Error> {
        Ok(self
            .inner
            .unchecked_ref::<Throwing>()
            .create_data_channel(label)?)
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        if let Some(window) = web_sys::window() {
            let listener = self.on_leave.as_ref().unchecked_ref();
            // Fails for what is not an event only.
            let _ = window.remove_event_listener_with_callback("pagehide", listener);
        }
        self.inner.set_ondatachannel(None);
        self.inner.set_onconnectionstatechange(None);
        self.inner.set_onicecandidate(None);
        if let Some(transport) = &self.transport {
            transport.set_onstatechange(None);
        }
        self.close();
        if self.inner.connection_state() != RtcPeerConnectionState::Closed {
            let inner = self.inner.clone();
            spawn_local(async move {
                Delay::new(SETTLED).await;
                inner.close();
            });
        }
    }
}

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use futures::{AsyncRead, AsyncWrite, StreamExt, channel::mpsc, stream::FuturesUnordered};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p_webrtc_utils::DropListener;
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;
use web_sys::{
    Event, RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcPeerConnection,
    RtcPeerConnectionState,
};

use super::{Error, channel::DataChannel};

/// Label of the channel that exists only so that the offer asks for data channels at all.
pub(super) const INIT: &str = "init";

#[wasm_bindgen]
extern "C" {
    /// `web-sys` declares this method as one that cannot fail; it throws when the connection is closed or has used up
    /// its channels, and that must not end the program.
    #[wasm_bindgen(extends = js_sys::Object)]
    type Throwing;
    #[wasm_bindgen(method, catch, js_name = createDataChannel)]
    fn create_data_channel(this: &Throwing, label: &str) -> Result<RtcDataChannel, JsValue>;

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

/// Channels a peer may open before we have looked at the first; further ones are closed.
const MAX_WAITING: usize = 256;

/// An `RTCPeerConnection` with its events to wait for; closed when dropped.
pub(super) struct PeerConnection {
    pub(super) inner: RtcPeerConnection,
    pub(super) channels: mpsc::Receiver<RtcDataChannel>,
    changes: mpsc::Receiver<()>,
    /// Watched for the other side's goodbye.
    transport: Option<SctpTransport>,
    _on_channel: Closure<dyn FnMut(RtcDataChannelEvent)>,
    on_state: Closure<dyn FnMut(Event)>,
}

impl PeerConnection {
    pub(super) fn new(configuration: &RtcConfiguration) -> Result<Self, Error> {
        let inner = RtcPeerConnection::new_with_configuration(configuration)?;
        let (mut channel_found, channels) = mpsc::channel(MAX_WAITING);
        let on_channel =
            Closure::<dyn FnMut(RtcDataChannelEvent)>::new(move |event: RtcDataChannelEvent| {
                if let Err(refused) = channel_found.try_send(event.channel()) {
                    refused.into_inner().close();
                }
            });
        inner.set_ondatachannel(Some(on_channel.as_ref().unchecked_ref()));
        let (mut changed, changes) = mpsc::channel(1);
        let on_state = Closure::<dyn FnMut(Event)>::new(move |_| {
            // When it is full, the change before this one has not been looked at: both will be seen together.
            let _ = changed.try_send(());
        });
        inner.set_onconnectionstatechange(Some(on_state.as_ref().unchecked_ref()));
        Ok(Self {
            inner,
            channels,
            changes,
            transport: None,
            _on_channel: on_channel,
            on_state,
        })
    }

    /// To be called once connected. A browser that closes the connection says so to the transport at once; the state
    /// of the connection itself follows a quarter of a minute later.
    pub(super) fn watch_transport(&mut self) {
        self.transport = self.inner.unchecked_ref::<WithTransport>().sctp();
        if let Some(transport) = &self.transport {
            transport.set_onstatechange(Some(self.on_state.as_ref().unchecked_ref()));
        }
    }

    /// The state after the next change.
    pub(super) fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<RtcPeerConnectionState> {
        // The sender lives as long as this.
        ready!(self.changes.poll_next_unpin(cx));
        let gone = self
            .transport
            .as_ref()
            .is_some_and(|it| it.state() == "closed");
        Poll::Ready(if gone {
            RtcPeerConnectionState::Closed
        } else {
            self.inner.connection_state()
        })
    }

    pub(super) fn open(&self, label: &str) -> Result<RtcDataChannel, Error> {
        Ok(self
            .inner
            .unchecked_ref::<Throwing>()
            .create_data_channel(label)?)
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        self.inner.set_ondatachannel(None);
        self.inner.set_onconnectionstatechange(None);
        self.inner.set_onicecandidate(None);
        if let Some(transport) = &self.transport {
            transport.set_onstatechange(None);
        }
        self.inner.close();
    }
}

/// A direct connection; its streams are data channels. Lives on one thread, as everything in a page does; the wrappers
/// say so to libp2p, which wants to move connections between threads where there are some.
pub(crate) struct Connection {
    peer: SendWrapper<PeerConnection>,
    /// Streams that are dropped without being closed tell the other side so.
    drops: SendWrapper<FuturesUnordered<DropListener<DataChannel>>>,
    waker: Option<Waker>,
}

impl Connection {
    pub(super) fn new(peer: PeerConnection) -> Self {
        Self {
            peer: SendWrapper::new(peer),
            drops: SendWrapper::new(FuturesUnordered::new()),
            waker: None,
        }
    }

    fn stream(&mut self, channel: RtcDataChannel) -> Stream {
        let (stream, dropped) = libp2p_webrtc_utils::Stream::new(DataChannel::new(channel));
        self.drops.push(dropped);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        Stream(SendWrapper::new(stream))
    }
}

impl StreamMuxer for Connection {
    type Substream = Stream;
    type Error = Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        loop {
            let Some(channel) = ready!(self.peer.channels.poll_next_unpin(cx)) else {
                return Poll::Ready(Err(Error::Lost("closed")));
            };
            if channel.label() != INIT {
                return Poll::Ready(Ok(self.stream(channel)));
            }
        }
    }

    fn poll_outbound(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Stream, Error>> {
        let channel = self.peer.open("")?;
        Poll::Ready(Ok(self.stream(channel)))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.peer.inner.close();
        Poll::Ready(Ok(()))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Error>> {
        while let Poll::Ready(state) = self.peer.poll_change(cx) {
            match state {
                RtcPeerConnectionState::Failed => return Poll::Ready(Err(Error::Lost("lost"))),
                RtcPeerConnectionState::Closed => return Poll::Ready(Err(Error::Lost("closed"))),
                _ => {}
            }
        }
        while let Poll::Ready(Some(told)) = self.drops.poll_next_unpin(cx) {
            if let Err(error) = told {
                tracing::trace!(%error, "a dropped stream could not be reset");
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// One stream of a [`Connection`].
pub(crate) struct Stream(SendWrapper<libp2p_webrtc_utils::Stream<DataChannel>>);

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_close(cx)
    }
}

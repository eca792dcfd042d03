//! A side of a connection, driven as libp2p would.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite, future::Either};
use futures_timer::Delay;
use libp2p::core::muxing::StreamMuxerExt;
use webrtc::{
    Error, Role,
    browser::{Connection, Stream, negotiate},
};

const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    match futures::future::select(pin!(work), Delay::new(PATIENCE)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => panic!("nothing happened in time"),
    }
}

#[derive(Clone)]
pub(crate) struct Side(Rc<RefCell<Option<Connection>>>);

impl Side {
    fn new(connection: Connection) -> Self {
        let side = Self(Rc::new(RefCell::new(Some(connection))));
        let driven = side.clone();
        wasm_bindgen_futures::spawn_local(async move {
            driven.end().await;
        });
        side
    }

    /// Drives the connection until it ends; `None` if it was dropped here.
    pub(crate) async fn end(&self) -> Option<Error> {
        poll_fn(|cx| match &mut *self.0.borrow_mut() {
            Some(connection) => connection
                .poll_unpin(cx)
                .map(|event| Some(event.unwrap_err())),
            None => Poll::Ready(None),
        })
        .await
    }

    pub(crate) async fn open(&self) -> Stream {
        in_time(poll_fn(|cx| {
            self.0
                .borrow_mut()
                .as_mut()
                .unwrap()
                .poll_outbound_unpin(cx)
        }))
        .await
        .unwrap()
    }

    pub(crate) async fn accept(&self) -> Stream {
        in_time(poll_fn(|cx| {
            self.0.borrow_mut().as_mut().unwrap().poll_inbound_unpin(cx)
        }))
        .await
        .unwrap()
    }

    pub(crate) fn hang_up(&self) {
        self.0.borrow_mut().take();
    }
}

/// Two sides that have negotiated with each other.
pub(crate) async fn pair() -> (Side, Side) {
    let (one, other) = pipe();
    let (one, other) = in_time(futures::future::join(
        negotiate(one, &[], Role::Offers),
        negotiate(other, &[], Role::Answers),
    ))
    .await;
    (Side::new(one.unwrap()), Side::new(other.unwrap()))
}

/// One direction of what stands for the relayed connection.
#[derive(Default)]
struct Way {
    bytes: VecDeque<u8>,
    closed: bool,
    reader: Option<Waker>,
}

struct Pipe {
    from: Rc<RefCell<Way>>,
    to: Rc<RefCell<Way>>,
}

fn pipe() -> (Pipe, Pipe) {
    let (there, back) = (Rc::default(), Rc::default());
    let one = Pipe {
        from: Rc::clone(&back),
        to: Rc::clone(&there),
    };
    let other = Pipe {
        from: there,
        to: back,
    };
    (one, other)
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = self.from.borrow_mut();
        if way.bytes.is_empty() && !way.closed {
            way.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(io::Read::read(&mut way.bytes, buffer))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut way = self.to.borrow_mut();
        way.bytes.extend(data);
        way.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = self.to.borrow_mut();
        way.closed = true;
        way.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

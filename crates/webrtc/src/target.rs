//! What differs between a page, which has one thread, and a native program.

#[cfg(target_arch = "wasm32")]
mod it {
    use futures::{AsyncRead, AsyncWrite, future::LocalBoxFuture};

    pub(crate) use crate::browser::Connection;
    use crate::{Error, IceServer, Role};

    /// A page does not choose its addresses.
    pub(crate) type Place = ();

    pub(crate) async fn negotiate(
        (): Place,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        servers: &[IceServer],
        role: Role,
    ) -> Result<Connection, Error> {
        crate::browser::negotiate(stream, servers, role).await
    }

    /// Nothing leaves the page's thread; libp2p nevertheless asks for `Send`. Panics if touched on another thread.
    pub(crate) type Local<T> = send_wrapper::SendWrapper<T>;

    pub(crate) fn local<T>(it: T) -> Local<T> {
        send_wrapper::SendWrapper::new(it)
    }

    /// What [`crate::Signaling::open`] returns.
    pub type SignalFuture<T> = LocalBoxFuture<'static, T>;

    /// `Send`, where there are threads.
    pub trait MaybeSend {}
    impl<T> MaybeSend for T {}
}

#[cfg(not(target_arch = "wasm32"))]
mod it {
    use std::net::IpAddr;

    use futures::{AsyncRead, AsyncWrite, future::BoxFuture};

    pub(crate) use crate::native::Connection;
    use crate::{Error, IceServer, Role, native};

    /// From which address; any.
    pub(crate) type Place = Option<IpAddr>;

    pub(crate) async fn negotiate(
        place: Place,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        servers: &[IceServer],
        role: Role,
    ) -> Result<Connection, Error> {
        match place {
            Some(ip) => native::negotiate_at((ip, 0).into(), stream, servers, role).await,
            None => native::negotiate(stream, servers, role).await,
        }
    }

    pub(crate) type Local<T> = T;

    pub(crate) fn local<T>(it: T) -> Local<T> {
        it
    }

    /// What [`crate::Signaling::open`] returns.
    pub type SignalFuture<T> = BoxFuture<'static, T>;

    /// `Send`, where there are threads.
    pub trait MaybeSend: Send {}
    impl<T: Send> MaybeSend for T {}
}

pub(crate) use it::{Connection, Local, Place, local, negotiate};
pub use it::{MaybeSend, SignalFuture};

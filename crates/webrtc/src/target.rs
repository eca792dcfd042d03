//! What differs between a page, which has one thread, and a native program.

#[cfg(target_arch = "wasm32")]
mod it {
    pub(crate) use crate::browser::{Connection, Error, negotiate};
    use futures::future::LocalBoxFuture;

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
    pub(crate) use crate::native::{Connection, Error, negotiate};
    use futures::future::BoxFuture;

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

pub(crate) use it::{Connection, Error, Local, local, negotiate};
pub use it::{MaybeSend, SignalFuture};

//! A web server that knows nothing of the network.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use anyhow::Result;
use tokio::{net::TcpListener, runtime::Runtime};
use tower_http::{cors::CorsLayer, services::ServeDir};

/// Serves a folder to everybody, pages of other origins included, until it is dropped.
pub struct WebServer {
    address: SocketAddr,
    _runtime: Runtime,
}

impl WebServer {
    /// Listens on a free port of loopback.
    pub fn start(folder: &Path) -> Result<Self> {
        let runtime = Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let router = axum::Router::new()
            .fallback_service(ServeDir::new(folder))
            .layer(CorsLayer::permissive());
        runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            address,
            _runtime: runtime,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

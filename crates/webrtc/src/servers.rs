use std::sync::{Arc, Mutex, PoisonError};

/// A STUN or TURN server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:…`, `turn:…` or `turns:…`.
    pub urls: Vec<String>,
    /// For TURN.
    pub username: Option<String>,
    /// For TURN.
    pub credential: Option<String>,
}

/// The servers that help to find paths. All clones are the same list: credentials expire, and are replaced while the
/// transport that uses them runs.
#[derive(Clone, Debug, Default)]
pub struct IceServers(Arc<Mutex<Arc<[IceServer]>>>);

impl IceServers {
    /// A list to begin with.
    #[must_use]
    pub fn new(servers: Vec<IceServer>) -> Self {
        Self(Arc::new(Mutex::new(servers.into())))
    }

    /// Connections that are arranged from now on use these.
    pub fn set(&self, servers: Vec<IceServer>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = servers.into();
    }

    /// What it is now.
    #[must_use]
    pub fn get(&self) -> Arc<[IceServer]> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

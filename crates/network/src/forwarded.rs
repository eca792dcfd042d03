//! For whom the connections are made that a web server in front of the node forwards.
//!
//! They come from this machine, all of them: by their own address they would count as one stranger, or as none.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The connections that are forwarded now, by the address they come from. There are no more of them than there are
/// [`Forwarded`] values, each of which belongs to a socket of this machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forwarding(Arc<Mutex<Clients>>);

type Clients = HashMap<SocketAddr, Arc<IpAddr>>;

/// A connection that is forwarded counts as its client's while this exists ([`crate::Handle::forward`]).
#[derive(Debug)]
#[must_use = "the connection counts as its client's only while this exists"]
pub struct Forwarded {
    from: SocketAddr,
    client: Arc<IpAddr>,
    forwarding: Forwarding,
}

impl Forwarding {
    pub(crate) fn add(&self, from: SocketAddr, client: IpAddr) -> Forwarded {
        let client = Arc::new(client);
        self.clients().insert(from, client.clone());
        Forwarded {
            from,
            client,
            forwarding: self.clone(),
        }
    }

    /// For whom a connection is made that comes from there.
    pub(crate) fn client(&self, from: &SocketAddr) -> Option<IpAddr> {
        self.clients().get(from).map(|client| **client)
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        // No code that can panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        let mut clients = self.forwarding.clients();
        // When the socket was closed before this, another one may have its port by now.
        let ours = |client: &Arc<IpAddr>| Arc::ptr_eq(client, &self.client);
        if clients.get(&self.from).is_some_and(ours) {
            clients.remove(&self.from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_connections_that_are_over_and_those_that_have_their_ports_stay() {
        let forwarding = Forwarding::default();
        let from = SocketAddr::from(([127, 0, 0, 1], 7));
        let (one, other) = (IpAddr::from([9, 9, 9, 9]), IpAddr::from([9, 9, 9, 8]));
        let first = forwarding.add(from, one);
        assert_eq!(forwarding.client(&from), Some(one));
        let second = forwarding.add(from, other);
        drop(first);
        assert_eq!(forwarding.client(&from), Some(other));
        drop(second);
        assert_eq!(forwarding.client(&from), None);
        assert!(forwarding.clients().is_empty());
    }
}

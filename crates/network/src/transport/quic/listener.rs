use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use if_watch::{IfEvent, tokio::IfWatcher};
use libp2p::core::transport::{ListenerId, TransportEvent};

use super::{Connection, Error, Upgrade, address, in_time};

type Event = TransportEvent<Upgrade, Error>;

/// A socket that others dial.
pub(super) struct Listener {
    id: ListenerId,
    endpoint: quinn::Endpoint,
    local: SocketAddr,
    next: BoxFuture<'static, Option<quinn::Incoming>>,
    /// Says which addresses the machine has, if all of them are listened on.
    watcher: Option<IfWatcher>,
    addresses: BTreeSet<IpAddr>,
    /// Its one address is still to be told.
    is_new: bool,
}

impl Listener {
    pub(super) fn new(id: ListenerId, endpoint: quinn::Endpoint) -> io::Result<Self> {
        let local = endpoint.local_addr()?;
        let everywhere = local.ip().is_unspecified();
        Ok(Self {
            id,
            next: next(endpoint.clone()),
            endpoint,
            local,
            watcher: everywhere.then(IfWatcher::new).transpose()?,
            addresses: (!everywhere).then(|| local.ip()).into_iter().collect(),
            is_new: !everywhere,
        })
    }

    pub(super) fn id(&self) -> ListenerId {
        self.id
    }

    pub(super) fn endpoint(&self) -> quinn::Endpoint {
        self.endpoint.clone()
    }

    /// Whether packets of this socket can get to that address, as far as can be told from its own.
    pub(super) fn reaches(&self, to: IpAddr) -> bool {
        let is_like = |ip: &IpAddr| ip.is_loopback() == to.is_loopback();
        self.local.is_ipv4() == to.is_ipv4() && self.addresses.iter().any(is_like)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if std::mem::take(&mut self.is_new) {
            return Poll::Ready(TransportEvent::NewAddress {
                listener_id: self.id,
                listen_addr: address(self.local),
            });
        }
        if let Some(event) = self.poll_addresses(cx) {
            return Poll::Ready(event);
        }
        match self.next.poll_unpin(cx) {
            Poll::Ready(Some(incoming)) => {
                self.next = next(self.endpoint.clone());
                Poll::Ready(self.incoming(incoming))
            }
            // The socket has failed; there will be nothing more.
            Poll::Ready(None) => {
                self.next = futures::future::pending().boxed();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_addresses(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        let watcher = self.watcher.as_mut()?;
        while let Poll::Ready(event) = watcher.poll_if_event(cx) {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    return Some(TransportEvent::ListenerError {
                        listener_id: self.id,
                        error: error.into(),
                    });
                }
            };
            let (IfEvent::Up(network) | IfEvent::Down(network)) = event;
            let ip = network.addr();
            if ip.is_ipv4() != self.local.is_ipv4() {
                continue;
            }
            let at = address(SocketAddr::new(ip, self.local.port()));
            return Some(if matches!(event, IfEvent::Up(_)) {
                self.addresses.insert(ip);
                TransportEvent::NewAddress {
                    listener_id: self.id,
                    listen_addr: at,
                }
            } else {
                self.addresses.remove(&ip);
                TransportEvent::AddressExpired {
                    listener_id: self.id,
                    listen_addr: at,
                }
            });
        }
        None
    }

    /// Nothing is done for who comes before the node has agreed to have it.
    fn incoming(&self, incoming: quinn::Incoming) -> Event {
        let here = incoming.local_ip().unwrap_or(self.local.ip());
        let remote = incoming.remote_address();
        TransportEvent::Incoming {
            listener_id: self.id,
            local_addr: address(SocketAddr::new(here, self.local.port())),
            send_back_addr: address(remote),
            upgrade: in_time(async move { Connection::new(incoming.accept()?.await?) }),
        }
    }
}

impl Drop for Listener {
    /// Connections that came through it go on; nobody new comes.
    fn drop(&mut self) {
        self.endpoint.set_server_config(None);
    }
}

fn next(endpoint: quinn::Endpoint) -> BoxFuture<'static, Option<quinn::Incoming>> {
    async move { endpoint.accept().await }.boxed()
}

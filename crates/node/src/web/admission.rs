//! How many connections the web server has at a time, altogether and from one address: without a limit, one stranger who
//! opens them and says nothing takes the memory and the sockets of everybody.

use axum_server::accept::Accept;
use network::{Handle, customer};
use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;
use tower_http::add_extension::AddExtension;

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) all: usize,
    /// A whole school may be behind an address, and a browser opens up to six. One that becomes a WebSocket counts here no
    /// more: the node has limits of its own for those.
    pub(super) per_address: usize,
    /// Whether those of this machine are counted by their address, too: a web server in front of this one is there.
    pub(super) count_loopback: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: 4096,
            per_address: 512,
            count_loopback: false,
        }
    }
}

/// Accepts as many as there may be; what is more is closed. Copies count together.
#[derive(Clone)]
pub(super) struct Admission {
    limits: Limits,
    network: Handle,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection that was let in, until this is dropped.
pub(super) struct Place {
    from: Option<IpAddr>,
    counts: Arc<Mutex<Counts>>,
}

impl Admission {
    /// `network` counts those that are refused, beside its own.
    pub(super) fn new(limits: Limits, network: Handle) -> Self {
        Self {
            limits,
            network,
            counts: Arc::default(),
        }
    }

    fn admit(&self, ip: IpAddr) -> io::Result<Place> {
        let from = customer(ip);
        let from = (self.limits.count_loopback || !from.is_loopback()).then_some(from);
        let mut counts = lock(&self.counts);
        let here = from.map_or(0, |from| counts.by_address.get(&from).copied().unwrap_or(0));
        if counts.all >= self.limits.all || here >= self.limits.per_address {
            self.network.count_refused();
            return Err(io::Error::other("too many connections"));
        }
        counts.all += 1;
        if let Some(from) = from {
            counts.by_address.insert(from, here + 1);
        }
        drop(counts);
        Ok(Place {
            from,
            counts: self.counts.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        counts.all -= 1;
        let Some(from) = self.from else {
            return;
        };
        if let Some(here) = counts.by_address.get_mut(&from) {
            *here -= 1;
            if *here == 0 {
                counts.by_address.remove(&from);
            }
        }
    }
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    // No code that can panic runs under the lock.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S> Accept<TcpStream, S> for Admission {
    type Stream = TcpStream;
    // A connection's service ends with it, and so does what the service carries.
    type Service = AddExtension<S, Arc<Place>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = stream.peer_addr().and_then(|from| self.admit(from.ip()));
        ready(place.map(|place| (stream, AddExtension::new(service, Arc::new(place)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use network::{Config, Identity};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpSocket;
    use tokio::time::timeout;

    /// Far more than anything here takes; the machine may be busy.
    const LONG: Duration = Duration::from_secs(30);

    /// Asks for the page as somebody with this address, and returns the connection if there is an answer.
    async fn ask(server: SocketAddr, from: [u8; 4]) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let mut stream = socket.connect(server).await.unwrap();
        let asked = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        // Whoever is refused may hear of it here or there.
        stream.write_all(asked).await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        assert_eq!(&head, b"HTTP/1.1 200");
        Some(stream)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_opens_connections_without_end_keeps_nobody_else_out() {
        let (network, _events, _driver) =
            network::start(Config::new(Identity::generate())).unwrap();
        let limits = Limits {
            all: 5,
            per_address: 3,
            // All of this test are on this machine.
            count_loopback: true,
        };
        let admission = Admission::new(limits, network.clone());
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let server = axum_server::from_tcp(socket).unwrap().acceptor(admission);
        tokio::spawn(server.serve(router.into_make_service()));
        let (one, other, third) = ([127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 4]);
        let all = async {
            let mut open = Vec::new();
            for _ in 0..3 {
                open.push(ask(address, one).await.expect("there is room"));
            }
            assert!(ask(address, one).await.is_none());
            assert_eq!(network.refused().connections, 1);
            let _second = ask(address, other).await.expect("others have their own");
            let _third = ask(address, third).await.expect("there is room");
            assert!(ask(address, third).await.is_none(), "five are all");
            // Who leaves makes room, once the server has noticed.
            open.pop();
            while ask(address, one).await.is_none() {}
        };
        timeout(LONG, all).await.expect("an answer in time");
    }
}

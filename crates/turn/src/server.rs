use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::BytesMut;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use tokio::{net::UdpSocket, time::MissedTickBehavior};
use turn_server::{
    codec::{
        crypto::Password,
        message::{
            MessageEncoder,
            attributes::{Data, PasswordAlgorithm, XorPeerAddress},
            methods::DATA_INDICATION,
        },
    },
    service::{
        InterfaceAddr, Service, ServiceHandler, ServiceOptions, Transport,
        session::{Identifier, Session, ports::PortRange},
    },
};

use crate::{
    Credentials, Issuer, Limits,
    form::{self, Datagram},
    issuer::REALM,
    limits::{Budgets, Census},
};

/// Longer than any datagram that comes through the internet in one piece.
const MAX_DATAGRAM: usize = 2048;

/// The longest time a client may ask to be remembered for without saying anything (RFC 8656, section 7.2).
const MAX_LIFETIME: u32 = 3600;

/// The type of a message by which a client has something sent to a peer (RFC 8656, section 17).
const SEND_INDICATION: u16 = 0x0016;

/// What the system keeps of what comes faster than it is handed on: bursts of several clients.
const SYSTEM_BUFFER: usize = 4 << 20;

/// How often is forgotten what is of no use any more.
const TIDY: Duration = Duration::from_secs(10);

/// What a server has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Clients now.
    pub clients: u64,
    /// Bytes handed on.
    pub relayed: u64,
    /// Bytes lost because there were more than there may be.
    pub dropped: u64,
    /// Requests not answered for the same reason, and clients not accepted.
    pub refused: u64,
}

/// A server that listens. It works while [`Server::run`] runs.
#[derive(Clone)]
pub struct Server {
    socket: Arc<UdpSocket>,
    external: SocketAddr,
    service: Service<Clerk>,
    clerk: Clerk,
    budgets: Arc<Budgets>,
}

impl Server {
    /// Listens at `external`, by which others reach this machine; if that is an address of a router in front of it, at the
    /// same port of all its addresses. Must be called within a Tokio runtime.
    pub async fn bind(external: SocketAddr, issuer: Issuer, limits: Limits) -> io::Result<Self> {
        let socket = match listen(external) {
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let any: IpAddr = match external {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                listen(SocketAddr::new(any, external.port()))?
            }
            bound => bound?,
        };
        let local = socket.local_addr()?;
        let external = SocketAddr::new(external.ip(), local.port());
        let clerk = Clerk(Arc::new(Desk {
            issuer,
            limits,
            census: Mutex::default(),
            counters: Counters::default(),
        }));
        let service = Service::new(ServiceOptions {
            port_range: PortRange::default(),
            realm: REALM.to_owned(),
            interfaces: vec![InterfaceAddr {
                addr: local,
                external,
                transport: Transport::Udp,
            }],
            handler: clerk.clone(),
        });
        Ok(Self {
            socket: Arc::new(socket),
            external,
            service,
            clerk,
            budgets: Arc::new(Budgets::new(&limits)),
        })
    }

    /// What clients are told: `turn:` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("turn:{}?transport=udp", self.external)
    }

    /// Lets somebody use it.
    #[must_use]
    pub fn issue(&self, now: SystemTime) -> Credentials {
        self.clerk.0.issuer.issue(now)
    }

    /// What it has done so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let Counters {
            relayed,
            dropped,
            refused,
        } = &self.clerk.0.counters;
        Traffic {
            clients: self.clerk.0.census().all() as u64,
            relayed: relayed.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
            refused: refused.load(Ordering::Relaxed),
        }
    }

    /// Serves for ever.
    pub async fn run(self) {
        let mut tidy = tokio::time::interval(TIDY);
        tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut datagram = [0; MAX_DATAGRAM];
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((length, source)) => self.received(&datagram[..length], source).await,
                    // Of something that was sent earlier: somebody is gone.
                    Err(error) => tracing::debug!(%error, "TURN"),
                },
                _ = tidy.tick() => self.budgets.tidy(),
            }
        }
    }

    async fn received(&self, datagram: &[u8], source: SocketAddr) {
        let Some(form) = form::read(datagram) else {
            return;
        };
        let counters = &self.clerk.0.counters;
        let id = Identifier {
            source,
            external: self.external,
            interface: self.external,
            transport: Transport::Udp,
        };
        if let Datagram::Message { kind, lifetime } = form {
            // What lasted for ever would be a place that nobody else gets.
            if lifetime.is_some_and(|seconds| seconds > MAX_LIFETIME) {
                return;
            }
            let known = || {
                let sessions = self.service.get_session_manager();
                sessions.get_session(&id).get_ref().is_some()
            };
            if kind != SEND_INDICATION && !self.budgets.allow_request(source, known()) {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
        let mut answer = BytesMut::new();
        let mut router = self.service.make_router(id);
        let routed = router.route(datagram, &mut answer).await;
        let peer = match (routed, form) {
            (Ok(Some(routed)), _) => routed.relay,
            (Ok(None), Datagram::Channel { number, data }) => {
                let Some(peer) = self.indicate(&id, number, data, &mut answer) else {
                    return;
                };
                Some(peer)
            }
            _ => return,
        };
        if peer.is_some() {
            let length = answer.len();
            if !self.budgets.allow_bytes(source, length) {
                counters.dropped.fetch_add(length as u64, Ordering::Relaxed);
                return;
            }
            counters.relayed.fetch_add(length as u64, Ordering::Relaxed);
        }
        let to = peer.map_or(source, |peer| peer.source);
        // Whoever it is for may be gone, and nobody would be told.
        let _ = self.socket.send_to(&answer, to).await;
    }

    /// What came through a channel, for a peer that has no channel in the other direction yet: it is told where it came
    /// from in so many words.
    fn indicate(
        &self,
        id: &Identifier,
        channel: u16,
        data: &[u8],
        answer: &mut BytesMut,
    ) -> Option<Identifier> {
        let sessions = self.service.get_session_manager();
        let session = sessions.get_session(id);
        let Session::Authenticated {
            channel_relay_table,
            allocated_port: Some(port),
            ..
        } = session.get_ref()?
        else {
            return None;
        };
        let peer = *channel_relay_table.get(&channel)?;
        // Nobody answers an indication, so its number is nobody's.
        let transaction: [u8; 12] = rand::random();
        let mut message = MessageEncoder::new(DATA_INDICATION, &transaction, answer);
        message.append::<XorPeerAddress>(SocketAddr::new(self.external.ip(), *port));
        message.append::<Data>(data);
        message.flush(None).ok()?;
        Some(peer)
    }
}

fn listen(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // As much as the system allows. What does not fit is lost, and its sender may wait a second before it says it again.
    let _ = socket.set_recv_buffer_size(SYSTEM_BUFFER);
    let _ = socket.set_send_buffer_size(SYSTEM_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[derive(Default)]
struct Counters {
    relayed: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

/// Who decides who is let in.
#[derive(Clone)]
struct Clerk(Arc<Desk>);

struct Desk {
    issuer: Issuer,
    limits: Limits,
    census: Mutex<Census>,
    counters: Counters,
}

impl Desk {
    fn census(&self) -> std::sync::MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServiceHandler for Clerk {
    async fn get_password(
        &self,
        id: &Identifier,
        username: &str,
        algorithm: PasswordAlgorithm,
    ) -> Option<Password> {
        let desk = &self.0;
        let full = {
            let census = desk.census();
            census.all() >= desk.limits.clients
                || census.of(id.source.ip()) >= desk.limits.clients_per_address
        };
        if full {
            desk.counters.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        desk.issuer.expected(username, algorithm, SystemTime::now())
    }

    fn on_allocated(&self, id: &Identifier, _username: &str, _port: u16) {
        self.0.census().add(id.source.ip());
    }

    fn on_destroy(&self, id: &Identifier, _username: &str) {
        self.0.census().remove(id.source.ip());
    }
}

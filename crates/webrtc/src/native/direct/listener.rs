//! One port, many connections.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use futures::FutureExt;
use libp2p::core::transport::ListenerId;
use str0m::{Candidate, IceCreds, ice::StunMessage};
use tokio::{sync::mpsc, task::AbortHandle, time::timeout};

use super::{
    HANDSHAKE, Handshake, Identity, MAX_HALF_OPEN, MAX_HALF_OPEN_PER_IP, Upgrade, noise_channel,
};
use crate::{
    core::{Route, direct::Greeting},
    handshake::Side,
    native::{
        Connection, Error,
        certificate::fingerprint,
        driver::{Packet, Source, drive},
        negotiation::config,
        session::Session,
        socket::{Buffers, Socket},
        stun,
    },
};

/// Packets of one connection that wait for its task. When there are more they are lost, and sent again.
const INBOX: usize = 1024;

/// Connections that wait for the swarm to look at them.
const WAITING: usize = 64;

/// Connections at a time. The swarm has a limit of its own; this one only ends what it did not foresee.
const MAX_CLIENTS: usize = 16 << 10;

pub(super) struct Listener {
    pub(super) id: ListenerId,
    incoming: mpsc::Receiver<Incoming>,
    task: AbortHandle,
}

pub(super) struct Incoming {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) upgrade: Upgrade,
}

impl Listener {
    pub(super) fn start(id: ListenerId, socket: Socket, identity: Arc<Identity>) -> Self {
        let (sender, incoming) = mpsc::channel(WAITING);
        let port = Port {
            socket: Arc::new(socket),
            identity,
            clients: HashMap::new(),
            half_open: Arc::default(),
            incoming: sender,
        };
        let task = tokio::spawn(port.run()).abort_handle();
        Self { id, incoming, task }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        match self.incoming.poll_recv(cx) {
            Poll::Ready(Some(incoming)) => Poll::Ready(incoming),
            // The socket has failed; there will be nothing more.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Port {
    socket: Arc<Socket>,
    identity: Arc<Identity>,
    clients: HashMap<SocketAddr, mpsc::Sender<Packet>>,
    half_open: Arc<HalfOpen>,
    incoming: mpsc::Sender<Incoming>,
}

impl Port {
    async fn run(mut self) {
        let socket = Arc::clone(&self.socket);
        let mut buffers = Buffers::large();
        let mut replies = Vec::new();
        loop {
            let result = socket
                .receive(
                    &mut buffers,
                    |source, destination, data| match stun::reply(data, source) {
                        Some(reply) => replies.push((source, reply)),
                        None => self.packet(source, destination, data),
                    },
                )
                .await;
            if let Err(error) = result {
                return tracing::warn!(%error, "WebRTC-direct: the socket has failed");
            }
            for (source, reply) in replies.drain(..) {
                socket.send_to(source, &reply).await;
            }
        }
    }

    fn packet(&mut self, source: SocketAddr, destination: SocketAddr, data: &[u8]) {
        let packet = |data: &[u8]| Packet {
            source,
            destination,
            data: data.to_vec(),
        };
        if let Some(inbox) = self.clients.get(&source) {
            match inbox.try_send(packet(data)) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => return,
                // Whoever is there now is somebody new.
                Err(mpsc::error::TrySendError::Closed(_)) => _ = self.clients.remove(&source),
            }
        }
        let Some(greeting) = greeting(data) else {
            return;
        };
        let Some(pending) = self.half_open.enter(source.ip()) else {
            return tracing::debug!(%source, "too many connections in their handshake");
        };
        if self.clients.len() >= MAX_CLIENTS {
            self.clients.retain(|_, inbox| !inbox.is_closed());
            if self.clients.len() >= MAX_CLIENTS {
                return;
            }
        }
        match self.accept(greeting, source, destination, pending) {
            Ok((inbox, incoming)) => {
                // A swarm that does not keep up refuses the newcomer.
                if self.incoming.try_send(incoming).is_ok() {
                    let _ = inbox.try_send(packet(data));
                    self.clients.insert(source, inbox);
                }
            }
            Err(error) => tracing::debug!(%source, %error, "not accepted"),
        }
    }

    fn accept(
        &self,
        greeting: Greeting,
        source: SocketAddr,
        destination: SocketAddr,
        pending: Pending,
    ) -> Result<(mpsc::Sender<Packet>, Incoming), Error> {
        let mut rtc = config()
            .set_ice_lite(true)
            .set_local_ice_credentials(IceCreds {
                ufrag: greeting.server.fragment,
                pass: greeting.server.password,
            })
            .set_dtls_cert(self.identity.certificate.dtls())
            // Who it is, the handshake afterwards says.
            .set_fingerprint_verification(false)
            .build(Instant::now());
        let candidate =
            Candidate::host(destination, "udp").map_err(|error| Error::Rtc(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        let mut api = rtc.direct_api();
        api.set_remote_ice_credentials(IceCreds {
            ufrag: greeting.client.fragment,
            pass: greeting.client.password,
        });
        api.set_ice_controlling(false);
        // Asked for, though it is not compared with anything.
        api.set_remote_fingerprint(fingerprint([0; 32]));
        api.start_dtls(false)?;
        api.start_sctp(false);
        let session = Session::new(rtc);
        let channel = session.with(noise_channel);
        let (inbox, packets) = mpsc::channel(INBOX);
        tokio::spawn(drive(
            Arc::clone(&session),
            Arc::clone(&self.socket),
            Source::Shared(packets),
            None,
        ));
        let connection = Connection::new(Arc::clone(&session), Route::Direct);
        let handshake = Handshake {
            identity: Arc::clone(&self.identity),
            session,
            channel,
            side: Side::Server,
        };
        let upgrade = async move {
            let _pending = pending;
            timeout(HANDSHAKE, handshake.run(connection))
                .await
                .unwrap_or(Err(Error::TimedOut))
        };
        Ok((
            inbox,
            Incoming {
                source,
                destination,
                upgrade: upgrade.boxed(),
            },
        ))
    }
}

/// What the first packet of a client says.
fn greeting(data: &[u8]) -> Option<Greeting> {
    let message = StunMessage::parse(data).ok()?;
    message
        .is_binding_request()
        .then(|| message.username().and_then(Greeting::parse))
        .flatten()
}

/// Counts connections in their handshake.
#[derive(Default)]
struct HalfOpen(Mutex<HashMap<IpAddr, usize>>);

impl HalfOpen {
    fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Pending> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.values().sum();
        let here = counts.get(&ip).copied().unwrap_or(0);
        if all >= MAX_HALF_OPEN || here >= MAX_HALF_OPEN_PER_IP {
            return None;
        }
        counts.insert(ip, here + 1);
        drop(counts);
        Some(Pending {
            all: Arc::clone(self),
            ip,
        })
    }
}

/// One of them; counted until it is dropped.
struct Pending {
    all: Arc<HalfOpen>,
    ip: IpAddr,
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut counts = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.ip);
            }
        }
    }
}

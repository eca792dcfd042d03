//! The task that moves the packets of one connection.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, time::sleep_until};

use super::{
    session::Session,
    socket::{Buffers, Socket},
    turn::Relay,
};
use crate::core::Liveness;

/// Packets sent before what came is looked at again.
const BURST: usize = 64;

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A packet of a socket that several connections share.
pub(super) struct Packet {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) data: Vec<u8>,
}

/// Where the packets of a connection come from.
pub(super) enum Source {
    /// A socket that is only for it.
    Own(Box<Buffers>),
    /// Whoever reads the socket hands them over.
    Shared(mpsc::Receiver<Packet>),
}

impl Source {
    /// Waits for packets; all that are there are taken at once. `false`: there will be no more.
    async fn take(
        &mut self,
        socket: &Socket,
        session: &Session,
        relay: &mut Option<Relay>,
    ) -> bool {
        match self {
            Self::Own(buffers) => {
                let all = |source, destination, data: &[u8]| {
                    let now = Instant::now();
                    match relay {
                        Some(relay) if relay.server() == source => {
                            if let (Some((peer, said)), Some(ours)) =
                                (relay.received(data), relay.address())
                            {
                                session.lock().handle(peer, ours, &said, now);
                            }
                        }
                        _ => session.lock().handle(source, destination, data, now),
                    }
                };
                socket.receive(buffers, all).await.is_ok()
            }
            Self::Shared(inbox) => {
                let mut next = inbox.recv().await;
                let any = next.is_some();
                for _ in 0..BURST {
                    let Some(packet) = next else {
                        break;
                    };
                    let (from, to) = (packet.source, packet.destination);
                    session
                        .lock()
                        .handle(from, to, &packet.data, Instant::now());
                    next = inbox.try_recv().ok();
                }
                any
            }
        }
    }
}

/// Runs until the connection has ended. One that falls silent is given up. A place at a TURN server is given back then, or
/// when it turns out not to be needed.
pub(super) async fn drive(
    session: Arc<Session>,
    socket: Arc<Socket>,
    mut source: Source,
    mut relay: Option<Relay>,
) {
    let mut wrapped = Vec::new();
    let mut packets = Vec::new();
    let mut liveness = Liveness::new();
    let mut look = Instant::now() + Duration::from_secs(1);
    let mut goodbye = None;
    loop {
        let now = Instant::now();
        packets.clear();
        let (mut next, received, connected, way, ended, alive) = {
            let mut state = session.lock();
            let next = state.poll(now, &mut packets, BURST);
            (
                next,
                state.received,
                state.connected,
                state.way,
                state.end.is_some(),
                state.rtc.is_alive(),
            )
        };
        let until = ended.then(|| *goodbye.get_or_insert(now + GOODBYE));
        let over = until.is_some_and(|until| !alive || now >= until);
        if let Some(through) = &mut relay {
            through.carry(&mut packets, &mut wrapped);
            next = next.min(through.poll(&mut wrapped));
            for datagram in wrapped.drain(..) {
                socket.send_to(through.server(), &datagram).await;
            }
        }
        if connected {
            relay.take_if(|it| it.is_spare(way, now));
        }
        socket.send(&packets).await;
        if over {
            return;
        }
        if let Some(until) = until {
            next = next.min(until);
        } else {
            // Until it stands, finding a path takes what it takes; whoever negotiates sets the limit.
            if connected && now >= look {
                match liveness.observe(received) {
                    Some(wait) => look = now + wait,
                    None => {
                        session.lost();
                        continue;
                    }
                }
            }
            if connected {
                next = next.min(look);
            }
        }
        if next <= now {
            // There is more to send; others have their turn first.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            more = source.take(&socket, &session, &mut relay) => if !more {
                // Nothing will be heard any more, not even of a goodbye.
                return session.lost();
            },
            () = session.worked() => {}
            () = sleep_until(next.into()) => {}
        }
    }
}

//! UDP, many packets at a time where the system can.

use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
};

use quinn_udp::{RecvMeta, UdpSocketState};
use str0m::net::Transmit;
use tokio::{io::Interest, net::UdpSocket};

/// The longest datagram, and what several of them that the system has joined take together.
const BUFFER: usize = 64 << 10;

/// Buffers that are filled at a time at a port that many use.
const BATCH: usize = 8;

/// What the system keeps for us: a burst of one window of SCTP, and more.
const SYSTEM_BUFFER: usize = 4 << 20;

pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
}

/// Where packets are received into.
pub(super) struct Buffers {
    bytes: Box<[u8]>,
    metas: Box<[RecvMeta]>,
}

impl Buffers {
    /// For the packets of one connection.
    pub(super) fn small() -> Self {
        Self::new(1)
    }

    /// For those of many.
    pub(super) fn large() -> Self {
        Self::new(BATCH)
    }

    fn new(count: usize) -> Self {
        Self {
            bytes: vec![0; BUFFER * count].into(),
            metas: vec![RecvMeta::default(); count].into(),
        }
    }
}

impl Socket {
    /// Must be called within a Tokio runtime.
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        // As much as the system allows.
        let _ = state.set_recv_buffer_size((&socket).into(), SYSTEM_BUFFER);
        let _ = state.set_send_buffer_size((&socket).into(), SYSTEM_BUFFER);
        let local = socket.local_addr()?;
        Ok(Self {
            io: UdpSocket::from_std(socket)?,
            state,
            local,
        })
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits for packets and shows each with the address it came from and the one it was sent to.
    pub(super) async fn receive(
        &self,
        buffers: &mut Buffers,
        mut each: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) -> io::Result<()> {
        let count = loop {
            self.io.readable().await?;
            let mut slices: Vec<_> = buffers
                .bytes
                .chunks_mut(BUFFER)
                .map(IoSliceMut::new)
                .collect();
            let metas = &mut buffers.metas;
            let received = self.io.try_io(Interest::READABLE, || {
                self.state.recv((&self.io).into(), &mut slices, metas)
            });
            match received {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // What came back for a packet of ours that nobody wanted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) => return Err(error),
            }
        };
        for (meta, bytes) in buffers.metas[..count]
            .iter()
            .zip(buffers.bytes.chunks(BUFFER))
        {
            let to = match meta.dst_ip {
                Some(ip) => SocketAddr::new(ip, self.local.port()),
                None => self.local,
            };
            for packet in bytes[..meta.len].chunks(meta.stride.max(1)) {
                each(meta.addr, to, packet);
            }
        }
        Ok(())
    }

    /// Sends packets in their order; those of one size to one address together. What cannot be sent is lost, as
    /// packets are.
    pub(super) async fn send(&self, packets: &[Transmit]) {
        let mut rest = packets;
        let mut together = Vec::new();
        while let Some(first) = rest.first() {
            let size = first.contents.len();
            let most = self
                .state
                .max_gso_segments()
                .min(BUFFER / size.max(1))
                .max(1);
            let mut count = 1;
            // All but the last have the same size.
            while count < most
                && let Some(next) = rest.get(count)
                && (next.source, next.destination) == (first.source, first.destination)
                && rest[count - 1].contents.len() == size
                && next.contents.len() <= size
            {
                count += 1;
            }
            let (group, others) = rest.split_at(count);
            rest = others;
            let contents = if count == 1 {
                &first.contents[..]
            } else {
                together.clear();
                for packet in group {
                    together.extend_from_slice(&packet.contents);
                }
                &together[..]
            };
            let source = first.source.ip();
            self.send_one(&quinn_udp::Transmit {
                destination: first.destination,
                ecn: None,
                contents,
                segment_size: (count > 1).then_some(size),
                src_ip: (!source.is_unspecified() && self.local.ip().is_unspecified())
                    .then_some(source),
            })
            .await;
        }
    }

    /// One packet from whatever address the system chooses.
    pub(super) async fn send_to(&self, destination: SocketAddr, contents: &[u8]) {
        self.send_one(&from_anywhere(destination, contents)).await;
    }

    /// The same where nothing can be waited for; lost if the system does not take it at once.
    pub(super) fn send_now(&self, destination: SocketAddr, contents: &[u8]) {
        let _ = self.try_send(&from_anywhere(destination, contents));
    }

    fn try_send(&self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()> {
        self.io.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.io).into(), transmit)
        })
    }

    async fn send_one(&self, transmit: &quinn_udp::Transmit<'_>) {
        loop {
            if self.io.writable().await.is_err() {
                return;
            }
            match self.try_send(transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => {
                    return tracing::trace!(%error, to = %transmit.destination, "not sent");
                }
                Ok(()) => return,
            }
        }
    }
}

const fn from_anywhere(destination: SocketAddr, contents: &[u8]) -> quinn_udp::Transmit<'_> {
    quinn_udp::Transmit {
        destination,
        ecn: None,
        contents,
        segment_size: None,
        src_ip: None,
    }
}

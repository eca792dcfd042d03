//! A link that can be slow and can be cut.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

/// Bytes handed on at a time: small, so that a slow link is evenly slow.
const PIECE: usize = 4096;

/// Hands TCP connections on to another port, as fast as it is told.
pub struct Proxy {
    port: u16,
    link: Arc<Link>,
}

struct Link {
    /// Bytes per second and connection towards the client; zero is a cut link.
    rate: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    /// Bytes that went to the client.
    carried: AtomicU64,
}

impl Proxy {
    /// Listens on a free port; connections go to `to`.
    pub fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let link = Arc::new(Link {
            rate: AtomicU64::new(u64::MAX),
            open: Mutex::default(),
            carried: AtomicU64::new(0),
        });
        let shared = Arc::clone(&link);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.rate.load(Ordering::Relaxed) > 0 {
                    // One that cannot be made is one the client sees closed.
                    let _ = shared.join(client, to);
                }
            }
        });
        Ok(Self { port, link })
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// How many bytes went to the client, over all connections.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.link.carried.load(Ordering::Relaxed)
    }

    /// From now on each connection carries at most so many bytes a second towards the client.
    pub fn slow_down(&self, bytes_per_second: u64) {
        self.link
            .rate
            .store(bytes_per_second.max(1), Ordering::Relaxed);
    }

    /// Lets everything through again, at any speed.
    pub fn restore(&self) {
        self.link.rate.store(u64::MAX, Ordering::Relaxed);
    }

    /// Ends all connections and accepts none.
    pub fn cut(&self) {
        self.link.rate.store(0, Ordering::Relaxed);
        for stream in self.link.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Link {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(self: &Arc<Self>, client: TcpStream, to: SocketAddr) -> Result<()> {
        let server = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        self.open()
            .extend([client.try_clone()?, server.try_clone()?]);
        let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
        let (up, down) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || up.carry(from_client, to_server, false));
        thread::spawn(move || down.carry(server, client, true));
        Ok(())
    }

    fn carry(&self, mut from: TcpStream, mut to: TcpStream, to_client: bool) {
        let mut piece = [0; PIECE];
        loop {
            let length = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let rate = self.rate.load(Ordering::Relaxed);
            if to_client && (1..u64::MAX).contains(&rate) {
                thread::sleep(Duration::from_secs_f64(length as f64 / rate as f64));
            }
            if to_client {
                self.carried.fetch_add(length as u64, Ordering::Relaxed);
            }
            if to.write_all(&piece[..length]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

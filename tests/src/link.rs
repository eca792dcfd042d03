//! Links with a length: what goes in at one end comes out at the other after a while, unless it is lost. The kernel's own
//! emulation (netem) is a module that few machines have; here packets pass through this program.

use std::{
    fs, io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use rand::{Rng, SeedableRng, rngs::StdRng};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::lab::Host;

/// What a link does to what is sent over it, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// Every packet takes at least so long.
    pub delay: Duration,
    /// And up to so much longer; it overtakes no other by that.
    pub jitter: Duration,
    /// The share of packets that are lost.
    pub loss: f64,
}

/// Whether this machine lets such links be made.
#[must_use]
pub fn is_possible() -> bool {
    let mut device = fs::OpenOptions::new();
    device.read(true).write(true).open("/dev/net/tun").is_ok()
}

const MTU: u16 = 1500;

/// Packets on their way at a time; further ones are lost, as they are in routers.
const ON_THE_WAY: usize = 8192;

/// What a host's TCP does about losses.
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Has this host's TCP take losses for congestion, as Linux, Windows and macOS do by themselves, and the QUIC of nodes: with
/// [CUBIC](https://www.rfc-editor.org/rfc/rfc9438), or with Reno, which every namespace is allowed. Some machines have another
/// one set, and all that is measured over a link with losses would depend on it.
fn be_ordinary() -> Result<()> {
    let set = |name: &str| fs::write(CONGESTION_CONTROL, name);
    set("cubic")
        .or_else(|_| set("reno"))
        .context("cannot set TCP's congestion control")
}

/// Two hosts with a link between them, and nothing else.
pub struct Pair {
    /// One end.
    pub one: Host,
    /// The other.
    pub other: Host,
}

impl Pair {
    /// Their addresses.
    pub const ADDRESSES: [&str; 2] = ["10.70.0.1", "10.70.0.2"];

    /// Links two new hosts. What is lost and how late the rest is follows from `seed`.
    ///
    /// # Errors
    /// If the system allows no such hosts or devices.
    pub fn new(conditions: Conditions, seed: u64) -> Result<Self> {
        let pair = Self {
            one: Host::new()?,
            other: Host::new()?,
        };
        let ends = [&pair.one, &pair.other].map(device);
        let [one, other] = ends;
        let (one, other) = (Arc::new(one?), Arc::new(other?));
        for (host, address) in [&pair.one, &pair.other].into_iter().zip(Self::ADDRESSES) {
            host.ip(&format!("address add {address}/24 dev link"))?;
            host.ip("link set dev link txqueuelen 8192 up")?;
            // Browsers look for their own address where a route leads everywhere.
            host.ip("route add default dev link")?;
            done_at(host, be_ordinary)?;
        }
        carry(one.clone(), other.clone(), conditions, seed);
        carry(other, one, conditions, seed.wrapping_add(1));
        Ok(pair)
    }
}

/// Runs something with the network of a host, in a thread of its own; so do the threads that it starts.
///
/// # Errors
/// What it returns, or if the host is gone.
pub fn at<T: Send + 'static>(
    host: &Host,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> thread::JoinHandle<Result<T>> {
    let namespace = host.namespace();
    thread::spawn(move || {
        let file = fs::File::open(&namespace).context("the host is gone")?;
        setns(file, CloneFlags::CLONE_NEWNET).context("cannot enter the host's network")?;
        work()
    })
}

/// The same, and waits for it.
///
/// # Errors
/// What it returns, or if the host is gone.
pub fn done_at<T: Send + 'static>(
    host: &Host,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = at(host, work).join();
    done.map_err(|_| anyhow!("a thread has panicked"))?
}

fn device(host: &Host) -> Result<SyncDevice> {
    done_at(host, || {
        Ok(DeviceBuilder::new().name("link").mtu(MTU).build_sync()?)
    })
    .context("cannot make a TUN device")
}

/// One direction, until the devices are gone.
fn carry(from: Arc<SyncDevice>, to: Arc<SyncDevice>, conditions: Conditions, seed: u64) {
    let (sender, receiver) = sync_channel(ON_THE_WAY);
    thread::spawn(move || take(&from, &sender, conditions, seed));
    thread::spawn(move || give(&to, receiver));
}

/// When it is due at the other end, and what it is.
type Packet = (Instant, Vec<u8>);

fn take(
    from: &SyncDevice,
    packets: &SyncSender<Packet>,
    conditions: Conditions,
    seed: u64,
) -> io::Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut buffer = [0; MTU as usize + 64];
    let mut latest = Instant::now();
    loop {
        let length = from.recv(&mut buffer)?;
        if random.random_bool(conditions.loss) {
            continue;
        }
        let late = conditions.jitter.mul_f64(random.random());
        // A link is one behind the other: what is late holds up what comes after it.
        latest = latest.max(Instant::now() + conditions.delay + late);
        // Full: lost.
        let _ = packets.try_send((latest, buffer[..length].to_vec()));
    }
}

/// Each waits for the one before it, and none is due before that.
fn give(to: &SyncDevice, packets: Receiver<Packet>) -> io::Result<()> {
    for (due, packet) in packets {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        to.send(&packet)?;
    }
    Ok(())
}

//! Links with a length: what goes in at one end comes out at the other after a while, unless it is lost. The kernel's own
//! emulation (netem) is a module that few machines have; here packets pass through this program.

use std::{
    collections::VecDeque,
    fs, io,
    os::fd::AsFd as _,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sched::{CloneFlags, setns},
    sys::time::TimeSpec,
};
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
    /// So much gets through from each host; what comes faster waits, and is lost when too much waits.
    pub bytes_per_second: Option<u64>,
}

/// Whether this machine lets such links be made.
#[must_use]
pub fn is_possible() -> bool {
    let mut device = fs::OpenOptions::new();
    device.read(true).write(true).open("/dev/net/tun").is_ok()
}

const MTU: u16 = 1500;

/// What waits longer than that before a line that is too narrow is lost, as in routers.
const LONGEST_WAIT: Duration = Duration::from_millis(250);

/// Packets on their way at a time; further ones are lost, as they are in routers.
const ON_THE_WAY: usize = 8192;

/// Packets taken before those that are due are delivered.
const BATCH: usize = 64;

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

/// Hosts with a link from each to each, and nothing else.
pub struct Star {
    /// All of them.
    pub hosts: Vec<Host>,
    /// On which side of a cut each is, a bit for each number.
    sides: Arc<AtomicU32>,
}

/// The network of them all.
const NETWORK: [u8; 3] = [10, 70, 0];

impl Star {
    /// Links new hosts. What is lost and how late the rest is follows from `seed`.
    ///
    /// # Errors
    /// If the system allows no such hosts or devices.
    pub fn new(hosts: u8, conditions: Conditions, seed: u64) -> Result<Self> {
        ensure!(u32::from(hosts) <= u32::BITS, "{hosts} are too many hosts");
        let sides = Arc::new(AtomicU32::new(0));
        let hosts: Vec<_> = (0..hosts).map(|_| Host::new()).collect::<Result<_>>()?;
        let mut devices = Vec::new();
        for (number, host) in hosts.iter().enumerate() {
            let device = Arc::new(device(host)?);
            host.ip(&format!(
                "address add {}/24 dev link",
                Self::address(number)
            ))?;
            host.ip("link set dev link txqueuelen 8192 up")?;
            // Browsers look for their own address where a route leads everywhere.
            host.ip("route add default dev link")?;
            done_at(host, be_ordinary)?;
            devices.push(device);
        }
        for number in 0..devices.len() {
            let (devices, sides) = (devices.clone(), sides.clone());
            let random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
            thread::spawn(move || {
                let together = |other: usize| {
                    let sides = sides.load(Ordering::Relaxed);
                    (sides >> number ^ sides >> other) & 1 == 0
                };
                carry(&devices, number, together, conditions, random)
            });
        }
        Ok(Self { hosts, sides })
    }

    /// Nothing gets through any more between the hosts with these numbers and all others; with none of them, everything
    /// does again.
    pub fn cut_off(&self, numbers: impl IntoIterator<Item = usize>) {
        let sides = numbers
            .into_iter()
            .fold(0, |sides, number| sides | 1 << number);
        self.sides.store(sides, Ordering::Relaxed);
    }

    /// The address of the host with this number.
    #[must_use]
    pub fn address(number: usize) -> String {
        let [a, b, c] = NETWORK;
        format!("{a}.{b}.{c}.{}", number + 1)
    }
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

    /// Links two new hosts, as [`Star`] does.
    ///
    /// # Errors
    /// If the system allows no such hosts or devices.
    pub fn new(conditions: Conditions, seed: u64) -> Result<Self> {
        let mut hosts = Star::new(2, conditions, seed)?.hosts.into_iter();
        let (one, other) = hosts.next().zip(hosts.next()).context("two hosts")?;
        Ok(Self { one, other })
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
        let device = DeviceBuilder::new().name("link").mtu(MTU).build_sync()?;
        device.set_nonblocking(true)?;
        Ok(device)
    })
    .context("cannot make a TUN device")
}

/// When it is due at the other end, which one that is, and what it is.
type Packet = (Instant, usize, Vec<u8>);

/// Carries what one of the hosts sends, until its device is gone.
fn carry(
    devices: &[Arc<SyncDevice>],
    number: usize,
    together: impl Fn(usize) -> bool,
    conditions: Conditions,
    mut random: StdRng,
) -> Result<()> {
    let from = devices.get(number).context("no such host")?;
    let mut buffer = [0; MTU as usize + 64];
    // Each waits for the one before it, and none is due before that.
    let mut on_the_way: VecDeque<Packet> = VecDeque::new();
    let mut latest = Instant::now();
    // When the line is free again.
    let mut free = Instant::now();
    loop {
        while let Some((_, to, packet)) =
            on_the_way.pop_front_if(|(due, ..)| *due <= Instant::now())
        {
            // A host that is gone hears nothing any more.
            let _ = devices.get(to).map(|device| device.send(&packet));
        }
        let next = on_the_way.front();
        let wait = next.map(|(due, ..)| due.saturating_duration_since(Instant::now()));
        let mut sent = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut sent, wait.map(TimeSpec::from), None)?;
        for _ in 0..BATCH {
            let length = match from.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            let Some(to) = destination(&buffer[..length]).filter(|to| together(*to)) else {
                continue;
            };
            if random.random_bool(conditions.loss) || on_the_way.len() >= ON_THE_WAY {
                continue;
            }
            let now = Instant::now();
            free = free.max(now);
            if let Some(rate) = conditions.bytes_per_second {
                if free - now > LONGEST_WAIT {
                    continue;
                }
                free += Duration::from_secs_f64(length as f64 / rate.max(1) as f64);
            }
            let late = conditions.jitter.mul_f64(random.random());
            // A link is one behind the other: what is late holds up what comes after it.
            latest = latest.max(free + conditions.delay + late);
            on_the_way.push_back((latest, to, buffer[..length].to_vec()));
        }
    }
}

/// The number of the host that a packet is for. Of IPv6 there is none.
fn destination(packet: &[u8]) -> Option<usize> {
    let is_ipv4 = packet.first()? >> 4 == 4;
    let [network @ .., host] = <[u8; 4]>::try_from(packet.get(16..20)?).ok()?;
    (is_ipv4 && network == NETWORK).then(|| usize::from(host).checked_sub(1))?
}

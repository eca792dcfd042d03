//! Links with a length: what goes in at one end comes out at the other after a while, unless it is lost. The kernel's own
//! emulation (netem) is a module that few machines have; here packets pass through this program.

use std::{
    collections::VecDeque,
    fs,
    io::{self, PipeReader, PipeWriter},
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

impl Conditions {
    /// The way from a home to the internet, or back.
    pub const HOME: Self = Self {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        loss: 0.005,
        bytes_per_second: None,
    };
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
pub(crate) fn be_ordinary() -> Result<()> {
    let set = |name: &str| fs::write(CONGESTION_CONTROL, name);
    set("cubic")
        .or_else(|_| set("reno"))
        .context("cannot set TCP's congestion control")
}

/// What carries packets between devices, a thread for each of them. Dropping it takes the devices away.
struct Carriers {
    /// The threads end when this is closed.
    stop: Option<PipeWriter>,
    threads: Vec<thread::JoinHandle<Result<()>>>,
}

impl Carriers {
    /// Has all that is sent at the device with a number go to the one that `route` names, or nowhere. What is lost and how
    /// late the rest is follows from `seed`.
    fn start(
        devices: Vec<SyncDevice>,
        conditions: Conditions,
        seed: u64,
        route: impl Fn(usize, &[u8]) -> Option<usize> + Clone + Send + 'static,
    ) -> Result<Self> {
        let devices: Arc<[_]> = devices.into();
        let (stopped, stop) = io::pipe()?;
        let stopped = Arc::new(stopped);
        let threads = (0..devices.len()).map(|number| {
            let (devices, stopped, route) = (devices.clone(), stopped.clone(), route.clone());
            let random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
            let route = move |packet: &[u8]| route(number, packet);
            thread::spawn(move || carry(&devices, number, route, conditions, random, &stopped))
        });
        Ok(Self {
            threads: threads.collect(),
            stop: Some(stop),
        })
    }
}

impl Drop for Carriers {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            // Some have ended already, with the device of a host that is gone.
            let _ = thread.join();
        }
    }
}

/// A link between two networks: a device in each of them.
pub(crate) struct Wire(#[expect(dead_code, reason = "it works as long as it is there")] Carriers);

impl Wire {
    /// Makes a device `name` in our own network and one called `far_name` at the host `far`.
    pub(crate) fn new(
        name: &str,
        (far, far_name): (&Host, &'static str),
        conditions: Conditions,
        seed: u64,
    ) -> Result<Self> {
        let devices = vec![device(name)?, device_at(far, far_name)?];
        let other = |number: usize, _: &[u8]| Some(1 - number);
        Ok(Self(Carriers::start(devices, conditions, seed, other)?))
    }
}

/// Hosts with a link from each to each, and nothing else.
pub struct Star {
    /// All of them.
    pub hosts: Vec<Host>,
    carriers: Carriers,
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
            devices.push(device_at(host, "link")?);
            host.ip(&format!(
                "address add {}/24 dev link",
                Self::address(number)
            ))?;
            host.ip("link set dev link txqueuelen 8192 up")?;
            // Browsers look for their own address where a route leads everywhere.
            host.ip("route add default dev link")?;
            done_at(host, be_ordinary)?;
        }
        let cut = Arc::clone(&sides);
        let route = move |number: usize, packet: &[u8]| {
            let (other, sides) = (destination(packet)?, cut.load(Ordering::Relaxed));
            ((sides >> number ^ sides >> other) & 1 == 0).then_some(other)
        };
        let carriers = Carriers::start(devices, conditions, seed, route)?;
        Ok(Self {
            hosts,
            carriers,
            sides,
        })
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
    _carriers: Carriers,
}

impl Pair {
    /// Their addresses.
    pub const ADDRESSES: [&str; 2] = ["10.70.0.1", "10.70.0.2"];

    /// Links two new hosts, as [`Star`] does.
    ///
    /// # Errors
    /// If the system allows no such hosts or devices.
    pub fn new(conditions: Conditions, seed: u64) -> Result<Self> {
        let star = Star::new(2, conditions, seed)?;
        let mut hosts = star.hosts.into_iter();
        let (one, other) = hosts.next().zip(hosts.next()).context("two hosts")?;
        Ok(Self {
            one,
            other,
            _carriers: star.carriers,
        })
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

fn device_at(host: &Host, name: &'static str) -> Result<SyncDevice> {
    done_at(host, move || device(name))
}

fn device(name: &str) -> Result<SyncDevice> {
    let make = || {
        let device = DeviceBuilder::new().name(name).mtu(MTU).build_sync()?;
        device.set_nonblocking(true)?;
        Ok::<_, io::Error>(device)
    };
    make().context("cannot make a TUN device")
}

/// When it is due at the other end, which one that is, and what it is.
type Packet = (Instant, usize, Vec<u8>);

/// Carries what is sent at one of the devices, until that is gone or the other end of `stopped` is closed.
fn carry(
    devices: &[SyncDevice],
    number: usize,
    route: impl Fn(&[u8]) -> Option<usize>,
    conditions: Conditions,
    mut random: StdRng,
    stopped: &PipeReader,
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
        let mut awaited =
            [from.as_fd(), stopped.as_fd()].map(|it| PollFd::new(it, PollFlags::POLLIN));
        ppoll(&mut awaited, wait.map(TimeSpec::from), None)?;
        if awaited[1].any().unwrap_or(true) {
            return Ok(());
        }
        for _ in 0..BATCH {
            let length = match from.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            let Some(to) = route(&buffer[..length]) else {
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

/// The number of the host of a [`Star`] that a packet is for. Of IPv6 there is none.
fn destination(packet: &[u8]) -> Option<usize> {
    let is_ipv4 = packet.first()? >> 4 == 4;
    let [network @ .., host] = <[u8; 4]>::try_from(packet.get(16..20)?).ok()?;
    (is_ipv4 && network == NETWORK).then(|| usize::from(host).checked_sub(1))?
}

//! A node among those who mean it badly, at each of its ports: memory stays bounded, who asks honestly does not notice, and
//! the metrics tell.

mod packets;

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{AsyncWriteExt as _, StreamExt as _, stream};
use libp2p::{
    Multiaddr, StreamProtocol,
    multiaddr::Protocol,
    swarm::{SwarmEvent, dial_opts::DialOpts},
};
use protocol::{Channel, FrameEncoder, Hello, Message};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, UdpSocket},
};

use super::{Asked, Table, ask, percentile, progress};
use crate::{
    Node, Program, bare, namespace, until,
    watch::{memory, metric},
};

/// How large the experiment is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections that one address begins.
    pub attempts: usize,
    /// Peers that connect as they should and then misbehave.
    pub strangers: usize,
    /// Datagrams sent to its UDP ports, at least.
    pub datagrams: usize,
    /// Texts that are asked for at each of its ports before, and at least while the attack goes on.
    pub questions: usize,
    /// How many times as long half of the questions may take during the attack as before, at each port.
    pub slower: Option<f64>,
}

/// The network of [`namespace`] has this one; the other is added for the attack.
const NODE: &str = "10.99.0.1";
const ATTACKER: &str = "10.99.0.66";
/// Where those come from who connect as they should and then misbehave: who asks honestly does not share its limits.
const STRANGERS: &str = "10.99.0.67";
/// Connections the attacker has open at a time, as far as it is let.
const AT_ONCE: usize = 300;
/// Of those, how many say nothing and stay.
const SILENT: usize = 100;
/// Until a stranger that was refused comes again.
const AGAIN: Duration = Duration::from_millis(500);
/// What the node may take in addition while it is attacked.
const MEMORY: u64 = 128 << 20;
const TOKENS: u32 = 40;
/// Sockets from which datagrams come, so that the node takes them for so many clients.
const SOCKETS: usize = 64;
/// So many datagrams at once, and then a pause: as fast as an attacker may be that leaves the machine time for the node.
const BURST: usize = 200;
const PAUSE: Duration = Duration::from_millis(20);

/// A port of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Tcp,
    WebSocket,
    Quic,
    WebRtc,
}

impl Port {
    const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::Quic, Self::WebRtc];

    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::WebSocket => "WebSocket",
            Self::Quic => "QUIC",
            Self::WebRtc => "WebRTC-direct",
        }
    }

    /// What the node is to listen at.
    const fn listen(self) -> &'static str {
        match self {
            Self::Tcp => "tcp/0",
            Self::WebSocket => "tcp/0/ws",
            Self::Quic => "udp/0/quic-v1",
            Self::WebRtc => "udp/0/webrtc-direct",
        }
    }

    fn is(self, address: &str) -> bool {
        let is = |name: &str| address.split('/').any(|part| part == name);
        address.starts_with(&format!("/ip4/{NODE}/"))
            && match self {
                Self::Tcp => is("tcp") && !is("ws"),
                Self::WebSocket => is("ws"),
                Self::Quic => is("quic-v1"),
                Self::WebRtc => is("webrtc-direct"),
            }
    }
}

/// Where the node listens, by port.
#[derive(Clone, Debug)]
struct Addresses([String; 4]);

impl Addresses {
    fn of(node: &Node) -> Result<Self> {
        let [tcp, websocket, quic, webrtc] =
            Port::ALL.map(|port| node.listens(|address| port.is(address)));
        Ok(Self([tcp?, websocket?, quic?, webrtc?]))
    }

    fn at(&self, port: Port) -> &str {
        &self.0[port as usize]
    }

    fn socket(&self, port: Port) -> Result<SocketAddr> {
        let number = self.at(port).split('/').nth(4).context("no port")?;
        Ok(SocketAddr::new(NODE.parse()?, number.parse()?))
    }
}
const QUESTION: &str = "Qu'est-ce qu'un fragment ?";

/// What a stranger does once it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mischief {
    /// Bytes that mean nothing.
    Noise,
    /// A message that says it is longer than any may be.
    Oversized,
    /// The beginning of a message, and never its end.
    Unfinished,
    /// Streams that nothing is said on.
    Streams,
    /// Protocols and versions that do not exist.
    Versions,
}

const MISCHIEF: [Mischief; 5] = [
    Mischief::Noise,
    Mischief::Oversized,
    Mischief::Unfinished,
    Mischief::Streams,
    Mischief::Versions,
];

fn hello(version: u32) -> Result<Vec<u8>> {
    let mut wire = Vec::new();
    let message = Message::Hello(Hello {
        version,
        ..Hello::default()
    });
    FrameEncoder::new(Channel::Compute).encode(&message, &mut wire)?;
    Ok(wire)
}

/// Connects, misbehaves, and stays until it is thrown out or all is over.
async fn stranger(to: Multiaddr, mischief: Mischief, attack: Arc<Attack>) -> Result<()> {
    let mut swarm = bare::swarm()?;
    let control = swarm.behaviour().new_control();
    // It dials from where it listens.
    let from = match to.iter().nth(1) {
        Some(Protocol::Udp(_)) => format!("/ip4/{STRANGERS}/udp/0/quic-v1"),
        _ => format!("/ip4/{STRANGERS}/tcp/0"),
    };
    swarm.listen_on(from.parse()?)?;
    let dial = || DialOpts::unknown_peer_id().address(to.clone()).build();
    while !attack.over.load(Ordering::Relaxed) {
        let Ok(event) =
            tokio::time::timeout(Duration::from_secs(1), swarm.select_next_some()).await
        else {
            continue;
        };
        match event {
            SwarmEvent::NewListenAddr { .. } => swarm.dial(dial())?,
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                let mut control = control.clone();
                tokio::spawn(async move {
                    let compute = Channel::Compute.name();
                    let (name, bytes, streams) = match mischief {
                        Mischief::Noise => (compute, vec![0xa7; 1000], 1),
                        Mischief::Oversized => (
                            Channel::Content.name(),
                            vec![0xff, 0xff, 0xff, 0xff, 0x0f],
                            1,
                        ),
                        // 16 MiB are announced, 64 KiB are sent.
                        Mischief::Unfinished => {
                            let mut bytes = vec![0x80, 0x80, 0x80, 0x08];
                            bytes.resize(64 << 10, 0);
                            (compute, bytes, 1)
                        }
                        Mischief::Streams => (compute, Vec::new(), 200),
                        Mischief::Versions => {
                            // Refused, which is what is wanted.
                            let unknown = StreamProtocol::new("/iap2p/compute/99");
                            let _ = control.open_stream(peer_id, unknown).await;
                            (compute, hello(protocol::VERSION + 1)?, 1)
                        }
                    };
                    let mut open = Vec::new();
                    for _ in 0..streams {
                        let opened = control
                            .open_stream(peer_id, StreamProtocol::new(name))
                            .await;
                        // Further ones are refused at some time.
                        let Ok(mut stream) = opened else { break };
                        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err()
                        {
                            break;
                        }
                        open.push(stream);
                    }
                    std::future::pending::<()>().await;
                    Ok::<(), anyhow::Error>(())
                });
            }
            SwarmEvent::ConnectionClosed { .. } => {
                attack.thrown_out.fetch_add(1, Ordering::Relaxed);
                break;
            }
            // All strangers come from one address: the node lets so many begin at a time.
            SwarmEvent::OutgoingConnectionError { .. } => {
                tokio::time::sleep(AGAIN).await;
                swarm.dial(dial())?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// One attempt from the attacker's address, over when the node has closed it.
async fn attempt(from: IpAddr, to: SocketAddr, says: &[u8]) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((from, 0).into())?;
    let mut stream = socket.connect(to).await?;
    // Either may fail: the node has closed it already.
    let _ = stream.write_all(says).await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
    Ok(())
}

/// Attempts without an end that say this and then nothing at all.
async fn silence(from: IpAddr, to: SocketAddr, says: &[u8], attack: Arc<Attack>) {
    while !attack.over.load(Ordering::Relaxed) {
        let _ = tokio::time::timeout(Duration::from_secs(60), attempt(from, to, says)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Datagrams to these ports, for as long as the attack goes on.
async fn flood(from: IpAddr, to: [SocketAddr; 2], attack: Arc<Attack>) -> Result<()> {
    let mut sockets = Vec::new();
    for _ in 0..SOCKETS {
        sockets.push(UdpSocket::bind((from, 0)).await?);
    }
    let mut random = StdRng::seed_from_u64(1);
    while !attack.over.load(Ordering::Relaxed) {
        for _ in 0..BURST {
            let socket = &sockets[random.random_range(0..SOCKETS)];
            let to = to[random.random_range(0..to.len())];
            // What the system has no room for is lost.
            let _ = socket.try_send_to(&packets::datagram(&mut random), to);
        }
        attack.datagrams.fetch_add(BURST, Ordering::Relaxed);
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// How far the attack is.
#[derive(Default)]
struct Attack {
    /// Attempts that are over.
    attempts: AtomicUsize,
    /// Datagrams that were sent.
    datagrams: AtomicUsize,
    /// Strangers whose connection the node has closed.
    thrown_out: AtomicUsize,
    over: AtomicBool,
}

/// Everything at once.
async fn attack(node: Addresses, options: Options, attack: Arc<Attack>) -> Result<()> {
    let from: IpAddr = ATTACKER.parse()?;
    let [tcp, websocket, quic, webrtc] = Port::ALL.map(|port| node.socket(port));
    let (tcp, websocket) = (tcp?, websocket?);
    let flood = tokio::spawn(flood(from, [quic?, webrtc?], attack.clone()));
    let silent: Vec<_> = (0..SILENT)
        .map(|number| {
            let (to, says) = if number % 2 == 0 {
                (tcp, &[][..])
            } else {
                (websocket, packets::UPGRADE)
            };
            tokio::spawn(silence(from, to, says, attack.clone()))
        })
        .collect();
    let dialled: [Multiaddr; 2] = [node.at(Port::Tcp).parse()?, node.at(Port::Quic).parse()?];
    let strangers: Vec<_> = (0..options.strangers)
        .map(|number| {
            let mischief = MISCHIEF[number % MISCHIEF.len()];
            let to = dialled[number / MISCHIEF.len() % dialled.len()].clone();
            tokio::spawn(stranger(to, mischief, attack.clone()))
        })
        .collect();
    let bar = progress("attempts", options.attempts);
    let plain: [&[u8]; 5] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        b"\x13/multistream/1.0.0\n\xff\xff\xff\xff\xff",
        b"\x13/multistream/1.0.0\n\x07/noise\n\x10\x00",
    ];
    let garbage: Vec<(SocketAddr, Vec<u8>)> = plain
        .map(|bytes| (tcp, bytes.to_vec()))
        .into_iter()
        .chain(packets::websockets().into_iter().map(|it| (websocket, it)))
        .collect();
    let mut attempts = stream::iter(0..options.attempts)
        .map(|number| {
            let (to, says) = &garbage[number % garbage.len()];
            attempt(from, *to, says)
        })
        .buffer_unordered(AT_ONCE);
    while let Some(attempt) = attempts.next().await {
        attempt?;
        attack.attempts.fetch_add(1, Ordering::Relaxed);
        bar.inc(1);
    }
    bar.finish_and_clear();
    for task in strangers {
        task.await??;
    }
    for task in silent {
        task.abort();
    }
    flood.await?
}

/// What the node has kept off, as its metrics say it.
struct KeptOff {
    refused: u64,
    handshakes: u64,
    stalled: u64,
    banned: u64,
    other_versions: u64,
}

impl KeptOff {
    fn read() -> Result<Self> {
        let figure = |name| metric(STATUS, name);
        Ok(Self {
            refused: figure("iap2p_connections_refused_total")?,
            handshakes: figure("iap2p_handshakes_failed_total")?,
            stalled: figure("iap2p_stalled_total")?,
            banned: figure("iap2p_banned_total")?,
            other_versions: figure("iap2p_other_versions_total")?,
        })
    }
}

fn start(program: &Program, folder: &Path) -> Result<Node> {
    let fragments = folder.join("fragments");
    program.cut_demo(&fragments)?;
    let listen = Port::ALL.map(|port| format!("/ip4/{NODE}/{}", port.listen()));
    program.start(
        &folder.join("node.key"),
        &[
            &"serve",
            &"--dir",
            &fragments,
            &"--listen",
            &listen.join(","),
            &"--status",
            &STATUS,
        ],
    )
}

/// The network is our own, so the port is free.
const STATUS: &str = "127.0.0.1:9100";

/// Runs the experiment, in a network of its own only ([`namespace::enter`]).
pub fn run_blocking(options: Options) -> Result<Table> {
    ensure!(
        namespace::is_entered(),
        "this takes a network namespace of its own, which cannot be made here"
    );
    namespace::add_address(ATTACKER)?;
    namespace::add_address(STRANGERS)?;
    let program = Program::find()?;
    let folder = tempfile::tempdir()?;
    let node = start(&program, folder.path())?;
    let addresses = Addresses::of(&node)?;

    let expected = ask(&program, addresses.at(Port::Tcp), QUESTION, TOKENS)?.tokens;
    // A question at each port; how long each took.
    let questions = |when: &str| {
        let asked = Port::ALL.map(|port| {
            let Asked { tokens, time, .. } = ask(&program, addresses.at(port), QUESTION, TOKENS)
                .with_context(|| format!("by {}, {when}", port.name()))?;
            ensure!(tokens == expected, "another text {when}");
            Ok(time)
        });
        asked.into_iter().collect::<Result<Vec<_>>>()
    };
    let mut before = Vec::new();
    for _ in 0..options.questions {
        before.push(questions("without an attack")?);
    }
    let calm = memory(node.process(), "VmRSS")?;

    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let progress = Arc::new(Attack::default());
    let attacking = {
        let (addresses, progress) = (addresses.clone(), progress.clone());
        runtime.spawn(async move { attack(addresses, options, progress).await })
    };
    until("the attack is felt", || {
        let kept_off = KeptOff::read()?;
        Ok((kept_off.refused + kept_off.handshakes > 0).then_some(()))
    })?;
    let mut during = Vec::new();
    let mut most = 0;
    // All strangers but those of another version are thrown out.
    let of_each = options.strangers / MISCHIEF.len();
    let unwanted = of_each * (MISCHIEF.len() - 1);
    let end = Instant::now() + Duration::from_secs(600);
    loop {
        during.push(questions("under attack")?);
        most = most.max(memory(node.process(), "VmHWM")?);
        let attempts = progress.attempts.load(Ordering::Relaxed);
        let thrown_out = progress.thrown_out.load(Ordering::Relaxed);
        let done = attempts >= options.attempts
            && thrown_out >= unwanted
            && progress.datagrams.load(Ordering::Relaxed) >= options.datagrams;
        if done && during.len() >= options.questions {
            break;
        }
        ensure!(
            !attacking.is_finished() && Instant::now() < end,
            "the attack does not end: {attempts} attempts, {thrown_out} of {unwanted} thrown out"
        );
    }
    let kept_off = KeptOff::read()?;
    progress.over.store(true, Ordering::Relaxed);
    runtime.block_on(attacking)??;
    runtime.shutdown_background();
    until("the attackers' connections are gone", || {
        let status = program.run(&[&"status", &STATUS, &"--json"])?;
        let status: Value = serde_json::from_str(&status)?;
        let connections = status["connections"].as_array().context("no list")?;
        Ok(connections.is_empty().then_some(()))
    })?;

    let took = most.saturating_sub(calm);
    let datagrams = progress.datagrams.load(Ordering::Relaxed);
    let mut table = Table::new(["what", "figure"]);
    let mut row = |what: &str, figure: String| table.row([what.to_owned(), figure]);
    row("attempts from one address", options.attempts.to_string());
    row("datagrams from there", datagrams.to_string());
    row("connections refused", kept_off.refused.to_string());
    row("handshakes failed", kept_off.handshakes.to_string());
    row("peers that misbehaved", options.strangers.to_string());
    row("of them banned", kept_off.banned.to_string());
    row(
        "of them stalled, and disconnected",
        kept_off.stalled.to_string(),
    );
    row(
        "of them of another version, not asked",
        kept_off.other_versions.to_string(),
    );
    row("memory before", format!("{} MiB", calm >> 20));
    row("more at most", format!("{} MiB", took >> 20));
    let mut slowed = Vec::new();
    for port in Port::ALL {
        let by = |rounds: &[Vec<Duration>]| -> Vec<Duration> {
            let times = rounds.iter().filter_map(|times| times.get(port as usize));
            times.copied().collect()
        };
        let (before, during) = (by(&before), by(&during));
        let [calm, median, slowest] = [(&before, 0.5), (&during, 0.5), (&during, 1.0)]
            .map(|(times, share)| percentile(times, share).unwrap_or_default().as_secs_f64());
        row(
            &format!("an honest question by {}, before, median", port.name()),
            format!("{calm:.2} s"),
        );
        row(
            "during the attack, median and slowest",
            format!("{median:.2} s, {slowest:.2} s"),
        );
        if options.slower.is_some_and(|times| median > times * calm) {
            slowed.push(port.name());
        }
    }
    let answered = during.iter().map(Vec::len).sum::<usize>();
    row("honest questions answered during it", answered.to_string());
    let of_each = of_each as u64;
    ensure!(
        took < MEMORY
            && kept_off.banned == 2 * of_each
            && kept_off.stalled == 2 * of_each
            && kept_off.other_versions == of_each
            && slowed.is_empty(),
        "not as it should be:\n{table}"
    );
    Ok(table)
}

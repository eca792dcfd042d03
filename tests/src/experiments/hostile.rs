//! A node among those who mean it badly: memory stays bounded, who asks honestly does not notice, and the metrics tell.

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
    swarm::{SwarmEvent, dial_opts::DialOpts},
};
use protocol::{Channel, FrameEncoder, Hello, Message};
use serde_json::Value;
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpSocket};

use super::{Asked, Table, ask, percentile, progress};
use crate::{
    Program, bare, namespace, until,
    watch::{memory, metric},
};

/// How large the experiment is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Connections that one address begins.
    pub attempts: usize,
    /// Peers that connect as they should and then misbehave.
    pub strangers: usize,
    /// Texts that are asked for before, and at least while the attack goes on.
    pub questions: usize,
}

/// The network of [`namespace`] has this one; the other is added for the attack.
const NODE: &str = "10.99.0.1";
const ATTACKER: &str = "10.99.0.66";
/// Connections the attacker has open at a time, as far as it is let.
const AT_ONCE: usize = 300;
/// Of those, how many say nothing and stay.
const SILENT: usize = 100;
/// Until a stranger that was refused comes again.
const AGAIN: Duration = Duration::from_millis(500);
/// What the node may take in addition while it is attacked.
const MEMORY: u64 = 128 << 20;
const TOKENS: u32 = 40;
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
    let dial = || DialOpts::unknown_peer_id().address(to.clone()).build();
    swarm.dial(dial())?;
    while !attack.over.load(Ordering::Relaxed) {
        let Ok(event) =
            tokio::time::timeout(Duration::from_secs(1), swarm.select_next_some()).await
        else {
            continue;
        };
        match event {
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

/// Attempts without an end that say nothing at all.
async fn silence(from: IpAddr, to: SocketAddr, attack: Arc<Attack>) {
    while !attack.over.load(Ordering::Relaxed) {
        let _ = tokio::time::timeout(Duration::from_secs(60), attempt(from, to, &[])).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How far the attack is.
#[derive(Default)]
struct Attack {
    /// Attempts that are over.
    attempts: AtomicUsize,
    /// Strangers whose connection the node has closed.
    thrown_out: AtomicUsize,
    over: AtomicBool,
}

/// Everything at once.
async fn attack(node: &str, options: Options, attack: Arc<Attack>) -> Result<()> {
    let address: Multiaddr = node.parse()?;
    let port = node.split('/').nth(4).context("no port")?.parse()?;
    let to = SocketAddr::new(NODE.parse()?, port);
    let from: IpAddr = ATTACKER.parse()?;
    let silent: Vec<_> = (0..SILENT)
        .map(|_| tokio::spawn(silence(from, to, attack.clone())))
        .collect();
    let strangers: Vec<_> = (0..options.strangers)
        .map(|number| {
            let mischief = MISCHIEF[number % MISCHIEF.len()];
            tokio::spawn(stranger(address.clone(), mischief, attack.clone()))
        })
        .collect();
    let bar = progress("attempts", options.attempts);
    let garbage: &[&[u8]] = &[
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0xff; 64],
        b"\x13/multistream/1.0.0\n\xff\xff\xff\xff\xff",
        b"\x13/multistream/1.0.0\n\x07/noise\n\x10\x00",
    ];
    let mut attempts = stream::iter(0..options.attempts)
        .map(|number| attempt(from, to, garbage[number % garbage.len()]))
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
    Ok(())
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

fn start(program: &Program, folder: &Path) -> Result<crate::Node> {
    let fragments = folder.join("fragments");
    program.cut_demo(&fragments)?;
    let listen = format!("/ip4/{NODE}/tcp/0");
    program.start(
        &folder.join("node.key"),
        &[
            &"serve",
            &"--dir",
            &fragments,
            &"--listen",
            &listen,
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
    let program = Program::find()?;
    let folder = tempfile::tempdir()?;
    let node = start(&program, folder.path())?;
    let address = node.listens(|address| address.starts_with(&format!("/ip4/{NODE}/tcp/")))?;

    let mut before = Vec::new();
    let question = || ask(&program, &address, QUESTION, TOKENS);
    let expected = question()?.tokens;
    for _ in 0..options.questions {
        let Asked { tokens, time, .. } = question()?;
        ensure!(tokens == expected, "another text without an attack");
        before.push(time);
    }
    let calm = memory(node.process(), "VmRSS")?;

    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let progress = Arc::new(Attack::default());
    let attacking = {
        let (address, progress) = (address.clone(), progress.clone());
        runtime.spawn(async move { attack(&address, options, progress).await })
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
        let Asked { tokens, time, .. } = question()?;
        ensure!(tokens == expected, "another text under attack");
        during.push(time);
        most = most.max(memory(node.process(), "VmHWM")?);
        let attempts = progress.attempts.load(Ordering::Relaxed);
        let thrown_out = progress.thrown_out.load(Ordering::Relaxed);
        let done = attempts >= options.attempts && thrown_out >= unwanted;
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
    let mut table = Table::new(["what", "figure"]);
    let seconds = |time: Option<Duration>| {
        time.map_or_else(String::new, |time| format!("{:.2} s", time.as_secs_f64()))
    };
    for (what, figure) in [
        ("attempts from one address", options.attempts.to_string()),
        ("connections refused", kept_off.refused.to_string()),
        ("handshakes failed", kept_off.handshakes.to_string()),
        ("peers that misbehaved", options.strangers.to_string()),
        ("of them banned", kept_off.banned.to_string()),
        (
            "of them stalled, and disconnected",
            kept_off.stalled.to_string(),
        ),
        (
            "of them of another version, not asked",
            kept_off.other_versions.to_string(),
        ),
        ("memory before", format!("{} MiB", calm >> 20)),
        ("more at most", format!("{} MiB", took >> 20)),
        (
            "an honest question before, median",
            seconds(percentile(&before, 0.5)),
        ),
        (
            "during the attack, median",
            seconds(percentile(&during, 0.5)),
        ),
        (
            "during the attack, slowest",
            seconds(percentile(&during, 1.0)),
        ),
        (
            "honest questions answered during it",
            during.len().to_string(),
        ),
    ] {
        table.row([what.into(), figure]);
    }
    let of_each = of_each as u64;
    ensure!(
        took < MEMORY
            && kept_off.banned == 2 * of_each
            && kept_off.stalled == 2 * of_each
            && kept_off.other_versions == of_each,
        "not as it should be:\n{table}"
    );
    Ok(table)
}

//! What the network adds to the round trip and to the time a fragment takes, beside a plain TCP socket over the same link.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use futures::StreamExt as _;
use network::{Config, Event, Events, Handle, Identity, Multiaddr, PeerId};
use protocol::{
    BLOCK_BYTES, ComputeRequest, ComputeResponse, ContentBlock, ContentRequest, ContentResponse,
    Hello, Message, Priority, RequestId,
};

use super::{Table, percentile, progress};
use crate::link::{self, Conditions, Pair};

/// How large the experiment is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Round trips measured under each condition.
    pub rounds: usize,
    /// What the link does in each direction: milliseconds that a packet takes, and the share of them that are lost.
    pub links: Vec<(u64, f64)>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// All figures.
    pub table: Table,
    /// What took so much longer than over a plain socket that it must not.
    pub worse: Vec<String>,
}

/// Both ways.
const MESSAGE: usize = 16 << 10;
/// A fragment.
const FRAGMENT: usize = 10_000_000;
/// Round trips before measuring begins.
const WARM_UP: usize = 10;
/// How much slower a round trip may be, and how much of the throughput has to be left.
const LONGER: f64 = 1.5;
const THROUGHPUT: f64 = 0.8;

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Socket,
    Tcp,
    Quic,
    WebRtc,
}

const CARRIERS: [Carrier; 4] = [
    Carrier::Socket,
    Carrier::Tcp,
    Carrier::Quic,
    Carrier::WebRtc,
];

impl Carrier {
    const fn name(self) -> &'static str {
        match self {
            Self::Socket => "TCP socket",
            Self::Tcp => "TCP",
            Self::Quic => "QUIC",
            Self::WebRtc => "WebRTC-direct",
        }
    }

    fn listen(self) -> String {
        let ip = Pair::ADDRESSES[0];
        match self {
            Self::Socket => format!("{ip}:0"),
            Self::Tcp => format!("/ip4/{ip}/tcp/0"),
            Self::Quic => format!("/ip4/{ip}/udp/0/quic-v1"),
            Self::WebRtc => format!("/ip4/{ip}/udp/0/webrtc-direct"),
        }
    }
}

/// What was measured of one carrier.
struct Measured {
    rounds: Vec<Duration>,
    fragment: Duration,
}

impl Measured {
    fn median(&self) -> Duration {
        percentile(&self.rounds, 0.5).unwrap_or_default()
    }

    fn p99(&self) -> Duration {
        percentile(&self.rounds, 0.99).unwrap_or_default()
    }

    fn megabytes_per_second(&self) -> f64 {
        FRAGMENT as f64 / 1e6 / self.fragment.as_secs_f64()
    }
}

/// Sockets, as plain as they come.
fn socket(pair: &Pair, rounds: usize) -> Result<Measured> {
    let (tell, told) = sync_channel(1);
    link::at(&pair.one, move || {
        let listener = TcpListener::bind(Carrier::Socket.listen())?;
        tell.send(listener.local_addr()?)?;
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut message = vec![0; MESSAGE];
        for _ in 0..WARM_UP + rounds {
            stream.read_exact(&mut message)?;
            stream.write_all(&message)?;
        }
        // Somebody asks for a fragment.
        stream.read_exact(&mut [0])?;
        stream.write_all(&vec![7; FRAGMENT])?;
        Ok(())
    });
    let address = told.recv().context("nobody listens")?;
    let asking = link::at(&pair.other, move || {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let mut message = vec![0; MESSAGE];
        let mut times = Vec::new();
        for _ in 0..WARM_UP + rounds {
            let begun = Instant::now();
            stream.write_all(&message)?;
            stream.read_exact(&mut message)?;
            times.push(begun.elapsed());
        }
        let begun = Instant::now();
        stream.write_all(&[1])?;
        stream.read_exact(&mut vec![0; FRAGMENT])?;
        Ok(Measured {
            rounds: times.split_off(WARM_UP),
            fragment: begun.elapsed(),
        })
    });
    joined(asking)
}

fn joined<T>(thread: std::thread::JoinHandle<Result<T>>) -> Result<T> {
    thread
        .join()
        .map_err(|_| anyhow!("a thread has panicked"))?
}

fn start(listen: Option<&str>) -> Result<(Handle, Events)> {
    let mut config = Config::new(Identity::generate());
    config.hello = Hello::default();
    if let Some(listen) = listen {
        config.listen = vec![listen.parse()?];
    }
    let (handle, events, driver) = network::start(config)?;
    tokio::spawn(driver);
    Ok((handle, events))
}

/// Answers everything, until the other side has gone.
async fn answer(carrier: Carrier, tell: std::sync::mpsc::SyncSender<Multiaddr>) -> Result<()> {
    let (handle, mut events) = start(Some(&carrier.listen()))?;
    let block = Bytes::from(vec![7; BLOCK_BYTES as usize]);
    while let Some(event) = events.next().await {
        match event {
            Event::Listening { address } => tell.send(address)?,
            Event::Message { peer, message } => {
                let reply = match message {
                    Message::ComputeRequest(request) => Message::ComputeResponse(ComputeResponse {
                        id: request.id,
                        result: Ok(request.body),
                    }),
                    Message::ContentRequest(request) => Message::ContentResponse(ContentResponse {
                        id: request.id,
                        result: Ok(ContentBlock {
                            total: FRAGMENT as u64,
                            bytes: block.clone(),
                            proof: Vec::new(),
                        }),
                    }),
                    _ => continue,
                };
                handle.send(peer, reply)?;
            }
            Event::Disconnected { .. } => break,
            _ => {}
        }
    }
    Ok(())
}

/// The next message that is an answer.
async fn answered(events: &mut Events) -> Result<Message> {
    loop {
        match events.next().await.context("the node has ended")? {
            Event::Message { message, .. } if !matches!(message, Message::Hello(_)) => {
                return Ok(message);
            }
            Event::Disconnected { .. } => return Err(anyhow!("the connection was lost")),
            _ => {}
        }
    }
}

async fn ask(address: Multiaddr, rounds: usize) -> Result<Measured> {
    let (handle, mut events) = start(None)?;
    handle.dial(address);
    let peer: PeerId = loop {
        if let Event::Message {
            peer,
            message: Message::Hello(_),
        } = events.next().await.context("the node has ended")?
        {
            break peer;
        }
    };
    let body = Bytes::from(vec![0; MESSAGE]);
    let mut times = Vec::new();
    for id in 0..(WARM_UP + rounds) as u64 {
        let begun = Instant::now();
        let request = ComputeRequest {
            id: RequestId(id),
            fragment: protocol::Digest::default(),
            body: body.clone(),
            priority: Priority::Interactive,
            patience: None,
        };
        handle.send(peer, Message::ComputeRequest(request))?;
        answered(&mut events).await?;
        times.push(begun.elapsed());
    }
    // As many blocks at a time as a download asks of one peer.
    let limits = swarm::Config::new(swarm::PeerId::new(b"any")).blocks_per_peer;
    let mut window = swarm::Window::new(limits);
    let mut since = VecDeque::new();
    let blocks = FRAGMENT.div_ceil(BLOCK_BYTES as usize);
    let begun = Instant::now();
    let (mut asked, mut here) = (0, 0);
    while here < blocks {
        while asked < blocks && asked < here + window.blocks() {
            let request = ContentRequest {
                id: RequestId(asked as u64),
                content: protocol::Digest::default(),
                block: Some(asked as u32),
            };
            handle.send(peer, Message::ContentRequest(request))?;
            since.push_back(Instant::now());
            asked += 1;
        }
        answered(&mut events).await?;
        // One stream carries them all, in order.
        if let Some(since) = since.pop_front() {
            window.block_came(since.elapsed(), asked - here);
        }
        here += 1;
    }
    let fragment = begun.elapsed();
    handle.shutdown();
    Ok(Measured {
        rounds: times.split_off(WARM_UP),
        fragment,
    })
}

fn node(pair: &Pair, carrier: Carrier, rounds: usize) -> Result<Measured> {
    let (tell, told): (_, Receiver<Multiaddr>) = sync_channel(8);
    link::at(&pair.one, move || {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(answer(carrier, tell))
    });
    let address = told
        .recv_timeout(Duration::from_secs(20))
        .context("nobody listens")?;
    joined(link::at(&pair.other, move || {
        tokio::runtime::Runtime::new()?.block_on(ask(address, rounds))
    }))
}

/// What of `ours` is worse than it may be beside `plain`.
fn worse(ours: &Measured, plain: &Measured) -> Vec<&'static str> {
    let longer =
        |ours: Duration, plain: Duration| ours.as_secs_f64() > LONGER * plain.as_secs_f64();
    let slower = ours.megabytes_per_second() < THROUGHPUT * plain.megabytes_per_second();
    [
        ("median", longer(ours.median(), plain.median())),
        ("p99", longer(ours.p99(), plain.p99())),
        ("throughput", slower),
    ]
    .into_iter()
    .filter_map(|(what, is_worse)| is_worse.then_some(what))
    .collect()
}

/// Each carrier over each link.
///
/// # Errors
/// If something does not arrive, or sooner than the link lets it.
pub fn run_blocking(options: &Options) -> Result<Outcome> {
    let bar = progress("links", options.links.len() * CARRIERS.len());
    let mut table = Table::new([
        "each way",
        "lost",
        "over",
        "16 KiB both ways, median",
        "p99",
        "10 MB",
        "worse than allowed",
    ]);
    let mut all_worse = Vec::new();
    for &(delay, loss) in &options.links {
        let delay = Duration::from_millis(delay);
        let mut plain: Option<Measured> = None;
        for carrier in CARRIERS {
            let link = Conditions {
                delay,
                jitter: Duration::ZERO,
                loss,
            };
            let pair = Pair::new(link, 7)?;
            let measured = match carrier {
                Carrier::Socket => socket(&pair, options.rounds),
                _ => node(&pair, carrier, options.rounds),
            };
            let place = format!("{} at {delay:?}, {} %", carrier.name(), loss * 100.0);
            let measured = measured.with_context(|| place.clone())?;
            ensure!(
                measured.median() >= 2 * delay,
                "{place}: {:?} is less than the link takes",
                measured.median()
            );
            let worse = plain
                .as_ref()
                .map_or_else(Vec::new, |plain| worse(&measured, plain));
            table.row([
                format!("{} ms", delay.as_millis()),
                format!("{} %", loss * 100.0),
                carrier.name().to_owned(),
                milliseconds(measured.median()),
                milliseconds(measured.p99()),
                format!("{:.1} MB/s", measured.megabytes_per_second()),
                worse.join(", "),
            ]);
            all_worse.extend(worse.into_iter().map(|what| format!("{what} of {place}")));
            plain.get_or_insert(measured);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(Outcome {
        table,
        worse: all_worse,
    })
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

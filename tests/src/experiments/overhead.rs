//! What the network adds to the round trip and to the time a fragment takes, beside the plainest that goes over the same
//! link: a TCP socket natively, an `RTCDataChannel` in browsers.

mod native;
mod tabs;

use std::{fmt, sync::mpsc::sync_channel, time::Duration};

use anyhow::{Context, Result, ensure};
use network::{Config, Event, Multiaddr};
use probe::{FRAGMENT, Measured};

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
    /// What took so much longer than the plainest that it must not.
    pub worse: Vec<String>,
}

/// How much slower a round trip may be, and how much of the throughput has to be left.
const LONGER: f64 = 1.5;
const THROUGHPUT: f64 = 0.8;

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    Socket,
    BareTcp,
    Tcp,
    BareQuic,
    Quic,
    DataChannel,
    WebRtcDirect,
    Tabs,
}

/// Each after the plainest that goes the same way.
const CARRIERS: [Carrier; 8] = [
    Carrier::Socket,
    Carrier::BareTcp,
    Carrier::Tcp,
    Carrier::BareQuic,
    Carrier::Quic,
    Carrier::DataChannel,
    Carrier::WebRtcDirect,
    Carrier::Tabs,
];

impl Carrier {
    /// Nothing of ours.
    const fn is_plain(self) -> bool {
        matches!(self, Self::Socket | Self::DataChannel)
    }

    /// What libp2p takes without us is told, but not judged.
    const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Tcp | Self::Quic | Self::WebRtcDirect | Self::Tabs
        )
    }

    fn measure(self, pair: &Pair, rounds: usize) -> Result<Measured> {
        match self {
            Self::Socket => native::socket(pair, rounds),
            Self::BareTcp => native::bare(pair, rounds, "tcp/0"),
            Self::Tcp => native::nodes(pair, rounds, "tcp/0"),
            Self::BareQuic => native::bare(pair, rounds, "udp/0/quic-v1"),
            Self::Quic => native::nodes(pair, rounds, "udp/0/quic-v1"),
            Self::WebRtcDirect => native::nodes(pair, rounds, "udp/0/webrtc-direct"),
            Self::DataChannel => tabs::data_channel(pair, rounds),
            Self::Tabs => tabs::nodes(pair, rounds),
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Socket => "TCP socket",
            Self::BareTcp => "libp2p alone, TCP",
            Self::Tcp => "TCP",
            Self::BareQuic => "libp2p alone, QUIC",
            Self::Quic => "QUIC",
            Self::DataChannel => "`RTCDataChannel`",
            Self::WebRtcDirect => "WebRTC-direct, native",
            Self::Tabs => "WebRTC between tabs",
        })
    }
}

fn median(measured: &Measured) -> Duration {
    percentile(&measured.rounds, 0.5).unwrap_or_default()
}

fn p99(measured: &Measured) -> Duration {
    percentile(&measured.rounds, 0.99).unwrap_or_default()
}

fn megabytes_per_second(measured: &Measured) -> f64 {
    FRAGMENT as f64 / 1e6 / measured.fragment.as_secs_f64()
}

/// Starts a node on the first host, which answers there until the host is gone; says where it listens.
fn answering(pair: &Pair, config: Config) -> Result<Multiaddr> {
    let (tell, told) = sync_channel(8);
    link::at(&pair.one, move || {
        tokio::runtime::Runtime::new()?.block_on(async {
            let (handle, mut events) = network::start_on_thread(config)?;
            let heard = |event| {
                if let Event::Listening { address } = event {
                    // Fails when nobody waits any more.
                    let _ = tell.try_send(address);
                }
            };
            Ok(probe::answer(&handle, &mut events, heard).await?)
        })
    });
    let address = told.recv_timeout(Duration::from_secs(20));
    address.context("nobody listens")
}

/// What of `ours` is worse than it may be beside `plain`.
fn worse(ours: &Measured, plain: &Measured) -> Vec<&'static str> {
    let longer =
        |ours: Duration, plain: Duration| ours.as_secs_f64() > LONGER * plain.as_secs_f64();
    let slower = megabytes_per_second(ours) < THROUGHPUT * megabytes_per_second(plain);
    [
        ("median", longer(median(ours), median(plain))),
        ("p99", longer(p99(ours), p99(plain))),
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
                ..Conditions::default()
            };
            let place = format!("{carrier} at {delay:?}, {} %", loss * 100.0);
            let measured = Pair::new(link, 7)
                .and_then(|pair| carrier.measure(&pair, options.rounds))
                .with_context(|| place.clone())?;
            ensure!(
                median(&measured) >= 2 * delay,
                "{place}: {:?} is less than the link takes",
                median(&measured)
            );
            if carrier.is_plain() {
                plain = None;
            }
            let worse = plain
                .as_ref()
                .filter(|_| carrier.is_ours())
                .map_or_else(Vec::new, |plain| worse(&measured, plain));
            table.row([
                format!("{} ms", delay.as_millis()),
                format!("{} %", loss * 100.0),
                carrier.to_string(),
                milliseconds(median(&measured)),
                milliseconds(p99(&measured)),
                format!("{:.1} MB/s", megabytes_per_second(&measured)),
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

//! What the network adds to the round trip and to the time a fragment takes, beside the plainest that goes over the same
//! link: a TCP socket natively, an `RTCDataChannel` in browsers.

mod native;
mod tabs;

use std::{fmt, sync::mpsc::sync_channel, time::Duration};

use anyhow::{Context, Result, ensure};
use network::{Config, Event, Multiaddr};
use probe::{FRAGMENT, Measured};
use tokio::runtime::{self, Runtime};

use super::{Table, percentile, progress};
use crate::link::{self, Conditions, Pair};

/// How large the experiment is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Round trips measured under each condition.
    pub rounds: usize,
    /// In so many goes, one after the other for all that is compared, each over a connection of its own: what a machine does
    /// besides concerns all of them.
    pub goes: usize,
    /// What the link does in each direction: milliseconds that a packet takes, and the share of them that are lost.
    pub links: Vec<(u64, f64)>,
    /// What is compared with what.
    pub with: Vec<Plain>,
}

/// The plainest there is, with which all that goes the same way is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Plain {
    /// A TCP socket.
    Socket,
    /// An `RTCDataChannel` of Chromium.
    Channel,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// All figures.
    pub table: Table,
    /// What took so much longer than the plainest that it must not.
    pub worse: Vec<String>,
}

/// What gets through the link: the quickest that most have at home. Were there no bound, what is called a network without a
/// delay would be a measure of how soon this machine starts its threads.
const BYTES_PER_SECOND: u64 = 1_000_000_000 / 8;

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

impl Plain {
    /// It, and then what is compared with it.
    const fn carriers(self) -> &'static [Carrier] {
        match self {
            Self::Socket => &[
                Carrier::Socket,
                Carrier::BareTcp,
                Carrier::Tcp,
                Carrier::BareQuic,
                Carrier::Quic,
            ],
            Self::Channel => &[Carrier::DataChannel, Carrier::WebRtcDirect, Carrier::Tabs],
        }
    }
}

impl Carrier {
    /// The plainest that speaks the same to the other side, for what is ours. The system has no socket that speaks QUIC:
    /// there it is the library. What is not ours is told, but not judged.
    const fn judged_by(self) -> Option<Self> {
        match self {
            Self::Tcp => Some(Self::Socket),
            Self::Quic => Some(Self::BareQuic),
            Self::WebRtcDirect | Self::Tabs => Some(Self::DataChannel),
            Self::Socket | Self::BareTcp | Self::BareQuic | Self::DataChannel => None,
        }
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

/// Has the network and whoever looks at its events run on one thread, as in a page. (A native node hands what is to be
/// computed over to other threads; that is not the network's.)
fn alone() -> Result<Runtime> {
    Ok(runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

/// Starts a node on the first host, which answers there until the host is gone; says where it listens.
fn answering(pair: &Pair, config: Config) -> Result<Multiaddr> {
    let (tell, told) = sync_channel(8);
    link::at(&pair.one, move || {
        alone()?.block_on(async {
            let (handle, mut events, driver) = network::start(config)?;
            tokio::spawn(driver);
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

/// What came of all goes.
#[derive(Debug, Default)]
struct All {
    rounds: Vec<Duration>,
    fragments: Vec<Duration>,
}

impl All {
    fn add(&mut self, measured: Measured) {
        self.rounds.extend(measured.rounds);
        self.fragments.push(measured.fragment);
    }

    /// Each with how much its place may be off ([`quantile`]).
    fn median(&self, off: f64) -> Duration {
        quantile(&self.rounds, 0.5, off)
    }

    fn p99(&self, off: f64) -> Duration {
        quantile(&self.rounds, 0.99, off)
    }

    fn megabytes_per_second(&self, off: f64) -> f64 {
        FRAGMENT as f64 / 1e6 / quantile(&self.fragments, 0.5, off).as_secs_f64()
    }
}

/// What so large a share of the times do not exceed; or where that would be if its place among them were off by so many times
/// 1.2 standard deviations. (Where two may be off so far, their difference is by 1.7 of them, and one in twenty is by more.)
fn quantile(times: &[Duration], share: f64, off: f64) -> Duration {
    let deviation = (share * (1.0 - share) / times.len().max(1) as f64).sqrt();
    let share = (share + off * 1.2 * deviation).clamp(0.0, 1.0);
    percentile(times, share).unwrap_or_default()
}

/// What of `ours` is worse than it may be beside `plain`. Where packets are lost, who loses how many is chance: then only what
/// chance does not explain is told.
fn worse(ours: &All, plain: &All, losses: bool) -> Vec<&'static str> {
    let longer =
        |ours: Duration, plain: Duration| ours.as_secs_f64() > LONGER * plain.as_secs_f64();
    let off = if losses { 1.0 } else { 0.0 };
    let slower = ours.megabytes_per_second(-off) < THROUGHPUT * plain.megabytes_per_second(off);
    [
        ("median", longer(ours.median(-off), plain.median(off))),
        ("p99", longer(ours.p99(-off), plain.p99(off))),
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
    let each: usize = options.with.iter().map(|it| it.carriers().len()).sum();
    let bar = progress("connections", options.links.len() * options.goes * each);
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
    for (&(delay, loss), with) in options
        .links
        .iter()
        .flat_map(|link| options.with.iter().map(move |with| (link, with)))
    {
        let delay = Duration::from_millis(delay);
        let place = |carrier: Carrier| format!("{carrier} at {delay:?}, {} %", loss * 100.0);
        let link = Conditions {
            delay,
            loss,
            bytes_per_second: Some(BYTES_PER_SECOND),
            ..Conditions::default()
        };
        let mut measured: Vec<_> = with
            .carriers()
            .iter()
            .map(|carrier| (*carrier, All::default()))
            .collect();
        for go in 0..options.goes {
            for (carrier, all) in &mut measured {
                let rounds = options.rounds.div_ceil(options.goes);
                let of_this = Pair::new(link, go as u64)
                    .and_then(|pair| carrier.measure(&pair, rounds))
                    .with_context(|| place(*carrier))?;
                all.add(of_this);
                bar.inc(1);
            }
        }
        let of = |carrier: Carrier| measured.iter().find(|it| it.0 == carrier).map(|it| &it.1);
        for (carrier, all) in &measured {
            let median = all.median(0.0);
            ensure!(
                median >= 2 * delay,
                "{}: {median:?} is less than the link takes",
                place(*carrier)
            );
            let plain = carrier.judged_by().and_then(of);
            let worse = plain.map_or_else(Vec::new, |plain| worse(all, plain, loss > 0.0));
            table.row([
                format!("{} ms", delay.as_millis()),
                format!("{} %", loss * 100.0),
                carrier.to_string(),
                milliseconds(median),
                milliseconds(all.p99(0.0)),
                format!("{:.1} MB/s", all.megabytes_per_second(0.0)),
                worse.join(", "),
            ]);
            let place = place(*carrier);
            all_worse.extend(worse.into_iter().map(|what| format!("{what} of {place}")));
        }
    }
    bar.finish_and_clear();
    Ok(Outcome {
        table,
        worse: all_worse,
    })
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

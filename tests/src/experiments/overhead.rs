//! What the network adds to the round trip and to the time a fragment takes, beside the plainest that goes over the same
//! link: a TCP socket natively, an `RTCDataChannel` in browsers.

mod native;
mod tabs;

use std::{
    fmt,
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use network::{Config, Event, Multiaddr};
use probe::{Effort, FRAGMENT, Measured};

use super::{Table, percentile, progress};
use crate::link::{self, Conditions, Pair};

/// How large the experiment is.
#[derive(Debug, Clone)]
pub struct Options {
    /// What is compared is measured in turn, over a connection of its own each time, so often at most: what a machine does
    /// besides concerns all.
    pub goes: usize,
    /// Round trips measured each time, at most.
    pub rounds: usize,
    /// What is compared is not measured once more after this time under the same conditions.
    pub within: Duration,
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

/// How long round trips are measured at a time, unless few have been by then.
const AT_A_TIME: Duration = Duration::from_secs(30);

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
    /// What libp2p takes without us is told, but not judged.
    const fn is_ours(self) -> bool {
        matches!(
            self,
            Self::Tcp | Self::Quic | Self::WebRtcDirect | Self::Tabs
        )
    }

    fn measure(self, pair: &Pair, effort: Effort) -> Result<Measured> {
        match self {
            Self::Socket => native::socket(pair, effort),
            Self::BareTcp => native::bare(pair, effort, "tcp/0"),
            Self::Tcp => native::nodes(pair, effort, "tcp/0"),
            Self::BareQuic => native::bare(pair, effort, "udp/0/quic-v1"),
            Self::Quic => native::nodes(pair, effort, "udp/0/quic-v1"),
            Self::WebRtcDirect => native::nodes(pair, effort, "udp/0/webrtc-direct"),
            Self::DataChannel => tabs::data_channel(pair, effort),
            Self::Tabs => tabs::nodes(pair, effort),
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

/// Starts a node on the first host, which answers there until the host is gone; says where it listens.
fn answering(pair: &Pair, config: Config) -> Result<Multiaddr> {
    let (tell, told) = sync_channel(8);
    link::done_at(&pair.one, move || {
        let work = move |handle, mut events| async move {
            let heard = |event| {
                if let Event::Listening { address } = event {
                    // Fails when nobody waits any more.
                    let _ = tell.try_send(address);
                }
            };
            // Until the one who asks has gone, who says what went wrong.
            let _ = probe::answer(&handle, &mut events, heard).await;
        };
        Ok(network::start_on_thread(config, work)?)
    })?;
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

    fn median(&self) -> Duration {
        percentile(&self.rounds, 0.5).unwrap_or_default()
    }

    fn p99(&self) -> Duration {
        percentile(&self.rounds, 0.99).unwrap_or_default()
    }

    fn megabytes_per_second(&self) -> f64 {
        let fragment = percentile(&self.fragments, 0.5).unwrap_or_default();
        FRAGMENT as f64 / 1e6 / fragment.as_secs_f64()
    }
}

/// What of `ours` is worse than it may be beside `plain`.
fn worse(ours: &All, plain: &All) -> Vec<&'static str> {
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
        let effort = Effort {
            rounds: options.rounds,
            within: AT_A_TIME,
        };
        let begun = Instant::now();
        for go in 0..options.goes {
            if go > 0 && begun.elapsed() > options.within {
                bar.inc(((options.goes - go) * measured.len()) as u64);
                break;
            }
            for (carrier, all) in &mut measured {
                let of_this = Pair::new(link, go as u64)
                    .and_then(|pair| carrier.measure(&pair, effort))
                    .with_context(|| place(*carrier))?;
                all.add(of_this);
                bar.inc(1);
            }
        }
        let mut plain = None;
        for (carrier, all) in &measured {
            let median = all.median();
            ensure!(
                median >= 2 * delay,
                "{}: {median:?} is less than the link takes",
                place(*carrier)
            );
            // The first is what the others are compared with.
            let plain = *plain.get_or_insert(all);
            let worse = if carrier.is_ours() {
                worse(all, plain)
            } else {
                Vec::new()
            };
            let (median, p99) = (milliseconds(median), milliseconds(all.p99()));
            let throughput = format!("{:.1} MB/s", all.megabytes_per_second());
            let place = place(*carrier);
            // The table comes much later.
            bar.suspend(|| eprintln!("{place}: {median}, p99 {p99}, {throughput}"));
            table.row([
                format!("{} ms", delay.as_millis()),
                format!("{} %", loss * 100.0),
                carrier.to_string(),
                median,
                p99,
                throughput,
                worse.join(", "),
            ]);
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

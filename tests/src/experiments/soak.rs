//! A day in an hour: nodes and tabs come and go all the time while somebody asks. Every question is answered, and of those
//! that have gone nothing stays behind.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{Table, ask, progress};
use crate::{
    Browser, Network, Node, PATIENCE, Page, Visitor, namespace, network, until,
    watch::{memory, metric},
};

/// How large the experiment is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Requests to be answered, at least.
    pub requests: u64,
    /// How long it lasts, at least.
    pub time: Duration,
}

/// The network of [`namespace`] has this one.
const IP: &str = "10.99.0.1";
/// Where the worker that stays tells how it is; the entry does so at [`crate::network::STATUS`].
const STATUS: &str = "127.0.0.1:9101";
const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
const TOKENS: u32 = 40;
/// Native nodes that come and go, at a time.
const WORKERS: u64 = 2;
/// By what they are reached, in turn.
const TRANSPORTS: [&[&str]; 2] = [
    &["tcp/0", "tcp/0/ws"],
    &["udp/0/quic-v1", "udp/0/webrtc-direct"],
];
/// Fragments that each tab lends.
const LENT: u32 = 8;
/// How long they stay, in milliseconds.
const STAY: std::ops::Range<u64> = 1000..6000;
/// Before anything is measured, so that what is made once has been made.
const WARM_UP: Options = Options {
    requests: 2000,
    time: Duration::from_secs(20),
};

/// How often is said, while it goes on, what those who stay have.
const TELL: Duration = Duration::from_secs(300);
/// A page has given up those that have gone when it has let go of nothing for so long: longer than a dial may take.
const REST: Duration = Duration::from_secs(25);

/// Those who stay, in the order in which they are looked at.
const NAMES: [&str; 3] = ["the entry", "the worker that stayed", "the tab that stayed"];

/// Something that somebody has so much of.
#[derive(Debug, Clone, Copy)]
struct Figure {
    what: &'static str,
    /// In units of this many powers of two when it is told.
    shift: u32,
    value: u64,
    /// How much more it may be afterwards than before.
    more: u64,
}

impl Figure {
    const fn new(what: &'static str, value: u64, more: u64) -> Self {
        Self {
            what,
            shift: 0,
            value,
            more,
        }
    }

    const fn memory(value: u64) -> Self {
        Self {
            shift: 20,
            ..Self::new("MiB of memory", value, 32 << 20)
        }
    }

    fn told(self) -> String {
        (self.value >> self.shift).to_string()
    }
}

/// What a tab's connections with others are in JavaScript, and how many more of each there may be.
const OBJECTS: [(&str, u64); 3] = [
    ("RTCPeerConnection", 2),
    ("RTCDataChannel", 16),
    ("WebSocket", 2),
];

/// What somebody who stays has.
#[derive(Debug, Clone)]
struct Holding(Vec<Figure>);

impl Holding {
    fn of_node(node: &Node, status: &str) -> Result<Self> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", node.process()))?;
        Ok(Self(vec![
            Figure::memory(memory(node.process(), "VmRSS")?),
            Figure::new("files and sockets", files.count() as u64, 4),
            Figure::new("tasks", metric(status, "iap2p_tasks")?, 4),
        ]))
    }

    /// `process` is the one of [`working`].
    fn of_tab(page: &Page, process: u32) -> Result<Self> {
        page.call("HeapProfiler.collectGarbage", json!({}))?;
        let metrics = page.call("Performance.getMetrics", json!({}))?;
        let mut all = metrics["metrics"].as_array().into_iter().flatten();
        let listeners = all.find(|it| it["name"] == "JSEventListeners");
        let listeners = listeners.and_then(|it| it["value"].as_f64());
        let listeners = listeners.context("no listeners")? as u64;
        let mut figures = vec![
            // Of the page and its workers, with what their programs take; JavaScript's heap says nothing of that.
            Figure::memory(memory(process, "RssAnon")?),
            Figure::new("event listeners", listeners, 20),
        ];
        for (kind, more) in OBJECTS {
            figures.push(Figure::new(kind, objects(page, kind)?, more));
        }
        Ok(Self(figures))
    }

    /// All but the memory, added up: it falls until what has gone is given up.
    fn things(&self) -> u64 {
        let things = self.0.iter().filter(|it| it.shift == 0);
        things.map(|it| it.value).sum()
    }
}

/// How many objects of this kind a page has that can still be reached.
fn objects(page: &Page, kind: &str) -> Result<u64> {
    let prototype = json!({ "expression": format!("{kind}.prototype") });
    let prototype = page.call("Runtime.evaluate", prototype)?;
    let id = json!({ "prototypeObjectId": prototype["result"]["objectId"] });
    let all = page.call("Runtime.queryObjects", id)?;
    let id = &all["objects"]["objectId"];
    let count = json!({
        "objectId": id,
        "functionDeclaration": "function() { return this.length; }",
        "returnByValue": true,
    });
    let count = page.call("Runtime.callFunctionOn", count)?;
    // What is held for this count would be there the next time.
    page.call("Runtime.releaseObject", json!({ "objectId": id }))?;
    count["result"]["value"].as_u64().context("no number")
}

/// The process of those that show pages which has computed most: that of the tab, as long as it is the only one.
fn working(browser: &Browser) -> Result<u32> {
    let all = browser.call("SystemInfo.getProcessInfo", json!({}))?;
    let all = all["processInfo"].as_array().context("no processes")?;
    let pages = all.iter().filter(|it| it["type"] == "renderer");
    let most = pages.max_by(|a, b| {
        let [a, b] = [a, b].map(|it| it["cpuTime"].as_f64().unwrap_or_default());
        a.total_cmp(&b)
    });
    let id = most.and_then(|it| it["id"].as_u64()).context("no page")?;
    Ok(u32::try_from(id)?)
}

impl std::fmt::Display for Holding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let figures = self.0.iter().map(|it| format!("{} {}", it.told(), it.what));
        f.write_str(&figures.collect::<Vec<_>>().join(", "))
    }
}

/// Those who stay.
struct Steady<'a> {
    network: &'a Network,
    worker: &'a Node,
    tab: &'a Page,
    tab_process: u32,
}

impl Steady<'_> {
    /// What they have now.
    fn look(&self) -> Result<[Holding; 3]> {
        Ok([
            Holding::of_node(&self.network.entry, network::STATUS)?,
            Holding::of_node(self.worker, STATUS)?,
            Holding::of_tab(self.tab, self.tab_process)?,
        ])
    }

    /// Waits until only they are connected with the entry.
    fn alone(&self) -> Result<()> {
        until("those who went are gone for the others, too", || {
            let status = self.network.status()?;
            let connections = status["connections"].as_array().context("no list")?;
            Ok((connections.len() == 2).then_some(()))
        })
    }

    /// What they have when they are alone and the tab lets go of nothing any more.
    fn rest(&self) -> Result<[Holding; 3]> {
        self.alone()?;
        let begun = Instant::now();
        let (mut least, mut since) = (self.look()?, Instant::now());
        while since.elapsed() < REST && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_secs(1));
            let now = self.look()?;
            if now[2].things() < least[2].things() {
                (least, since) = (now, Instant::now());
            }
        }
        Ok(least)
    }

    /// What they have when they are alone, beside this; looked at until it is no more than that, or long enough.
    fn compare(&self, before: &[Holding; 3]) -> Result<Rows> {
        self.alone()?;
        let begun = Instant::now();
        loop {
            let rows = Rows::of(before, &self.look()?);
            if rows.more.is_empty() || begun.elapsed() > PATIENCE {
                return Ok(rows);
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn tell(&self, started: Instant) -> Result<String> {
        let names = NAMES.into_iter().zip(self.look()?);
        let all: Vec<_> = names.map(|(name, it)| format!("{name}: {it}")).collect();
        let minutes = started.elapsed().as_secs() / 60;
        Ok(format!("after {minutes} min, {}", all.join("; ")))
    }
}

/// What came and went.
#[derive(Default)]
struct Count {
    workers: AtomicU64,
    tabs: AtomicU64,
    over: AtomicBool,
}

impl Count {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Stays for so long, or until all is over.
    fn stay(&self, random: &mut StdRng) {
        let end = Instant::now() + Duration::from_millis(random.random_range(STAY));
        while Instant::now() < end && !self.is_over() {
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Native nodes, one after the other, each with other fragments. One in two is killed without a farewell.
fn workers(network: &Network, number: u64, count: &Count) -> Result<()> {
    let mut random = StdRng::seed_from_u64(number);
    for transports in TRANSPORTS.into_iter().cycle() {
        if count.is_over() {
            break;
        }
        let fragments = 0..network.fragments;
        let some: Vec<_> = fragments.filter(|_| random.random()).collect();
        let worker = network.worker_by(transports, &format!("soak-{number}"), &some)?;
        count.stay(&mut random);
        if random.random() {
            worker.terminate()?;
        }
        drop(worker);
        count.workers.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Tabs, one after the other. One in two is loaded again in between.
fn tabs(network: &Network, browser: &Browser, count: &Count) -> Result<()> {
    let mut random = StdRng::seed_from_u64(WORKERS);
    while !count.is_over() {
        let visitor = Visitor::join(browser, &network.link(), LENT)?;
        count.stay(&mut random);
        if random.random() {
            visitor.reload()?;
            visitor.wait_until_it_lends(LENT)?;
            count.stay(&mut random);
        }
        visitor.into_page().close()?;
        count.tabs.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Comings and goings, and questions all the time; gives how many requests were answered and how long the slowest question
/// took.
fn turmoil(
    steady: &Steady<'_>,
    browser: &Browser,
    expected: &Value,
    options: Options,
    count: &Count,
) -> Result<(u64, Duration)> {
    let network = steady.network;
    count.over.store(false, Ordering::Relaxed);
    thread::scope(|scope| {
        let mut threads: Vec<_> = (0..WORKERS)
            .map(|number| scope.spawn(move || workers(network, number, count)))
            .collect();
        threads.push(scope.spawn(|| tabs(network, browser, count)));
        let asked = questions(steady, expected, options, || {
            threads.iter().any(thread::ScopedJoinHandle::is_finished)
        });
        count.over.store(true, Ordering::Relaxed);
        for thread in threads {
            thread
                .join()
                .map_err(|_| anyhow!("a thread has panicked"))??;
        }
        asked
    })
}

fn questions(
    steady: &Steady<'_>,
    expected: &Value,
    options: Options,
    failed: impl Fn() -> bool,
) -> Result<(u64, Duration)> {
    let bar = progress("requests", usize::try_from(options.requests)?);
    let network = steady.network;
    let address = network.plain_address()?;
    let started = Instant::now();
    let mut told = Instant::now();
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    while (answered < options.requests || started.elapsed() < options.time) && !failed() {
        let asked = ask(network.program(), &address, QUESTION, TOKENS)?;
        ensure!(asked.tokens == *expected, "another text: {}", asked.tokens);
        answered += asked.parts;
        slowest = slowest.max(asked.time);
        bar.set_position(answered);
        if told.elapsed() > TELL {
            let all = steady.tell(started)?;
            bar.suspend(|| eprintln!("{all}; {answered} requests answered"));
            told = Instant::now();
        }
    }
    bar.finish_and_clear();
    Ok((answered, slowest))
}

/// What those who stayed have before and afterwards, side by side.
struct Rows {
    table: Table,
    /// Of what there is more than there may be.
    more: Vec<String>,
}

impl Rows {
    fn of(before: &[Holding; 3], after: &[Holding; 3]) -> Self {
        let mut table = Table::new(["what", "before", "after"]);
        let mut more = Vec::new();
        for ((name, before), after) in NAMES.into_iter().zip(before).zip(after) {
            for (before, after) in before.0.iter().zip(&after.0) {
                let place = format!("{name}: {}", before.what);
                if after.value > before.value + before.more {
                    more.push(place.clone());
                }
                table.row([place, before.told(), after.told()]);
            }
        }
        Self { table, more }
    }
}

/// Runs the experiment, in a network of its own only ([`namespace::enter`]).
///
/// # Errors
/// If a question is not answered or otherwise than alone, or something stays behind.
pub fn run_blocking(options: Options) -> Result<Table> {
    ensure!(
        namespace::is_entered(),
        "this takes a network namespace of its own, which cannot be made here"
    );
    let network = Network::public(IP, true)?;
    let worker = network.watched_worker(STATUS)?;
    let expected = json!(network.alone(QUESTION, TOKENS)?.tokens);
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), LENT)?;
        tab.call("Performance.enable", json!({}))?;
        let steady = Steady {
            network: &network,
            worker: &worker,
            tab: &tab,
            tab_process: working(browser)?,
        };
        turmoil(&steady, browser, &expected, WARM_UP, &Count::default())?;
        let before = steady.rest()?;
        let count = Count::default();
        let (answered, slowest) = turmoil(&steady, browser, &expected, options, &count)?;
        let Rows { mut table, more } = steady.compare(&before)?;
        for (what, figure) in [
            ("requests answered", answered.to_string()),
            (
                "native nodes that came and went",
                count.workers.load(Ordering::Relaxed).to_string(),
            ),
            (
                "tabs that came and went",
                count.tabs.load(Ordering::Relaxed).to_string(),
            ),
            (
                "the slowest question",
                format!("{:.1} s", slowest.as_secs_f64()),
            ),
        ] {
            table.row([what.to_owned(), String::new(), figure]);
        }
        ensure!(
            more.is_empty(),
            "something has stayed behind ({}):\n{table}",
            more.join(", ")
        );
        Ok(table)
    })
}

//! Many nodes find many fragments through the DHT, the bootstrap node or not.

use super::{Table, percentile, progress};
use ::network::{Config, Event, Handle, Identity, Multiaddr, PeerId};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How large the experiment is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Nodes besides the bootstrap node.
    pub nodes: usize,
    /// Fragments, each announced by one node.
    pub fragments: usize,
}

/// A look-up may be repeated until then: announcements take their time, and so do nodes that notice that others are gone.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two tries; doubled each time.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Between the starts of two nodes, for each node that there will be: whoever enters connects with many of those who are
/// there, and all of them share this machine.
const APART: Duration = Duration::from_micros(2500);
/// The same between two announcements.
const ANNOUNCEMENTS_APART: Duration = Duration::from_micros(250);
/// Whoever has met stays connected: to connect anew takes some ten milliseconds of a processor, and what 200 nodes ask each
/// other within a minute would take more than one machine has.
const IDLE: Duration = Duration::from_secs(3600);
/// Look-ups at one time.
const AT_ONCE: usize = 16;

type Waiting = Arc<Mutex<HashMap<::network::Key, oneshot::Sender<Vec<PeerId>>>>>;

/// A node whose events are taken.
#[derive(Clone)]
struct Node {
    handle: Handle,
    waiting: Waiting,
}

impl Node {
    fn start(config: Config) -> Result<Self> {
        let (handle, mut events, driver) = ::network::start(config)?;
        tokio::spawn(driver);
        let waiting = Waiting::default();
        let found = waiting.clone();
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let Event::ProvidersFound { key, providers } = event
                    && let Some(asker) = lock(&found).remove(&key)
                {
                    // Who asked may have given up.
                    let _ = asker.send(providers);
                }
            }
        });
        Ok(Self { handle, waiting })
    }

    fn peer(&self) -> PeerId {
        self.handle.local_peer()
    }

    async fn address(&self) -> Multiaddr {
        loop {
            if let Some(address) = self.handle.listening().first() {
                return address.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks the DHT once.
    async fn ask(&self, key: ::network::Key) -> Vec<PeerId> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(key, sender);
        self.handle.find_providers(key);
        receiver.await.unwrap_or_default()
    }
}

fn lock<T>(shared: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A fragment's name.
fn key(fragment: usize) -> ::network::Key {
    use sha2::Digest;
    sha2::Sha256::digest(fragment.to_be_bytes()).into()
}

/// Who looks for what, and who should be found.
struct LookUp {
    by: Node,
    fragment: usize,
    provider: PeerId,
}

#[derive(Default)]
struct Found {
    times: Vec<Duration>,
    at_first: usize,
    missing: Vec<usize>,
}

async fn look_up(what: &str, look_ups: Vec<LookUp>) -> Found {
    let one = |look_up: LookUp| async move {
        let end = Instant::now() + PATIENCE;
        let (mut tries, mut pause) = (0, PAUSE);
        while Instant::now() < end {
            tries += 1;
            let start = Instant::now();
            let asked = look_up.by.ask(key(look_up.fragment));
            let found = tokio::time::timeout(PATIENCE, asked)
                .await
                .unwrap_or_default();
            if found.contains(&look_up.provider) {
                return (look_up.fragment, Some((tries, start.elapsed())));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        (look_up.fragment, None)
    };
    let start = Instant::now();
    let progress = progress(what, look_ups.len());
    let mut found = Found::default();
    let mut all = stream::iter(look_ups.into_iter().map(one)).buffer_unordered(AT_ONCE);
    while let Some((fragment, result)) = all.next().await {
        progress.inc(1);
        match result {
            Some((tries, time)) => {
                found.times.push(time);
                found.at_first += usize::from(tries == 1);
            }
            None => found.missing.push(fragment),
        }
    }
    progress.finish_and_clear();
    eprintln!("{what}: {} s", start.elapsed().as_secs());
    found
}

/// Looks all of them up, and adds to the table how that went.
async fn phase(table: &mut Table, what: &str, look_ups: Vec<LookUp>) -> Result<()> {
    let total = look_ups.len();
    let Found {
        times,
        at_first,
        missing,
    } = look_up(what, look_ups).await;
    let time = |share| {
        percentile(&times, share)
            .map_or_else(String::new, |time| format!("{} ms", time.as_millis()))
    };
    table.row([
        what.into(),
        format!("{} of {total}", times.len()),
        at_first.to_string(),
        time(0.5),
        time(0.99),
    ]);
    ensure!(
        missing.is_empty(),
        "{what}: fragments not found: {missing:?}"
    );
    Ok(())
}

/// Runs the experiment. Nothing but the loopback is used.
pub async fn run(options: Options) -> Result<Table> {
    ensure!(options.nodes >= 3, "at least three nodes");
    // Its connections share a socket: one process may not have as many open files as 200 nodes have connections.
    let listen: Multiaddr = "/ip4/127.0.0.1/udp/0/quic-v1".parse()?;
    let config = |bootstrap: Vec<Multiaddr>| Config {
        listen: vec![listen.clone()],
        bootstrap,
        idle_timeout: IDLE,
        ..Config::new(Identity::generate())
    };
    let bootstrap = Node::start(config(Vec::new()))?;
    let entry = bootstrap.address().await;
    // One of them will leave and come back.
    let returning = Identity::generate();
    let mut nodes = Vec::new();
    let many = u32::try_from(options.nodes).context("too many nodes")?;
    let started = progress("nodes", options.nodes);
    for place in 0..options.nodes {
        let mut config = config(vec![entry.clone()]);
        if place == 0 {
            config.identity = returning.clone();
        }
        nodes.push(Node::start(config)?);
        started.inc(1);
        tokio::time::sleep(APART * many).await;
    }
    started.finish_and_clear();
    let holder = |fragment: usize| fragment % options.nodes;
    let announced = progress("announcements", options.fragments);
    for fragment in 0..options.fragments {
        nodes[holder(fragment)].handle.provide(key(fragment));
        announced.inc(1);
        tokio::time::sleep(ANNOUNCEMENTS_APART * many).await;
    }
    announced.finish_and_clear();
    let mut table = Table::new(["look-ups", "found", "at the first try", "median", "p99"]);
    // Each is looked for by a node other than its holder, never by the one that will leave.
    let look_ups = |nodes: &[Node], fragments: &mut dyn Iterator<Item = usize>, step: usize| {
        let look_up = |fragment: usize| {
            let holder = holder(fragment);
            let by = 1 + (holder + step) % (nodes.len() - 1);
            let by = if by == holder {
                1 + by % (nodes.len() - 1)
            } else {
                by
            };
            LookUp {
                by: nodes[by].clone(),
                fragment,
                provider: nodes[holder].peer(),
            }
        };
        fragments.map(look_up).collect::<Vec<_>>()
    };
    let all = look_ups(&nodes, &mut (0..options.fragments), 7);
    phase(&mut table, "everybody is there", all).await?;

    let known = nodes[0].handle.known();
    ensure!(
        known.iter().any(|address| *address != entry),
        "a node has met nobody but the bootstrap node"
    );
    nodes[0].handle.shutdown();
    bootstrap.handle.shutdown();
    let gone = |fragment: &usize| holder(*fragment) != 0;
    let all = look_ups(&nodes, &mut (0..options.fragments).filter(gone), 11);
    phase(&mut table, "the bootstrap node is gone", all).await?;

    // What is announced from now on is found, too.
    let new = options.fragments..options.fragments + options.nodes;
    for fragment in new.clone().filter(gone) {
        nodes[holder(fragment)].handle.provide(key(fragment));
        tokio::time::sleep(ANNOUNCEMENTS_APART * many).await;
    }
    let all = look_ups(&nodes, &mut new.filter(gone), 13);
    phase(&mut table, "announced since then", all).await?;

    // One comes back: it knows the dead bootstrap node, and whom it has met.
    let back = Node::start(Config {
        identity: returning,
        remembered: known,
        ..config(vec![entry])
    })?;
    let back_id = back.peer();
    let its: Vec<_> = (0..options.fragments).step_by(options.nodes).collect();
    for fragment in &its {
        back.handle.provide(key(*fragment));
    }
    let others = (0..options.fragments).filter(gone).take(100);
    let mut all: Vec<_> = others
        .map(|fragment| LookUp {
            by: back.clone(),
            fragment,
            provider: nodes[holder(fragment)].peer(),
        })
        .collect();
    all.extend(its.iter().map(|fragment| LookUp {
        by: nodes[1 + fragment % (nodes.len() - 1)].clone(),
        fragment: *fragment,
        provider: back_id,
    }));
    phase(&mut table, "by and for one that came back", all).await?;
    let met: HashSet<_> = back.handle.connections().iter().map(|it| it.peer).collect();
    ensure!(!met.is_empty(), "who came back is connected with nobody");
    for node in nodes.iter().skip(1).chain([&back]) {
        node.handle.shutdown();
    }
    Ok(table)
}

/// Runs the experiment from where nothing is asynchronous.
pub fn run_blocking(options: Options) -> Result<Table> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let table = runtime.block_on(run(options));
    runtime.shutdown_background();
    table
}

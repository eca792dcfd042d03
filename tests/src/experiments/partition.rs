//! The swarm falls into two halves and grows together again: what each half lacks it takes up from what it has, and
//! afterwards all is as it was.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Table, ask, progress};
use crate::{
    Network, Node, PATIENCE, Program,
    link::{Conditions, Star},
    namespace, until,
};

/// How large the experiment is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Nodes with room of their own, in two halves.
    pub nodes: usize,
    /// For how long the halves are apart.
    pub apart: Duration,
    /// How often nodes say what they hold.
    pub heartbeat: Duration,
    /// From one node to another.
    pub delay: Duration,
}

/// How many nodes are to hold each fragment.
const REPLICAS: usize = 2;
/// Room for as many times all that is wanted: for a little more than all of it in each half.
const ROOM: f64 = 2.5;
const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
const TOKENS: u32 = 20;

/// A node that fetches what it holds into a folder.
struct Keeper {
    node: Node,
    store: PathBuf,
}

impl Keeper {
    /// The names of the fragments in its folder.
    fn files(&self) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&self.store)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.ends_with(".fragment") {
                names.insert(name);
            }
        }
        Ok(names)
    }
}

/// How many hold what.
#[derive(Debug, Clone, Copy)]
struct Replicas {
    fewest: usize,
    lacking: usize,
}

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.fewest, self.lacking)
    }
}

struct Halves<'a> {
    network: &'a Network,
    star: &'a Star,
    keepers: Vec<Keeper>,
    _folder: TempDir,
}

impl<'a> Halves<'a> {
    fn new(network: &'a Network, star: &'a Star, options: &Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let each = network.fragments as f64 * REPLICAS as f64 * ROOM / options.nodes as f64;
        let (count, entry) = ((each.ceil() as usize).to_string(), network.plain_address()?);
        let replicas = REPLICAS.to_string();
        let heartbeat = options.heartbeat.as_secs().to_string();
        let mut keepers = Vec::new();
        for number in 1..=options.nodes {
            let store = folder.path().join(format!("store-{number}"));
            let key = folder.path().join(format!("key-{number}"));
            let listen = format!("/ip4/{}/tcp/0", Star::address(number));
            let arguments: [&dyn AsRef<OsStr>; 15] = [
                &"serve",
                &"--model",
                &network.model,
                &"--store",
                &store,
                &"--count",
                &count,
                &"--bootstrap",
                &entry,
                &"--listen",
                &listen,
                &"--heartbeat",
                &heartbeat,
                &"--replicas",
                &replicas,
            ];
            let program = network.program().at(&star.hosts[number]);
            let node = program.start(&key, &arguments)?;
            keepers.push(Keeper { node, store });
        }
        Ok(Self {
            network,
            star,
            keepers,
            _folder: folder,
        })
    }

    /// Of all nodes, of those in the entry's half and of the others: how many hold the fragment that the fewest hold, and
    /// how many fragments are held by fewer than should.
    fn replicas(&self) -> Result<[Replicas; 3]> {
        let mut held = Vec::new();
        for keeper in &self.keepers {
            held.push(keeper.files()?);
        }
        let half = |rest: usize| {
            let numbered = (1..)
                .zip(&held)
                .filter(move |(number, _)| number % 2 == rest);
            numbered.map(|(_, held)| held.clone()).collect()
        };
        let (one, other) = (half(1), half(0));
        let mut names = Vec::new();
        for file in self.network.files()? {
            let name = file.file_name().context("a name")?;
            names.push(name.to_string_lossy().into_owned());
        }
        Ok([held, one, other].map(|held: Vec<_>| {
            let holders = |name: &String| held.iter().filter(|it| it.contains(name)).count();
            let counts = names.iter().map(holders);
            Replicas {
                fewest: counts.clone().min().unwrap_or(0),
                lacking: counts.filter(|count| *count < REPLICAS).count(),
            }
        }))
    }

    /// Somebody in the half of the entry asks, and gets the right text or none.
    fn ask(&self, expected: &Value) -> Result<bool> {
        let asker = self.star.hosts.last().context("no host")?;
        let program: Program = self.network.program().at(asker);
        match ask(&program, &self.network.plain_address()?, QUESTION, TOKENS) {
            Ok(asked) => {
                ensure!(asked.tokens == *expected, "another text: {}", asked.tokens);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }
}

/// Runs the experiment, in a network of its own only ([`namespace::enter`]).
///
/// # Errors
/// If something is lost, a text is wrong, or not all is held as often as wanted again in the end.
pub fn run_blocking(options: &Options) -> Result<Table> {
    ensure!(
        namespace::is_entered(),
        "this takes a network namespace of its own, which cannot be made here"
    );
    let conditions = Conditions {
        delay: options.delay,
        ..Conditions::default()
    };
    // The entry, the nodes, and who asks.
    let star = Star::new(u8::try_from(options.nodes + 2)?, conditions, 1)?;
    let network = Network::at(&star.hosts[0], &Star::address(0))?;
    let expected = json!(network.alone(QUESTION, TOKENS)?.tokens);
    let halves = Halves::new(&network, &star, options)?;
    let mut table = Table::new([
        "when",
        "after",
        "fewest replicas, fragments with too few",
        "in the entry's half",
        "in the other",
        "questions in the entry's half",
    ]);
    let started = Instant::now();
    let mut row = |when: &str, replicas: [Replicas; 3], questions: &str| {
        let [all, one, other] = replicas.map(|it| it.to_string());
        let after = format!("{} s", started.elapsed().as_secs());
        table.row([
            when.to_owned(),
            after,
            all,
            one,
            other,
            questions.to_owned(),
        ]);
    };
    until("all is held as often as wanted", || {
        let [all, ..] = halves.replicas()?;
        Ok((all.lacking == 0).then_some(()))
    })?;
    ensure!(halves.ask(&expected)?, "no answer before anything happens");
    row("before", halves.replicas()?, "answered");

    // The entry and who asks stay with every other one; those who came one after the other share everything evenly.
    let other = (2..=options.nodes).step_by(2);
    star.cut_off(other);
    let bar = progress("seconds apart", usize::try_from(options.apart.as_secs())?);
    let cut = Instant::now();
    let mut answered = 0;
    let mut asked = 0;
    while cut.elapsed() < options.apart {
        asked += 1;
        answered += usize::from(halves.ask(&expected)?);
        bar.set_position(cut.elapsed().as_secs());
        // A question that nobody answers takes its time by itself.
        thread::sleep(Duration::from_millis(200));
    }
    bar.finish_and_clear();
    let questions = format!("{answered} of {asked} answered");
    row(
        "at the end of the time apart",
        halves.replicas()?,
        &questions,
    );
    star.cut_off([]);

    let healed = Instant::now();
    until("a question is answered again", || {
        Ok(halves.ask(&expected)?.then_some(()))
    })?;
    row("together", halves.replicas()?, "answered");
    // Until everybody has heard of everybody again, and for as long as it may take to take something up.
    let patience = PATIENCE + options.heartbeat * 10;
    let mut replicas = halves.replicas()?;
    while replicas[0].lacking > 0 {
        ensure!(
            healed.elapsed() < patience,
            "after {patience:?} not all is held as often as wanted: {replicas:?}"
        );
        thread::sleep(Duration::from_secs(1));
        replicas = halves.replicas()?;
    }
    ensure!(halves.ask(&expected)?, "no answer in the end");
    row("all is held as often as wanted", replicas, "answered");
    for keeper in &halves.keepers {
        for name in keeper.files()? {
            let [kept, given] =
                [&keeper.store, &network.folder()].map(|folder| std::fs::read(folder.join(&name)));
            ensure!(kept? == given?, "{name} is damaged");
        }
        // Nobody has ended meanwhile.
        keeper.node.told("ready")?;
    }
    Ok(table)
}

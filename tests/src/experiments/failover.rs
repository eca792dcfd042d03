//! Nodes fall silent and go in mid-answer: the answer is the same, and each of them costs a moment.

use std::{
    collections::BTreeSet,
    fmt, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Table, percentile, progress,
    spoken::{self, Spoken, alone},
};
use crate::{
    Browser, Network, Node, Visitor,
    lab::Host,
    link::{Conditions, Star},
    namespace,
};

/// How large the experiment is.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Answers that are disturbed, each by another seed.
    pub seeds: u64,
    /// The first of these seeds.
    pub first_seed: u64,
    /// Native nodes that compute.
    pub workers: usize,
    /// Tabs that do, too: none to three.
    pub tabs: usize,
    /// Tokens of each answer.
    pub tokens: u32,
    /// From one node to another.
    pub delay: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// All figures.
    pub table: Table,
    /// By how much the answer was later than it would have been, for each node that failed.
    pub added: Vec<Duration>,
}

impl Outcome {
    fn p95(&self) -> Duration {
        percentile(&self.added, 0.95).unwrap_or_default()
    }

    /// What took longer than it may.
    #[must_use]
    pub fn worse(&self) -> Vec<String> {
        let worse = self.p95() > ALLOWED;
        let what = || format!("{:?} added by a failure, {ALLOWED:?} allowed", self.p95());
        worse.then(what).into_iter().collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, p95] =
            [0.5, 0.95].map(|share| percentile(&self.added, share).unwrap_or_default());
        write!(f, "{}", self.table)?;
        writeln!(
            f,
            "\nAdded by each of {} failures: {} ms by half of them at most, {} ms by 95 %.",
            self.added.len(),
            median.as_millis(),
            p95.as_millis()
        )
    }
}

/// What may be added in nineteen of twenty cases.
pub const ALLOWED: Duration = Duration::from_millis(500);

/// How many nodes hold each fragment.
const REPLICAS: usize = 3;
/// Fragments that each tab lends.
const LENT: u32 = 8;
/// Two nodes are killed and one is frozen, in an order that the seed says.
const FAILURES: [Failure; 3] = [Failure::Killed, Failure::Killed, Failure::Frozen];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// It is gone, and a tab closed, at once.
    Killed,
    /// It stays connected and does nothing.
    Frozen,
}

/// Who fails, when and how.
#[derive(Debug, Clone, Copy)]
struct Planned {
    failure: Failure,
    /// The number of the worker, or behind those of all workers the number of the tab.
    victim: usize,
    /// After this token.
    token: usize,
    /// And so much of a token's time.
    fraction: f64,
}

/// What a seed is to bring to those who have computed lately. Of every fragment a replica is left: who holds the same as two
/// others that fail is spared.
fn plan(
    seed: u64,
    options: &Options,
    held: &[BTreeSet<u32>],
    busy: &[usize],
) -> Result<Vec<Planned>> {
    let mut random = StdRng::seed_from_u64(seed);
    let workers: Vec<_> = busy.iter().filter(|it| **it < options.workers).collect();
    ensure!(
        busy.len() >= FAILURES.len() && !workers.is_empty(),
        "only {busy:?} compute"
    );
    let mut failures = FAILURES;
    failures.shuffle(&mut random);
    let span = options.tokens as usize / (FAILURES.len() + 1);
    for _ in 0..1000 {
        let plan: Vec<_> = failures
            .into_iter()
            .zip(1..)
            .map(|(failure, part)| {
                let victim = match failure {
                    Failure::Killed => busy[random.random_range(0..busy.len())],
                    Failure::Frozen => *workers[random.random_range(0..workers.len())],
                };
                Planned {
                    failure,
                    victim,
                    token: part * span - random.random_range(0..=span / 3),
                    fraction: random.random(),
                }
            })
            .collect();
        let victims: BTreeSet<_> = plan.iter().map(|it| it.victim).collect();
        let left = held
            .iter()
            .enumerate()
            .filter(|(at, _)| !victims.contains(at));
        let left: BTreeSet<_> = left.flat_map(|(_, held)| held).collect();
        let all: BTreeSet<_> = held.iter().flatten().collect();
        if victims.len() == plan.len() && left == all {
            return Ok(plan);
        }
    }
    bail!("whoever fails, a fragment is lost")
}

/// A swarm in which nothing has failed.
struct Swarm<'a> {
    network: &'a Network,
    star: &'a Star,
    options: &'a Options,
    keys: TempDir,
    browsers: &'a [&'a Browser],
    tabs: Vec<Option<Visitor>>,
    workers: Vec<Node>,
    /// What each of them holds, the tabs last.
    held: Vec<BTreeSet<u32>>,
}

impl<'a> Swarm<'a> {
    fn new(
        network: &'a Network,
        star: &'a Star,
        options: &'a Options,
        browsers: &'a [&'a Browser],
    ) -> Result<Self> {
        let keys = tempfile::tempdir()?;
        let mut tabs = Vec::new();
        let mut lent = Vec::new();
        for browser in browsers {
            let tab = Visitor::join(browser, &network.link(), LENT)?;
            lent.push(tab.lends()?);
            tabs.push(Some(tab));
        }
        let mut swarm = Self {
            network,
            star,
            options,
            keys,
            browsers,
            tabs,
            workers: Vec::new(),
            held: deal(options.workers, network.fragments, lent),
        };
        for number in 0..options.workers {
            let worker = swarm.start_worker(number)?;
            swarm.workers.push(worker);
        }
        Ok(swarm)
    }

    fn start_worker(&self, number: usize) -> Result<Node> {
        let hold: Vec<_> = self.held[number].iter().map(u32::to_string).collect();
        self.network.worker_at(
            &self.star.hosts[1 + number],
            &Star::address(1 + number),
            &self.keys.path().join(number.to_string()),
            &[&"--hold", &hold.join(",")],
        )
    }

    fn fail(&mut self, planned: Planned) -> Result<()> {
        let tab = planned.victim.checked_sub(self.workers.len());
        match (tab, planned.failure) {
            (Some(tab), _) => {
                let tab = self.tabs[tab].take().context("it is gone already")?;
                tab.into_page().close()
            }
            (None, Failure::Killed) => {
                self.workers[planned.victim].kill();
                Ok(())
            }
            (None, Failure::Frozen) => self.workers[planned.victim].freeze(),
        }
    }

    /// The numbers of those who computed at least a fifth of what each did on average.
    fn busy(&self, answer: &Spoken) -> Result<Vec<usize>> {
        let mut names = Vec::new();
        for worker in &self.workers {
            names.push(Some(worker.peer_id()?));
        }
        for tab in &self.tabs {
            names.push(tab.as_ref().map(Visitor::peer_id).transpose()?);
        }
        let shares = answer.report["computed_by"].as_array();
        let shares = shares.context("no list")?;
        let share = |name: &String| {
            let share = shares.iter().find(|it| it["peer"] == name.as_str());
            share.and_then(|it| it["requests"].as_u64()).unwrap_or(0)
        };
        let shares: Vec<_> = names
            .iter()
            .map(|name| name.as_ref().map_or(0, share))
            .collect();
        let mean = shares.iter().sum::<u64>() / shares.len().max(1) as u64;
        let busy = |(_, share): &(usize, &u64)| **share * 5 >= mean && **share > 0;
        let busy = shares.iter().enumerate().filter(busy);
        Ok(busy.map(|(number, _)| number).collect())
    }

    /// Has everybody who failed come back.
    fn restore(&mut self, plan: &[Planned]) -> Result<()> {
        for planned in plan {
            match planned.victim.checked_sub(self.workers.len()) {
                Some(tab) => {
                    let back = Visitor::join(self.browsers[tab], &self.network.link(), LENT)?;
                    self.held[planned.victim] = back.lends()?;
                    self.tabs[tab] = Some(back);
                }
                None => {
                    // It has the same key: the one before must not speak any more.
                    self.workers[planned.victim].kill();
                    self.workers[planned.victim] = self.start_worker(planned.victim)?;
                }
            }
        }
        Ok(())
    }

    /// Asks, and says when each token came, since the first; `after` is told of each.
    fn ask(&mut self, mut after: impl FnMut(&mut Self, usize) -> Result<()>) -> Result<Spoken> {
        let asker = self.star.hosts.last().context("no host")?;
        let program = self.network.program().at(asker);
        let entry = self.network.plain_address()?;
        spoken::ask(&program, &entry, self.options.tokens, &[], |token, _| {
            after(self, token)
        })
    }
}

/// Who holds what: [`REPLICAS`] of each fragment, those of the tabs among them.
fn deal(workers: usize, fragments: u32, lent: Vec<BTreeSet<u32>>) -> Vec<BTreeSet<u32>> {
    let mut held = vec![BTreeSet::new(); workers];
    let mut next = 0;
    for fragment in 0..fragments {
        let by_tabs = lent.iter().filter(|it| it.contains(&fragment)).count();
        for _ in by_tabs..REPLICAS {
            held[next % workers].insert(fragment);
            next += 1;
        }
    }
    held.extend(lent);
    held
}

/// By how much tokens took longer because of each failure: what those between it and the next took, less what as many took
/// before the first.
fn added(plan: &[Planned], gaps: &[Duration]) -> Vec<Duration> {
    let usual = percentile(&gaps[..plan[0].token - 1], 0.5).unwrap_or_default();
    let ends = plan.iter().skip(1).map(|it| it.token);
    plan.iter()
        .zip(ends.chain([gaps.len() + 1]))
        .map(|(it, end)| {
            let took = &gaps[it.token - 1..end - 1];
            let sum: Duration = took.iter().sum();
            sum.saturating_sub(usual * u32::try_from(took.len()).unwrap_or(u32::MAX))
        })
        .collect()
}

fn disturbed(
    swarm: &mut Swarm<'_>,
    seed: u64,
    (expected, busy): (&Value, &[usize]),
    table: &mut Table,
) -> Result<Vec<Duration>> {
    let plan = plan(seed, swarm.options, &swarm.held, busy)?;
    let mut coming = plan.iter();
    let mut next = coming.next();
    let mut last = Instant::now();
    let answer = swarm.ask(|swarm, token| {
        let gap = last.elapsed();
        last = Instant::now();
        if let Some(planned) = next.filter(|it| it.token == token) {
            thread::sleep(gap.mul_f64(planned.fraction));
            swarm.fail(*planned)?;
            next = coming.next();
        }
        Ok(())
    })?;
    ensure!(
        answer.number("missing_experts")? == 0,
        "experts are missing by seed {seed}"
    );
    ensure!(
        answer.tokens == *expected,
        "another text by seed {seed}: {}",
        answer.tokens
    );
    let gaps = answer.gaps();
    let added = added(&plan, &gaps);
    let (mut sorted, text) = (gaps.clone(), |time: Duration| {
        format!("{} ms", time.as_millis())
    });
    sorted.sort_unstable();
    table.row([
        seed.to_string(),
        text(percentile(&gaps[..plan[0].token - 1], 0.5).unwrap_or_default()),
        text(sorted.last().copied().unwrap_or_default()),
        plan.iter()
            .zip(&added)
            .map(|(planned, added)| format!("{}: {}", failed(swarm, planned), text(*added)))
            .collect::<Vec<_>>()
            .join("; "),
        answer.number("hedged")?.to_string(),
        answer.number("resent")?.to_string(),
    ]);
    swarm.restore(&plan)?;
    Ok(added)
}

fn failed(swarm: &Swarm<'_>, planned: &Planned) -> &'static str {
    match (
        planned.failure,
        planned.victim.checked_sub(swarm.workers.len()),
    ) {
        (Failure::Frozen, _) => "frozen",
        (Failure::Killed, None) => "killed",
        (Failure::Killed, Some(_)) => "tab closed",
    }
}

/// Runs the experiment, in a network of its own only ([`namespace::enter`]).
///
/// # Errors
/// If a text is not the one that one process says.
pub fn run_blocking(options: &Options) -> Result<Outcome> {
    ensure!(
        namespace::is_entered(),
        "this takes a network namespace of its own, which cannot be made here"
    );
    let conditions = Conditions {
        delay: options.delay,
        ..Conditions::default()
    };
    // The entry, those who compute, and who asks.
    let hosts = 1 + options.workers + options.tabs + 1;
    let star = Star::new(u8::try_from(hosts)?, conditions, options.first_seed)?;
    let network = Network::at(&star.hosts[0], &Star::address(0))?;
    let tabs = &star.hosts[1 + options.workers..][..options.tabs];
    with_browsers(
        tabs,
        network.url.trim_end_matches('/'),
        &mut Vec::new(),
        |browsers| {
            let mut swarm = Swarm::new(&network, &star, options, browsers)?;
            let mut table = Table::new([
                "seed",
                "a token, median",
                "the slowest",
                "what each failure added",
                "asked twice",
                "asked again",
            ]);
            let expected = alone(&network, options.tokens)?;
            let undisturbed = swarm.ask(|_, _| Ok(()))?;
            ensure!(
                undisturbed.tokens == expected,
                "undisturbed it says {} instead of {expected}",
                undisturbed.tokens
            );
            let busy = swarm.busy(&undisturbed)?;
            let bar = progress("answers", usize::try_from(options.seeds)?);
            let mut all = Vec::new();
            for seed in options.first_seed..options.first_seed + options.seeds {
                let answer = disturbed(&mut swarm, seed, (&expected, &busy), &mut table);
                all.extend(answer.with_context(|| format!("seed {seed}"))?);
                bar.inc(1);
            }
            bar.finish_and_clear();
            Ok(Outcome { table, added: all })
        },
    )
}

/// Runs `work` with a browser on each of the hosts.
fn with_browsers<T>(
    hosts: &[Host],
    origin: &str,
    browsers: &mut Vec<&Browser>,
    work: impl FnOnce(&[&Browser]) -> Result<T>,
) -> Result<T> {
    match hosts.split_first() {
        None => work(browsers),
        Some((host, rest)) => Browser::with_at(host, origin, |browser| {
            let mut browsers: Vec<_> = browsers.iter().copied().chain([browser]).collect();
            with_browsers(rest, origin, &mut browsers, work)
        }),
    }
}

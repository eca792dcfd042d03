//! What a token takes at some distances, by its own device and by way of those who run layers, beside what was predicted.

use std::{ffi::OsStr, fmt, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use swarm::stages::Shape;

use super::{
    Table, layers, percentile, progress,
    spoken::{self, Spoken},
};
use crate::{
    Network, Node,
    link::{Conditions, Star},
    namespace,
};

/// How large the experiment is.
#[derive(Debug, Clone)]
pub struct Options {
    /// From one node to another and back; the first is nothing, by which the time to compute is known.
    pub round_trips: Vec<Duration>,
    /// Tokens of each answer.
    pub tokens: u32,
    /// Of these, the first ones, in which the planner learns how long everything takes.
    pub learns: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// All figures.
    pub table: Table,
    /// What was further off than it may be.
    pub worse: Vec<String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(f)
    }
}

/// By so much of it a token may take more or less than was predicted.
const PREDICTED: f64 = 0.15;
/// And than its round trips and what is computed take.
const EXPLAINED: f64 = 0.20;

/// Nodes that hold everything between them, twice.
const WORKERS: usize = 4;

/// Answers after which those who run the layers should be known.
const TRIES: usize = 10;

/// Who runs the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The one who asks.
    Own,
    /// So many others, each as many of them.
    Stages(u32),
}

const WAYS: [Way; 3] = [Way::Own, Way::Stages(1), Way::Stages(2)];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("the one who asks"),
            Self::Stages(1) => f.write_str("another node"),
            Self::Stages(others) => write!(f, "{others} others"),
        }
    }
}

impl Way {
    /// How often somebody waits for somebody else, one time after the other: who runs layers holds all that every token
    /// needs of them, and no experts.
    fn round_trips(self, shape: &Shape) -> u32 {
        let steps = shape.layers.iter().map(|layer| match self {
            Self::Stages(_) if !layer.private => {
                let experts = layer.steps.iter().filter(|step| step.some.is_some());
                experts.count()
            }
            Self::Own | Self::Stages(_) => layer.steps.len(),
        });
        let hops = match self {
            Self::Own => 0,
            Self::Stages(others) => others,
        };
        steps.sum::<usize>() as u32 + hops
    }
}

/// A network in which nothing has been asked yet.
struct Place<'a> {
    network: &'a Network,
    star: &'a Star,
    shape: &'a Shape,
    keys: tempfile::TempDir,
}

impl Place<'_> {
    fn node(&self, host: usize, hold: &str, more: &[&dyn AsRef<OsStr>]) -> Result<Node> {
        let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"--hold", &hold];
        arguments.extend(more);
        self.network.worker_at(
            &self.star.hosts[host],
            &Star::address(host),
            &self.keys.path().join(host.to_string()),
            &arguments,
        )
    }

    fn workers(&self) -> Result<Vec<Node>> {
        let hold = |worker: usize| {
            let held = (0..self.network.fragments as usize).filter(|fragment| {
                // Twice each.
                [0, 1].contains(&((fragment + worker) % WORKERS))
            });
            held.map(|it| it.to_string()).collect::<Vec<_>>().join(",")
        };
        let workers = (0..WORKERS).map(|worker| self.node(1 + worker, &hold(worker), &[]));
        workers.collect()
    }

    /// Those who run layers, each as many of them.
    fn runners(&self, count: u32) -> Result<Vec<Node>> {
        let all = layers::count(self.shape);
        let runners = (0..count).map(|number| {
            let range = number * all / count..(number + 1) * all / count;
            let host = 1 + WORKERS + number as usize;
            let hold = layers::needed(self.shape, range);
            self.node(host, &hold, &[&"--run-layers", &"always"])
        });
        runners.collect()
    }

    fn ask(&self, way: Way, tokens: u32, learns: usize) -> Result<Spoken> {
        let runners = match way {
            Way::Own => Vec::new(),
            Way::Stages(others) => self.runners(others)?,
        };
        let asker = self.star.hosts.last().context("no host")?;
        let program = self.network.program().at(asker);
        let own: &[&dyn AsRef<OsStr>] = match way {
            Way::Own => &[&"--own-layers"],
            Way::Stages(_) => &[],
        };
        let entry = self.network.plain_address()?;
        let mut names = Vec::new();
        for runner in &runners {
            names.push(runner.peer_id()?);
        }
        // Who has just come is not found by all at once.
        let mut ran = Vec::new();
        for _ in 0..TRIES {
            let spoken = spoken::ask(&program, &entry, tokens, own, |_, _| Ok(()))?;
            ran = spoken.runners();
            let is_planned = spoken.predicted.iter().skip(learns).all(Option::is_some);
            if is_planned && ran == names && spoken.runners_at(learns) == names {
                return Ok(spoken);
            }
        }
        bail!("{ran:?} have run the layers, not {names:?}")
    }
}

/// Runs the experiment, in a network of its own only ([`namespace::enter`]).
///
/// # Errors
/// If a text is not the one that one process says, or the layers were run by somebody else than planned.
pub fn run_blocking(options: &Options) -> Result<Outcome> {
    ensure!(
        namespace::is_entered(),
        "this takes a network namespace of its own, which cannot be made here"
    );
    let mut table = Table::new([
        "round trip",
        "layers run by",
        "waits",
        "predicted",
        "measured",
        "off by",
        "round trips and computing",
        "off by",
    ]);
    let mut worse = Vec::new();
    // The same products, whoever runs the layers: measured where all of them are run by the one who asks and nothing lies
    // between. There nobody else would be asked to run any.
    let mut computing = Duration::ZERO;
    let bar = progress("answers", options.round_trips.len() * WAYS.len());
    for round_trip in &options.round_trips {
        let conditions = Conditions {
            delay: *round_trip / 2,
            ..Conditions::default()
        };
        // The entry, workers, two who run layers, and who asks.
        let hosts = 1 + WORKERS + 2 + 1;
        let star = Star::new(u8::try_from(hosts)?, conditions, 1)?;
        let network = Network::at(&star.hosts[0], &Star::address(0))?;
        let shape = layers::shape(&network)?;
        let place = Place {
            network: &network,
            star: &star,
            shape: &shape,
            keys: tempfile::tempdir()?,
        };
        let _workers = place.workers()?;
        let expected = spoken::alone(&network, options.tokens)?;
        for way in WAYS {
            if round_trip.is_zero() && way != Way::Own {
                bar.inc(1);
                continue;
            }
            let what = format!("{} ms, {way}", round_trip.as_millis());
            let spoken = place
                .ask(way, options.tokens, options.learns)
                .context(what.clone())?;
            ensure!(spoken.tokens == expected, "{what}: another text");
            let waits = way.round_trips(&shape);
            let measured = percentile(&spoken.gaps()[options.learns..], 0.5).unwrap_or_default();
            // That of a token is told with the one before it.
            let predicted: Vec<_> = spoken.predicted.iter().skip(options.learns).collect();
            let predicted: Option<Vec<_>> = predicted.into_iter().copied().collect();
            let predicted = percentile(&predicted.unwrap_or_default(), 0.5);
            let predicted = predicted.with_context(|| format!("{what}: nothing was predicted"))?;
            if round_trip.is_zero() {
                computing = measured;
            }
            let explained = *round_trip * waits + computing;
            let off = |other: Duration| measured.as_secs_f64() / other.as_secs_f64() - 1.0;
            let text = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
            let per_cent = |off: f64| format!("{:+.0} %", off * 1e2);
            table.row([
                format!("{} ms", round_trip.as_millis()),
                way.to_string(),
                waits.to_string(),
                text(predicted),
                text(measured),
                per_cent(off(predicted)),
                text(explained),
                per_cent(off(explained)),
            ]);
            if !round_trip.is_zero() {
                for (other, allowed, name) in [
                    (predicted, PREDICTED, "what was predicted"),
                    (explained, EXPLAINED, "round trips and computing"),
                ] {
                    if off(other).abs() > allowed {
                        worse.push(format!("{what}: {} from {name}", per_cent(off(other))));
                    }
                }
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(Outcome { table, worse })
}

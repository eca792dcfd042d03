//! Those who run the layers of a session are killed or frozen in mid-answer: it goes on with others, and no token changes.

use std::{thread, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    Table,
    failover::Outcome,
    layers, percentile, progress,
    spoken::{self, Spoken},
};
use crate::{
    Network, Node,
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
    /// Tokens of each answer.
    pub tokens: u32,
    /// From one node to another.
    pub delay: Duration,
}

/// Nodes that run all layers; one of them is left in the end.
const RUNNERS: usize = 3;

/// Where the nodes are.
struct Place<'a> {
    network: &'a Network,
    star: &'a Star,
    needed: String,
    keys: TempDir,
}

impl Place<'_> {
    fn runner(&self, number: usize) -> Result<Node> {
        let host = 2 + number;
        self.network.worker_at(
            &self.star.hosts[host],
            &Star::address(host),
            &self.keys.path().join(host.to_string()),
            &[&"--hold", &self.needed, &"--run-layers", &"always"],
        )
    }

    fn ask(&self, tokens: u32, after: impl FnMut(usize, &[Value]) -> Result<()>) -> Result<Spoken> {
        let asker = self.star.hosts.last().context("no host")?;
        let program = self.network.program().at(asker);
        spoken::ask(&program, &self.network.plain_address()?, tokens, &[], after)
    }
}

/// Which of these nodes has this name.
fn position(runners: &[Option<Node>], name: &Value) -> Result<usize> {
    for (number, runner) in runners.iter().enumerate() {
        let Some(runner) = runner else { continue };
        if *name == *runner.peer_id()? {
            return Ok(number);
        }
    }
    bail!("{name} runs layers, and none of the nodes left is called so")
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
    // The entry, who holds everything, those who run layers, and who asks.
    let hosts = 1 + 1 + RUNNERS + 1;
    let star = Star::new(u8::try_from(hosts)?, conditions, options.first_seed)?;
    let network = Network::at(&star.hosts[0], &Star::address(0))?;
    let shape = layers::shape(&network)?;
    let place = Place {
        network: &network,
        star: &star,
        needed: layers::needed(&shape, 0..layers::count(&shape)),
        keys: tempfile::tempdir()?,
    };
    let worker_key = place.keys.path().join("worker");
    let _worker = network.worker_at(&star.hosts[1], &Star::address(1), &worker_key, &[])?;
    let expected = spoken::alone(&network, options.tokens)?;
    let mut table = Table::new(["seed", "a token, median", "what each that was lost added"]);
    let mut all = Vec::new();
    let bar = progress("answers", usize::try_from(options.seeds)?);
    for seed in options.first_seed..options.first_seed + options.seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let mut runners = Vec::new();
        for number in 0..RUNNERS {
            runners.push(Some(place.runner(number)?));
        }
        // Those stay as they are until the answer is there.
        let mut frozen = Vec::new();
        // One is killed and another frozen, in an order that the seed says.
        let killed_first: bool = random.random();
        let span = options.tokens as usize / RUNNERS;
        let planned = (1..RUNNERS).map(|part| part * span - random.random_range(0..=span / 3));
        let mut planned = planned.collect::<Vec<_>>().into_iter().peekable();
        let mut at = Vec::new();
        let spoken = place.ask(options.tokens, |token, running| {
            // As soon as it is somebody's turn, and there is somebody: they have to be found first.
            let Some(name) = running.first() else {
                return Ok(());
            };
            if planned.next_if(|planned| *planned <= token).is_none() {
                return Ok(());
            }
            let victim = position(&runners, name)?;
            // Somewhere within a token.
            thread::sleep(options.delay.mul_f64(random.random_range(0.0..4.0)));
            let runner = runners[victim].take().context("it is gone already")?;
            if at.is_empty() == killed_first {
                runner.kill();
            } else {
                runner.freeze()?;
                frozen.push(runner);
            }
            at.push(token);
            Ok(())
        });
        let spoken = spoken.with_context(|| format!("seed {seed}"))?;
        ensure!(
            spoken.tokens == expected,
            "another text by seed {seed}: {}",
            spoken.tokens
        );
        ensure!(
            at.len() == RUNNERS - 1,
            "by seed {seed} others ran layers too seldom"
        );
        let gaps = spoken.gaps();
        // Before the first was lost, those who run layers may still have been looked for.
        let usual = percentile(&gaps[at[0] - 1..], 0.5).unwrap_or_default();
        let ends = at.iter().skip(1).copied().chain([gaps.len() + 1]);
        let added: Vec<_> = at
            .iter()
            .zip(ends)
            .map(|(start, end)| {
                let took = &gaps[start - 1..end - 1];
                let sum: Duration = took.iter().sum();
                sum.saturating_sub(usual * u32::try_from(took.len()).unwrap_or(u32::MAX))
            })
            .collect();
        let names = if killed_first {
            ["killed", "frozen"]
        } else {
            ["frozen", "killed"]
        };
        let texts = names.iter().zip(&added);
        let texts: Vec<_> = texts
            .map(|(name, added)| format!("{name}: {} ms", added.as_millis()))
            .collect();
        table.row([
            seed.to_string(),
            format!("{} ms", usual.as_millis()),
            texts.join("; "),
        ]);
        all.extend(added);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Outcome { table, added: all })
}

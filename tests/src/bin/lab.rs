//! Runs an experiment at full length and prints its table; `cargo xtask lab` calls it.

use anyhow::{Result, bail, ensure};
use clap::{Parser, Subcommand};
use e2e::{
    experiments::{
        connect, dht, executor, failover, first, hidden, hostile, overhead, partition, soak, wan,
    },
    link::Conditions,
};
use std::{path::Path, time::Duration};

/// Experiments with the network.
#[derive(Parser)]
struct Lab {
    #[command(subcommand)]
    experiment: Experiment,
    /// Put the table into the document that shows it, too
    #[arg(long, global = true)]
    write: bool,
}

#[derive(Subcommand)]
enum Experiment {
    /// Native nodes and tabs connect, whatever routers they are behind, and two tabs compute for each other that way.
    Connect {
        /// What the link between each router and the internet delays in each direction, in milliseconds
        #[arg(long, default_value_t = Conditions::HOME.delay.as_millis() as u64)]
        delay: u64,
        /// By how much more some packets are late, at most, in milliseconds
        #[arg(long, default_value_t = Conditions::HOME.jitter.as_millis() as u64)]
        jitter: u64,
        /// What it loses, in per cent
        #[arg(long, default_value_t = 100.0 * Conditions::HOME.loss)]
        loss: f64,
    },
    /// What the network adds to a round trip and to the time a fragment takes, beside a plain socket.
    Overhead {
        /// How often all are measured under each condition, at most
        #[arg(long, default_value_t = 15)]
        goes: usize,
        /// Round trips measured each time, at most
        #[arg(long, default_value_t = 400)]
        rounds: usize,
        /// Minutes under each condition after which they are not measured once more
        #[arg(long, default_value_t = 3)]
        minutes: u64,
        /// What the links delay in each direction, in milliseconds
        #[arg(long, value_delimiter = ',', default_values_t = [0, 20, 100])]
        delays: Vec<u64>,
        /// What they lose, in per cent
        #[arg(long, value_delimiter = ',', default_values_t = [0.0, 1.0])]
        losses: Vec<f64>,
        /// What the network is compared with
        #[arg(long, value_delimiter = ',', value_enum, default_values_t = [overhead::Plain::Socket, overhead::Plain::Channel])]
        with: Vec<overhead::Plain>,
    },
    /// Many nodes find many fragments through the DHT, the bootstrap node or not.
    Dht {
        /// Nodes besides the bootstrap node
        #[arg(long, default_value_t = 200)]
        nodes: usize,
        /// Fragments, each announced by one node
        #[arg(long, default_value_t = 1000)]
        fragments: usize,
    },
    /// Nodes are killed and frozen in mid-answer: it is the same, and each of them costs a moment.
    Failover {
        /// Answers that are disturbed, each by another seed
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first of these seeds
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Native nodes that compute
        #[arg(long, default_value_t = 12)]
        workers: usize,
        /// Tabs that do, too
        #[arg(long, default_value_t = 3)]
        tabs: usize,
        /// Tokens of each answer
        #[arg(long, default_value_t = 50)]
        tokens: u32,
        /// What it takes from one node to another, in milliseconds
        #[arg(long, default_value_t = 10)]
        delay: u64,
    },
    /// Those who run the layers of a session are killed and frozen in mid-answer: it goes on with others, the same.
    Executor {
        /// Answers that are disturbed, each by another seed
        #[arg(long, default_value_t = 20)]
        seeds: u64,
        /// The first of these seeds
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Tokens of each answer
        #[arg(long, default_value_t = 50)]
        tokens: u32,
        /// What it takes from one node to another, in milliseconds
        #[arg(long, default_value_t = 10)]
        delay: u64,
    },
    /// What a token takes at some distances, beside what was predicted.
    Wan {
        /// From one node to another and back, in milliseconds
        #[arg(long, value_delimiter = ',', default_values_t = [5, 20, 50])]
        round_trips: Vec<u64>,
        /// Tokens of each answer
        #[arg(long, default_value_t = 80)]
        tokens: u32,
    },
    /// The swarm falls into two halves and grows together again: nothing is lost, and all is held as often as wanted.
    Partition {
        /// Nodes with room of their own, in two halves
        #[arg(long, default_value_t = 8)]
        nodes: usize,
        /// For how many seconds they are apart
        #[arg(long, default_value_t = 120)]
        apart: u64,
        /// How often nodes say what they hold, in seconds
        #[arg(long, default_value_t = 10)]
        heartbeat: u64,
        /// What it takes from one node to another, in milliseconds
        #[arg(long, default_value_t = 10)]
        delay: u64,
    },
    /// The first seconds of somebody who opens an invitation over a slow line.
    First {
        /// How often somebody comes
        #[arg(long, default_value_t = 5)]
        visits: usize,
        /// Megabits a second of their line
        #[arg(long, default_value_t = 10)]
        megabits: u64,
        /// What it takes to the network and back, in milliseconds
        #[arg(long, default_value_t = 40)]
        round_trip: u64,
    },
    /// What a tab goes on doing while nobody sees it.
    Hidden {
        /// Minutes that it is seen
        #[arg(long, default_value_t = 1)]
        seen: u64,
        /// Minutes that it is hidden
        #[arg(long, default_value_t = 8)]
        hidden: u64,
    },
    /// Nodes and tabs come and go while somebody asks: all is answered, and nothing stays behind.
    Soak {
        /// Requests that are answered, at least
        #[arg(long, default_value_t = 100_000)]
        requests: u64,
        /// Minutes that it lasts, at least
        #[arg(long, default_value_t = 60)]
        minutes: u64,
    },
    /// A node is attacked in every way that costs the attacker little, and goes on.
    Hostile {
        /// Connections that one address begins
        #[arg(long, default_value_t = 10_000)]
        attempts: usize,
        /// Peers that connect as they should and then misbehave
        #[arg(long, default_value_t = 100)]
        strangers: usize,
        /// Datagrams sent to its UDP ports, at least
        #[arg(long, default_value_t = 200_000)]
        datagrams: usize,
        /// Texts asked for at each of its ports before the attack, and at least while it goes on
        #[arg(long, default_value_t = 10)]
        questions: usize,
        /// How many times as long half of these may take during the attack as before, at each port
        #[arg(long, default_value_t = 3.0)]
        slower: f64,
    },
}

fn main() -> Result<()> {
    let lab = Lab::parse();
    // Before any thread is started.
    let _turn = e2e::namespace::enter()?;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let mut worse = Vec::new();
    let (name, table) = match lab.experiment {
        Experiment::Connect {
            delay,
            jitter,
            loss,
        } => {
            let link = Conditions {
                delay: Duration::from_millis(delay),
                jitter: Duration::from_millis(jitter),
                loss: loss / 100.0,
                bytes_per_second: None,
            };
            ("connect", connect::run_blocking(link)?.to_string())
        }
        Experiment::Overhead {
            goes,
            rounds,
            minutes,
            delays,
            losses,
            with,
        } => {
            let links = delays
                .iter()
                .flat_map(|delay| losses.iter().map(|loss| (*delay, loss / 100.0)))
                .collect();
            let outcome = overhead::run_blocking(&overhead::Options {
                goes,
                rounds,
                within: Duration::from_secs(60 * minutes),
                links,
                with,
            })?;
            worse = outcome.worse;
            ("overhead", outcome.table.to_string())
        }
        Experiment::Dht { nodes, fragments } => {
            let options = dht::Options { nodes, fragments };
            ("dht", dht::run_blocking(options)?.to_string())
        }
        Experiment::Failover {
            seeds,
            seed,
            workers,
            tabs,
            tokens,
            delay,
        } => {
            let outcome = failover::run_blocking(&failover::Options {
                seeds,
                first_seed: seed,
                workers,
                tabs,
                tokens,
                delay: Duration::from_millis(delay),
            })?;
            worse = outcome.worse();
            ("failover", outcome.to_string())
        }
        Experiment::Executor {
            seeds,
            seed,
            tokens,
            delay,
        } => {
            let outcome = executor::run_blocking(&executor::Options {
                seeds,
                first_seed: seed,
                tokens,
                delay: Duration::from_millis(delay),
            })?;
            ("executor", outcome.to_string())
        }
        Experiment::Wan {
            round_trips,
            tokens,
        } => {
            let round_trips = [0].into_iter().chain(round_trips);
            let outcome = wan::run_blocking(&wan::Options {
                round_trips: round_trips.map(Duration::from_millis).collect(),
                tokens,
                learns: tokens as usize / 3,
            })?;
            worse = outcome.worse.clone();
            ("wan", outcome.to_string())
        }
        Experiment::Partition {
            nodes,
            apart,
            heartbeat,
            delay,
        } => {
            let options = partition::Options {
                nodes,
                apart: Duration::from_secs(apart),
                heartbeat: Duration::from_secs(heartbeat),
                delay: Duration::from_millis(delay),
            };
            let table = partition::run_blocking(&options)?;
            ("partition", table.to_string())
        }
        Experiment::First {
            visits,
            megabits,
            round_trip,
        } => {
            let outcome = first::run_blocking(&first::Options {
                visits,
                bits_per_second: megabits * 1_000_000,
                round_trip: Duration::from_millis(round_trip),
            })?;
            worse = outcome.worse;
            ("first", outcome.table.to_string())
        }
        Experiment::Hidden { seen, hidden } => {
            let minutes = |count| Duration::from_secs(60 * count);
            let options = hidden::Options {
                seen: minutes(seen),
                hidden: minutes(hidden),
            };
            ("hidden", hidden::run_blocking(&options)?.to_string())
        }
        Experiment::Soak { requests, minutes } => {
            let time = Duration::from_secs(60 * minutes);
            let options = soak::Options { requests, time };
            ("soak", soak::run_blocking(options)?.to_string())
        }
        Experiment::Hostile {
            attempts,
            strangers,
            datagrams,
            questions,
            slower,
        } => {
            let options = hostile::Options {
                attempts,
                strangers,
                datagrams,
                questions,
                slower: Some(slower),
            };
            ("hostile", hostile::run_blocking(options)?.to_string())
        }
    };
    print!("{table}");
    if lab.write {
        write(name, &table)?;
    }
    // What was measured is of use in any case.
    ensure!(worse.is_empty(), "worse than allowed: {}", worse.join("; "));
    Ok(())
}

/// Where the tables of experiments are.
const DOCUMENTS: [&str; 3] = ["network.md", "swarm.md", "page.md"];

/// Puts a table into the document that has a place for it.
fn write(name: &str, table: &str) -> Result<()> {
    for document in DOCUMENTS {
        let document = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../docs")
            .join(document);
        let text = std::fs::read_to_string(&document)?;
        if let Some(text) = replaced(&text, name, table) {
            return Ok(std::fs::write(&document, text)?);
        }
    }
    bail!("no document has a place for it")
}

/// The document with this table in its place, which comments mark; nothing if it has no such place.
fn replaced(document: &str, name: &str, table: &str) -> Option<String> {
    let (start, end) = (format!("<!-- lab {name} -->\n"), "<!-- end -->");
    let (before, rest) = document.split_once(&start)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{start}{table}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let document = "a\n<!-- lab dht -->\n| old |\n<!-- end -->\nb\n";
        let new = replaced(document, "dht", "| new |\n").unwrap();
        assert_eq!(new, "a\n<!-- lab dht -->\n| new |\n<!-- end -->\nb\n");
        assert_eq!(replaced(document, "other", ""), None);
    }
}

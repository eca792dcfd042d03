//! Longer experiments, whose figures stand in the documentation beside the command that makes them.

mod bigfile;
pub(crate) mod clients;
mod fullsize;
mod peak;
pub(crate) mod probe;

use crate::shell::{self, Shell};
use crate::{setup, web};
use anyhow::Result;
use clap::{Args, Subcommand};

#[derive(Subcommand)]
pub(crate) enum Experiment {
    /// Cut, verify and join a large generated file, and show time and memory.
    Bigfile(bigfile::Options),
    /// Cut and join a model of the real size, and compare with copying and hashing it.
    Fullsize(fullsize::Options),
    /// OpenAI's own clients for Python and JavaScript, unchanged, list models, chat, stream, stop and err against a node.
    Clients,
    /// Native nodes and tabs connect over links with a delay, jitter and losses, whatever routers they are behind, as
    /// directly as these let them; two tabs compute for each other that way.
    Connect(Passed),
    /// What the network adds to a round trip and to the time a fragment takes, beside what is plain.
    Overhead(Passed),
    /// 200 nodes find 1,000 fragments through the DHT, with and without the bootstrap node.
    Dht(Passed),
    /// A node is attacked in every way that costs the attacker little, and goes on.
    Hostile(Passed),
    /// What is left of a model when many nodes go at once, and how many replicas which promise takes: simulated.
    Survival(Passed),
    /// How long it takes until all is held as often as wanted again, after many nodes have gone: simulated.
    Repair(Passed),
    /// What is left of a model while nodes come and go all the time, and how many replicas that takes: simulated.
    Churn(Passed),
    /// Nodes keep their promises in histories made up at random: simulated.
    Histories(Passed),
    /// How long a token takes in swarms of many nodes, and which decision saves how much: simulated.
    Latency(Passed),
    /// Nodes are killed and frozen in mid-answer: it is the same, and each of them costs a moment.
    Failover(Passed),
    /// Those who run the layers of a session are killed and frozen in mid-answer: it goes on with others, the same.
    Executor(Passed),
    /// What a token takes at some distances, run here or by others, beside what was predicted.
    Wan(Passed),
    /// The swarm falls into two halves and grows together again: nothing is lost, and all is held as often as wanted.
    Partition(Passed),
    /// The first seconds of somebody who opens an invitation over a slow line: until something is seen, until their device
    /// contributes, until an answer begins.
    First(Passed),
    /// What a tab goes on doing while nobody sees it, by what it has against being slowed down.
    Hidden(Passed),
    /// Nodes and tabs come and go for an hour while somebody asks: all is answered, and nothing stays behind.
    Soak(Passed),
}

/// What the experiment is given; `-- --help` says what it takes, and `-- --write` puts what came of it into `docs`.
#[derive(Args)]
pub(crate) struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// What an experiment needs.
enum Needs {
    /// Only itself: its nodes are in its own process.
    Nothing,
    /// Its nodes are in its own process and in pages of Chromium.
    Pages,
    /// The program, the page, which entries serve, and Chromium.
    Program,
}

/// An experiment with the network, which is part of the end-to-end tests' crate.
fn network(name: &str, needs: &Needs, passed: &Passed) -> Result<()> {
    let shell = match needs {
        Needs::Program | Needs::Pages => setup::prepare(setup::Purpose::Test)?,
        Needs::Nothing => Shell::with_tools(setup::tool_folders()?)?,
    };
    if matches!(needs, Needs::Program) {
        web::build(&shell)?;
        shell::run(&mut shell.cargo(&["build", "--release", "-p", "node"]))?;
    }
    let mut arguments = vec!["run", "--release", "-p", "e2e", "--bin", "lab", "--", name];
    arguments.extend(passed.arguments.iter().map(String::as_str));
    let mut lab = shell.cargo(&arguments);
    if matches!(needs, Needs::Pages) {
        // As small and as fast as the application is.
        lab.env("IAP2P_PROBE", probe::page(&shell, "web")?);
    }
    shell::run(&mut lab)
}

/// An experiment with the simulator.
fn simulated(name: &str, passed: &Passed) -> Result<()> {
    let shell = Shell::with_tools(setup::tool_folders()?)?;
    let mut arguments = vec!["run", "--release", "-p", "simulator", "--", name];
    arguments.extend(passed.arguments.iter().map(String::as_str));
    shell::run(&mut shell.cargo(&arguments))
}

pub(crate) fn run(experiment: &Experiment) -> Result<()> {
    match experiment {
        Experiment::Bigfile(options) => bigfile::run(options),
        Experiment::Fullsize(options) => fullsize::run(options),
        Experiment::Clients => clients::run(),
        Experiment::Connect(passed) => network("connect", &Needs::Program, passed),
        Experiment::Overhead(passed) => network("overhead", &Needs::Pages, passed),
        Experiment::Dht(passed) => network("dht", &Needs::Nothing, passed),
        Experiment::Hostile(passed) => network("hostile", &Needs::Program, passed),
        Experiment::Executor(passed) => network("executor", &Needs::Program, passed),
        Experiment::Wan(passed) => network("wan", &Needs::Program, passed),
        Experiment::Failover(passed) => network("failover", &Needs::Program, passed),
        Experiment::Partition(passed) => network("partition", &Needs::Program, passed),
        Experiment::First(passed) => network("first", &Needs::Program, passed),
        Experiment::Hidden(passed) => network("hidden", &Needs::Program, passed),
        Experiment::Soak(passed) => network("soak", &Needs::Program, passed),
        Experiment::Survival(passed) => simulated("survival", passed),
        Experiment::Repair(passed) => simulated("repair", passed),
        Experiment::Churn(passed) => simulated("churn", passed),
        Experiment::Histories(passed) => simulated("histories", passed),
        Experiment::Latency(passed) => simulated("latency", passed),
    }
}

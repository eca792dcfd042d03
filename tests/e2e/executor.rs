//! Layers that others run, in short forms of `cargo xtask lab executor` and `wan`.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{
    Browser, Network, Visitor,
    experiments::{executor, wan},
    metric, until,
};

use crate::answer::{QUESTION, same};

pub(crate) fn an_answer_goes_on_when_those_who_run_its_layers_are_lost() -> Result<()> {
    let outcome = executor::run_blocking(&executor::Options {
        seeds: 2,
        first_seed: 1,
        tokens: 24,
        delay: Duration::from_millis(5),
    })?;
    println!("{outcome}");
    Ok(())
}

/// How near predictions are is a matter of the experiment: here it is that layers are run by those who are planned to, with
/// the same text, and that something is predicted.
pub(crate) fn tokens_go_through_layers_that_others_run() -> Result<()> {
    let outcome = wan::run_blocking(&wan::Options {
        round_trips: [0, 20].map(Duration::from_millis).to_vec(),
        tokens: 20,
        learns: 8,
    })?;
    println!("{outcome}");
    Ok(())
}

pub(crate) fn a_tabs_tokens_go_through_layers_that_others_run() -> Result<()> {
    const STATUS: &str = "127.0.0.1:9103";
    const TOKENS: u32 = 60;
    let network = Network::start()?;
    let more: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"--status", &STATUS, &"--run-layers", &"always"];
    let runner = network.worker_told("runner", &more)?;
    let alone = network.alone(QUESTION, TOKENS)?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), 4)?;
        tab.meets(&runner.peer_id()?)?;
        tab.be_predictable(TOKENS)?;
        tab.ask(QUESTION)?;
        same(&tab.answer()?, &alone)?;
        let through = metric(STATUS, "iap2p_stages_served_total")?;
        ensure!(
            through >= u64::from(TOKENS) / 2,
            "only {through} tokens went through the node that runs all layers"
        );
        Ok(())
    })
}

pub(crate) fn the_page_goes_on_when_the_node_that_runs_its_layers_is_killed() -> Result<()> {
    const STATUS: &str = "127.0.0.1:9104";
    const TOKENS: u32 = 80;
    let network = Network::start()?;
    let more: [&dyn AsRef<std::ffi::OsStr>; 4] = [&"--status", &STATUS, &"--run-layers", &"always"];
    let runner = network.worker_told("runner", &more)?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, TOKENS)?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), 4)?;
        for node in [&runner, &worker] {
            tab.meets(&node.peer_id()?)?;
        }
        tab.be_predictable(TOKENS)?;
        tab.ask(QUESTION)?;
        until("tokens go through the node that runs layers", || {
            let through = metric(STATUS, "iap2p_stages_served_total")?;
            Ok((through >= 8).then_some(()))
        })?;
        runner.kill();
        ensure!(
            tab.is_answering()?,
            "the answer was over before the node was killed"
        );
        same(&tab.answer()?, &alone)
    })
}

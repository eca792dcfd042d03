//! The promises: the network's answer is the model's answer, and a node that leaves costs time only.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{Answer, Browser, Network, Node, Said, Visitor, metric, until};

pub(crate) const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
const MAX_TOKENS: u32 = 80;
/// Fragments that each tab lends.
const LEND: u32 = 4;
const TABS: u32 = 3;

/// An entry that computes nothing, three tabs with fragments of their own, and a worker with those they lack.
struct Scene {
    network: Network,
    tabs: Vec<Visitor>,
    _worker: Node,
}

fn scene(browser: &Browser) -> Result<Scene> {
    let network = Network::start()?;
    let tabs: Vec<Visitor> = (0..TABS)
        .map(|_| Visitor::join(browser, &network.link(), LEND))
        .collect::<Result<_>>()?;
    let mut lent = BTreeSet::new();
    for tab in &tabs {
        let lends = tab.lends()?;
        ensure!(
            lends.len() == LEND as usize,
            "{} fragments instead of {LEND}",
            lends.len()
        );
        ensure!(
            lent.is_disjoint(&lends),
            "{lends:?} of one tab are lent by another, too: {lent:?}"
        );
        lent.extend(lends);
    }
    let worker = network.worker_for_the_rest(&lent)?;
    for tab in &tabs {
        tab.meets(&worker.peer_id()?)?;
        for other in &tabs {
            let (name, other) = (tab.peer_id()?, other.peer_id()?);
            if name != other {
                tab.meets(&other)?;
            }
        }
    }
    Ok(Scene {
        network,
        tabs,
        _worker: worker,
    })
}

pub(crate) fn tabs_and_a_worker_answer_as_one_process_does() -> Result<()> {
    Browser::with(|browser| {
        let Scene { network, tabs, .. } = &scene(browser)?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        let asking = &tabs[0];
        asking.be_predictable(MAX_TOKENS)?;
        asking.ask(QUESTION)?;
        let said = asking.answer()?;
        same(&said, &alone)?;
        // The dashboard shows who computed: the worker and both other tabs.
        let computed = until("the dashboard shows that three computed", || {
            let peers = asking
                .peers()?
                .into_iter()
                .filter(|peer| peer.answered > 0)
                .count();
            Ok((peers >= 3).then_some(peers))
        })?;
        ensure!(computed == 3, "{computed} nodes computed");
        Ok(())
    })
}

pub(crate) fn a_tab_closed_in_mid_answer_changes_no_token() -> Result<()> {
    Browser::with(|browser| {
        // All of it by name: what is left out would be dropped, and the worker with it.
        let Scene {
            network,
            mut tabs,
            _worker,
        } = scene(browser)?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        let leaving = tabs.pop().context("no tab")?;
        let (name, lends) = (leaving.peer_id()?, leaving.lends()?);
        let spare = network.worker("spare", &Vec::from_iter(lends))?;
        let asking = &tabs[0];
        asking.meets(&spare.peer_id()?)?;
        asking.be_predictable(MAX_TOKENS)?;
        asking.ask(QUESTION)?;
        until(
            "the tab that will leave has computed, and the answer has begun",
            || {
                let begun = !asking.text("message-answer")?.is_empty();
                let took_part = asking
                    .peers()?
                    .iter()
                    .any(|peer| peer.peer == name && peer.answered > 0);
                Ok((begun && took_part).then_some(()))
            },
        )
        .with_context(|| format!("the tab that will leave is {name}; {:?}", asking.peers()))?;
        leaving.into_page().close()?;
        ensure!(
            asking.is_answering()?,
            "the answer was over before the tab was closed"
        );
        let said = asking.answer()?;
        same(&said, &alone)?;
        Ok(())
    })
}

pub(crate) fn an_answer_goes_on_after_a_reload() -> Result<()> {
    let network = Network::start()?;
    let worker = network.full_worker()?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), LEND)?;
        tab.meets(&worker.peer_id()?)?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        let begun = tab.begun()?;
        tab.reload()?;
        let said = tab.answer()?;
        same(&said, &alone)?;
        let ending = said.ending.context("not ended")?;
        ensure!(
            ending.before > 0 && ending.before < ending.tokens,
            "{} of {} tokens were said before the reload, {begun:?} among them",
            ending.before,
            ending.tokens
        );
        Ok(())
    })
}

pub(crate) fn an_answer_is_finished_while_its_page_is_closed() -> Result<()> {
    const STATUS: &str = "127.0.0.1:9104";
    let network = Network::start()?;
    let worker = network.watched_worker(STATUS)?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), LEND)?;
        tab.meets(&worker.peer_id()?)?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        tab.begun()?;
        tab.give_away()?;
        tab.into_page().close()?;
        until("the answer is finished without anybody watching", || {
            let finished = metric(STATUS, "iap2p_jobs_served_total")?;
            Ok((finished == 1).then_some(()))
        })?;
        let later = Visitor::open(browser, &network.link())?;
        let said = later.answer()?;
        same(&said, &alone)?;
        let ending = said.ending.context("not ended")?;
        ensure!(
            ending.elsewhere && ending.before > 0 && ending.before < ending.tokens,
            "not finished elsewhere: {ending:?}"
        );
        Ok(())
    })
}

pub(crate) fn an_answer_given_to_a_node_that_is_killed_is_finished_by_the_page() -> Result<()> {
    let network = Network::start()?;
    let finisher = network.full_worker()?;
    let _other = network.worker_told("other", &[&"--jobs", &"0"])?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), LEND)?;
        tab.meets(&finisher.peer_id()?)?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        tab.begun()?;
        tab.give_away()?;
        drop(finisher);
        let said = tab.answer()?;
        same(&said, &alone)
    })
}

pub(crate) fn what_a_tab_lends_is_heard_of() -> Result<()> {
    const STATUS: &str = "127.0.0.1:9102";
    let network = Network::start()?;
    let _worker = network.watched_worker(STATUS)?;
    Browser::with(|browser| {
        let _tab = Visitor::join(browser, &network.link(), LEND)?;
        // The tab's, and the entry's, which offers everything.
        until("the heartbeats of both are heard", || {
            let heard = metric(STATUS, "iap2p_heard_members")?;
            Ok((heard >= 2).then_some(()))
        })
    })
}

pub(crate) fn cores_that_come_and_go_change_no_token() -> Result<()> {
    let network = Network::start()?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), 3 * LEND)?;
        let worker = network.worker_for_the_rest(&tab.lends()?)?;
        tab.meets(&worker.peer_id()?)?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        tab.be_predictable(MAX_TOKENS)?;
        for cores in [1, 4, 2] {
            // What this machine does not have, the page does not take.
            tab.employ(cores)?;
            tab.ask(QUESTION)?;
            same(&tab.answer()?, &alone)?;
            tab.start_over()?;
        }
        Ok(())
    })
}

/// The same text in as many tokens; where the text begins is a matter of the page's layout.
pub(crate) fn same(said: &Said, alone: &Answer) -> Result<()> {
    said.same_as(alone)
}

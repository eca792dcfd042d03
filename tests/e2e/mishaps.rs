//! What goes wrong on people's devices: said plainly, and nothing lost that could be kept.

use anyhow::{Result, ensure};
use e2e::{
    Browser, Network, Visitor,
    lab::{self, Nat, Site},
    until,
};
use serde_json::json;

use crate::answer::{QUESTION, same};

const LEND: u32 = 3;
const MAX_TOKENS: u32 = 80;

pub(crate) fn an_answer_goes_on_when_the_network_is_back() -> Result<()> {
    lab::core()?;
    let network = Network::public(lab::CORE, false)?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, MAX_TOKENS)?;
    let site = Site::new(31, Nat::Open, None)?;
    let origin = network.url.trim_end_matches('/');
    Browser::with_at(&site.host, origin, |browser| {
        let tab = Visitor::join(browser, &network.link(), 1)?;
        tab.meets(&worker.peer_id()?)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        tab.begun()?;
        site.cut(true)?;
        // The device notices, as a telephone does that leaves its Wi-Fi.
        tab.set_offline(true)?;
        ensure!(
            tab.is_answering()?,
            "the answer was over before the network was"
        );
        tab.wait_for("offline")?;
        site.cut(false)?;
        tab.set_offline(false)?;
        same(&tab.answer()?, &alone)
    })
}

pub(crate) fn storage_that_is_cleared_is_filled_again() -> Result<()> {
    let network = Network::start()?;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), LEND)?;
        let lends = tab.lends()?;
        let worker = network.worker_for_the_rest(&lends)?;
        tab.meets(&worker.peer_id()?)?;
        // As the browser does when it wants room, or its user when they want to be forgotten.
        let origin = network.url.trim_end_matches('/');
        let what = json!({ "origin": origin, "storageTypes": "indexeddb,local_storage" });
        tab.call("Storage.clearDataForOrigin", what)?;
        let gone = "(async () => (await indexedDB.databases()).every(it => it.name !== 'iap2p'))()";
        tab.wait_until(gone)?;
        // It is noticed, and what nobody else has is fetched again from whoever stores it.
        let stored = "(async () => {
            const open = indexedDB.open('iap2p');
            const db = await new Promise((done, failed) => {
                open.onsuccess = () => done(open.result);
                open.onerror = failed;
                open.onupgradeneeded = () => open.transaction.abort();
            }).catch(() => null);
            if (!db) return 0;
            const count = db.transaction('fragments').objectStore('fragments').count();
            const found = await new Promise(done => { count.onsuccess = () => done(count.result); });
            db.close();
            return found;
        })()";
        until("the fragments are stored again", || {
            Ok((tab.eval(stored)?.as_u64() >= Some(LEND.into())).then_some(()))
        })?;
        // It says so a moment after.
        until("the same are lent again", || {
            Ok((tab.lends()? == lends).then_some(()))
        })?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        same(&tab.answer()?, &alone)?;
        tab.reload()?;
        let screen = tab.eval("document.querySelector('[data-testid=app]')?.dataset.screen")?;
        ensure!(
            screen != "no-swarm",
            "the link in its address still leads to the network"
        );
        Ok(())
    })
}

pub(crate) fn a_clock_that_is_wrong_does_no_harm() -> Result<()> {
    let network = Network::start()?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, MAX_TOKENS)?;
    Browser::with(|browser| {
        for years in [-40, 40] {
            let tab = Visitor::open(browser, "about:blank")?;
            let clock = format!(
                "{{
                    const off = {years} * 365 * 24 * 3600 * 1000;
                    const Right = Date;
                    globalThis.Date = class extends Right {{
                        constructor(...given) {{ given.length ? super(...given) : super(Right.now() + off); }}
                        static now() {{ return Right.now() + off; }}
                    }};
                }}"
            );
            tab.call(
                "Page.addScriptToEvaluateOnNewDocument",
                json!({ "source": clock }),
            )?;
            tab.go(&format!("{}&lend=1", network.link()))?;
            tab.accept()?;
            tab.wait_until_it_lends(1)?;
            tab.meets(&worker.peer_id()?)?;
            tab.be_predictable(MAX_TOKENS)?;
            tab.ask(QUESTION)?;
            same(&tab.answer()?, &alone)?;
            tab.click("conversations-open")?;
            tab.wait_for("conversation")?;
            tab.into_page().close()?;
        }
        Ok(())
    })
}

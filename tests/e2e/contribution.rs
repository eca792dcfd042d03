//! What a device does for others, when, and what its user sees of it.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use e2e::{Audience, Network, Visitor};
use serde_json::json;

use crate::answer::{QUESTION, same};

const MAX_TOKENS: u32 = 30;
const LEND: u32 = 3;

fn waits(tab: &Visitor, state: &str, lends: u32) -> Result<()> {
    tab.wait_until(&format!(
        "document.querySelector('[data-testid=contributing]').dataset.state === '{state}'
         && document.querySelectorAll('[data-testid=held-row]').length === {lends}"
    ))
}

pub(crate) fn a_device_contributes_when_its_user_says() -> Result<()> {
    let network = Network::start()?;
    let _worker = network.full_worker()?;
    Audience::each(|browser, audience| {
        let tab = audience.open(browser, "about:blank")?;
        // A battery that the test charges.
        let battery = "{
            const battery = Object.assign(new EventTarget(), { charging: true });
            navigator.getBattery = async () => battery;
            window.charge = (charging) => {
                battery.charging = charging;
                battery.dispatchEvent(new Event('chargingchange'));
            };
        }";
        tab.call(
            "Page.addScriptToEvaluateOnNewDocument",
            json!({ "source": battery }),
        )?;
        tab.go(&format!("{}&lend={LEND}", network.link()))?;
        tab.accept()?;
        tab.wait_until_it_lends(LEND)?;
        waits(&tab, "yes", LEND)?;
        let stored = tab.text("stored-count")?;

        tab.click("pause")?;
        waits(&tab, "paused", 0)?;
        // Paused is not deleted, and the answers of others can still be had.
        ensure!(tab.text("stored-count")? == stored);
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        same(&tab.answer()?, &network.alone(QUESTION, MAX_TOKENS)?)?;
        tab.click("pause")?;
        waits(&tab, "yes", LEND)?;

        // Nobody's battery is used unless they say so.
        tab.eval("charge(false)")?;
        waits(&tab, "battery", 0)?;
        tab.click("charging")?;
        waits(&tab, "yes", LEND)?;
        tab.click("charging")?;
        waits(&tab, "battery", 0)?;
        tab.eval("charge(true)")?;
        waits(&tab, "yes", LEND)?;

        // All hours but this one.
        tab.click("hours")?;
        tab.wait_for("hours-to")?;
        tab.eval(
            "{
                const hour = new Date().getHours();
                for (const [id, value] of [['hours-from', (hour + 1) % 24], ['hours-to', hour]]) {
                    const field = document.querySelector(`[data-testid=${id}]`);
                    field.value = value;
                    field.dispatchEvent(new Event('change', { bubbles: true }));
                }
            }",
        )?;
        waits(&tab, "hours", 0)?;
        // It is chosen for the next visit, too.
        tab.reload()?;
        waits(&tab, "hours", 0)?;
        tab.click("hours")?;
        waits(&tab, "yes", LEND)
    })
}

pub(crate) fn who_is_here_to_ask_only_lends_nothing_and_is_answered() -> Result<()> {
    let network = Network::start()?;
    let _worker = network.full_worker()?;
    Audience::each(|browser, audience| {
        let tab = audience.open(browser, &network.link())?;
        tab.wait_for("onboarding")?;
        ensure!(
            tab.eval("document.querySelector('[data-testid=preflight]').dataset.lacking")?
                == "false"
        );
        tab.click("part-use")?;
        tab.accept()?;
        tab.wait_until_it_lends(0)?;
        waits(&tab, "not-wanted", 0)?;
        tab.be_predictable(MAX_TOKENS)?;
        tab.ask(QUESTION)?;
        same(&tab.answer()?, &network.alone(QUESTION, MAX_TOKENS)?)?;
        waits(&tab, "not-wanted", 0)
    })
}

pub(crate) fn what_is_done_for_others_is_counted_and_thanked_for() -> Result<()> {
    Audience::each(|browser, audience| {
        let network = Network::start()?;
        let helper = audience.join(browser, &network.link(), LEND)?;
        let lends = helper.lends()?;
        let worker = network.worker_for_the_rest(&lends)?;
        helper.meets(&worker.peer_id()?)?;
        network.program().run(&[
            &"generate",
            &"--peer",
            &network.plain_address()?,
            &"--prompt",
            &QUESTION,
            &"--max-tokens",
            &"20",
        ])?;
        helper.wait_until(
            "Number(document.querySelector('[data-testid=answered-by-me]').textContent) > 20",
        )?;
        // It is written down when the page is left, at the latest.
        helper.reload()?;
        helper.wait_for("total-answered")?;
        let total = helper.text("total-answered")?;
        ensure!(total.parse::<u32>()? > 20, "{total}");
        // Who helped is on the map, and everything is in the table of the picture.
        helper.meets(&worker.peer_id()?)?;
        helper.wait_until(
            "document.querySelectorAll('[data-testid=map] circle.device').length >= 2",
        )?;
        let told = helper.eval(
            "[...document.querySelectorAll('[data-testid=coverage-row]')].map(row => Number(row.cells[1].textContent))",
        )?;
        let rows: Vec<u32> = serde_json::from_value(told)?;
        ensure!(
            rows.iter().sum::<u32>() == network.fragments && rows.len() >= 6,
            "{rows:?}"
        );
        ensure!(BTreeSet::from_iter(rows).len() > 1);
        Ok(())
    })
}

//! Graphics processors: for those who allow them, and never unsaid.

use anyhow::{Context, Result, ensure};
use e2e::{Browser, Ending, Network, Visitor, until};

use crate::answer::{QUESTION, same};

/// Software takes its time.
const MAX_TOKENS: u32 = 16;
/// Fragments that the tab lends.
const LEND: u32 = 4;

/// What the page knows of the graphics processor.
const GRAPHICS: &str = "window.__iap2p.status.graphics";

pub(crate) fn what_a_graphics_processor_computes_is_asked_for_and_said() -> Result<()> {
    let network = Network::start()?;
    Browser::with_graphics(|browser| {
        let tab = Visitor::join(browser, &network.link(), LEND)?;
        let worker = network.worker_for_the_rest(&tab.lends()?)?;
        tab.meets(&worker.peer_id()?)?;
        tab.employ(1)?;
        tab.be_predictable(MAX_TOKENS)?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        let ask = || -> Result<Ending> {
            tab.ask(QUESTION)?;
            let said = tab.answer()?;
            same(&said, &alone)?;
            said.ending.context("not ended")
        };

        // Nobody has asked for anything but the exact bits.
        let exact = ask()?;
        ensure!(exact.parts > 0 && exact.approximate == 0, "{exact:?}");
        ensure!(!tab.text("answer-meta")?.contains("approximate"));
        tab.wait_until(&format!("{GRAPHICS}.state === 'Idle'"))?;
        tab.start_over()?;

        // Both devices compute, and agree. Which one is quicker here is left open.
        tab.allow_approximate()?;
        ask()?;
        let state = format!("['Compared', 'Slower', 'InUse'].includes({GRAPHICS}.state)");
        tab.wait_until(&state)?;
        tab.start_over()?;

        tab.force_graphics(LEND)?;
        tab.meets(&worker.peer_id()?)?;
        let approximate = ask()?;
        ensure!(
            (1..approximate.parts).contains(&approximate.approximate),
            "{approximate:?}; the page knows {}",
            tab.eval(GRAPHICS)?
        );
        tab.wait_until(&format!("{GRAPHICS}?.state === 'InUse'"))?;
        let label = format!(
            "approximate: {} of {} parts",
            approximate.approximate, approximate.parts
        );
        until("the answer says so", || {
            Ok(tab.text("answer-meta")?.contains(&label).then_some(()))
        })
    })
}

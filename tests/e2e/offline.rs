//! The page as an application: installable, and there without a network.

use anyhow::{Result, ensure};
use e2e::{Browser, Network, Visitor};
use serde_json::json;

use crate::answer::{QUESTION, same};

const MAX_TOKENS: u32 = 30;

pub(crate) fn a_browser_may_install_the_page() -> Result<()> {
    let network = Network::start()?;
    Browser::with(|browser| {
        let visitor = Visitor::open(browser, &network.url)?;
        visitor.wait_until("navigator.serviceWorker.controller !== null")?;
        let problems = visitor.call("Page.getInstallabilityErrors", json!({}))?;
        ensure!(problems["installabilityErrors"] == json!([]), "{problems}");
        let manifest = visitor.call("Page.getAppManifest", json!({}))?;
        ensure!(manifest["errors"] == json!([]), "{manifest}");
        Ok(())
    })
}

pub(crate) fn without_a_network_the_page_opens_and_says_what_is_missing() -> Result<()> {
    let network = Network::start()?;
    Browser::with(|browser| {
        let visitor = Visitor::join(browser, &network.link(), 2)?;
        let lends = visitor.lends()?;
        visitor.wait_until("navigator.serviceWorker.controller !== null")?;
        drop(network);
        visitor.set_offline(true)?;
        visitor.reload()?;
        visitor.wait_for("offline")?;
        let words = visitor.text("offline")?;
        ensure!(
            words.contains("No network connection"),
            "the page says: {words}"
        );
        // What is stored is still there, and lent again when the connection is back.
        visitor.wait_until(&format!(
            "document.querySelector('[data-testid=stored-count]')?.textContent >= {}",
            lends.len()
        ))?;
        // It is the whole application, not a page that only says so.
        visitor.click("nav-settings")?;
        visitor.wait_for("greedy")
    })
}

pub(crate) fn without_a_network_a_tab_that_holds_the_whole_model_answers() -> Result<()> {
    let network = Network::start()?;
    let alone = network.alone(QUESTION, MAX_TOKENS)?;
    Browser::with(|browser| {
        // All but the one with small tensors, which nobody lends.
        let lend = network.fragments - 1;
        let visitor = Visitor::join(browser, &network.link(), lend)?;
        visitor.be_predictable(MAX_TOKENS)?;
        visitor.wait_until("navigator.serviceWorker.controller !== null")?;
        drop(network);
        visitor.set_offline(true)?;
        visitor.reload()?;
        visitor.wait_until_it_lends(lend)?;
        visitor.ask(QUESTION)?;
        same(&visitor.answer()?, &alone)
    })
}

pub(crate) fn shortcuts_and_what_is_shared_with_the_application_arrive() -> Result<()> {
    let network = Network::start()?;
    let _worker = network.full_worker()?;
    Browser::with(|browser| {
        let visitor = Visitor::join(browser, &network.link(), 1)?;
        visitor.go(&format!("{}?view=contribute", network.url))?;
        visitor.wait_until("document.querySelector('.frame')?.dataset.view === 'contribute'")?;
        ensure!(
            visitor.eval("location.search")? == "",
            "a reload would lead there again"
        );
        visitor.go(&format!(
            "{}?title=News&text=What%20is%20%C3%A9t%C3%A9%3F",
            network.url
        ))?;
        visitor.wait_until(
            "document.querySelector('[data-testid=chat-input]')?.value === 'News\\nWhat is été?'",
        )?;
        // An invitation that is shared is an invitation.
        let link = network.link();
        let (_, fragment) = link.split_once('#').unwrap_or_default();
        let shared = format!(
            "{}#{}",
            network.url,
            fragment.replacen("model=", "model=x", 1)
        );
        visitor.eval(&format!(
            "location.href = '{}?url=' + encodeURIComponent({shared:?})",
            network.url
        ))?;
        visitor.wait_for("onboarding")
    })
}

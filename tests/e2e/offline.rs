//! The page as an application: installable, and there without a network.

use anyhow::{Result, ensure};
use e2e::{Browser, Network, Visitor};
use serde_json::json;

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

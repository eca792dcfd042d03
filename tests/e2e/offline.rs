//! The page as an application: installable, and there without a network.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use e2e::{Audience, Browser, Network, Visitor, WebServer, dist};
use serde_json::json;
use sha2::{Digest, Sha256};

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
    Audience::each(|browser, audience| {
        let network = Network::start()?;
        let alone = network.alone(QUESTION, MAX_TOKENS)?;
        // All but the one with small tensors, which nobody lends.
        let lend = network.fragments - 1;
        let visitor = audience.join(browser, &network.link(), lend)?;
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
    Audience::each(|browser, audience| {
        let visitor = audience.join(browser, &network.link(), 1)?;
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

/// Copies the built page.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let place = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &place)?;
        } else {
            fs::copy(entry.path(), place)?;
        }
    }
    Ok(())
}

/// Makes another version of the page in a folder.
fn change(folder: &Path) -> Result<()> {
    let digest = |bytes: &[u8]| {
        Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let (index, worker) = (folder.join("index.html"), folder.join("service-worker.js"));
    let before = fs::read_to_string(&index)?;
    let after = before.replace("<title>", "<meta name=\"version\" content=\"next\"><title>");
    let list = fs::read_to_string(&worker)?;
    let changed = list.replace(&digest(before.as_bytes()), &digest(after.as_bytes()));
    ensure!(changed != list, "the list does not name the page");
    fs::write(&index, after)?;
    Ok(fs::write(&worker, changed)?)
}

pub(crate) fn a_new_version_takes_over_and_the_answer_goes_on() -> Result<()> {
    const LONG: u32 = 80;
    let network = Network::start()?;
    let worker = network.full_worker()?;
    let alone = network.alone(QUESTION, LONG)?;
    let link = network.link();
    let (_, fragment) = link.split_once('#').context("no invitation")?;
    Audience::each(|browser, audience| {
        let folder = tempfile::tempdir()?;
        copy(&dist()?, folder.path())?;
        let server = WebServer::start(folder.path())?;
        let link = format!("http://{}/#{fragment}", server.address());
        let visitor = audience.join(browser, &link, 1)?;
        visitor.meets(&worker.peer_id()?)?;
        visitor.wait_until("navigator.serviceWorker.controller !== null")?;
        visitor.be_predictable(LONG)?;
        let other = browser.open(&link)?;
        other.wait_until("navigator.serviceWorker.controller !== null")?;
        change(folder.path())?;
        visitor.eval(
            "navigator.serviceWorker.getRegistration().then(it => it.update()).then(() => true)",
        )?;
        visitor.wait_for("update")?;
        ensure!(visitor.eval("document.querySelector('meta[name=version]') === null")? == true);
        visitor.ask(QUESTION)?;
        visitor.begun()?;
        visitor.click("update-now")?;
        visitor.wait_until("document.querySelector('meta[name=version]') !== null")?;
        // The files of the version before are gone, for a tab that was not asked, too.
        other.wait_until("document.querySelector('meta[name=version]') !== null")?;
        let said = visitor.answer()?;
        same(&said, &alone)?;
        let before = said.ending.context("not ended")?.before;
        ensure!(before > 0, "the answer was begun anew");
        Ok(())
    })
}

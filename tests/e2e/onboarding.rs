//! Joining: seen to progress, and never begun again.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{Browser, Network, Proxy, Visitor, WebServer, flip_a_bit, until};
use serde_json::{Value, json};

/// Fragments to lend: enough that joining over the slow link takes seconds.
const LEND: u32 = 8;
/// Bytes per second of the slow link.
const SLOW: u64 = 300_000;

pub(crate) fn joining_shows_progress_and_goes_on_after_a_reload() -> Result<()> {
    let network = Network::start()?;
    let (proxy, address) = network.proxy()?;
    // What was under way at that moment, up to four fragments, comes twice.
    go_on_after_a_reload(&network.link_by(&address), &proxy, LEND)
}

pub(crate) fn fragments_that_nobody_has_come_from_a_web_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = WebServer::start(folder.path())?;
    let proxy = Proxy::start(server.address())?;
    let seed = format!("http://127.0.0.1:{}/", proxy.port());
    let network = Network::on_the_web(folder.path(), &seed)?;
    // All but the one with small tensors, on which nobody computes: they are not of one size, and which of them a tab
    // takes is left to chance.
    go_on_after_a_reload(&network.link(), &proxy, network.fragments - 1)
}

/// Joins over a slow link, and is reloaded in the middle.
fn go_on_after_a_reload(link: &str, proxy: &Proxy, lend: u32) -> Result<()> {
    // What joining costs when nothing goes wrong.
    Browser::with(|browser| Visitor::join(browser, link, lend).map(drop))?;
    let all = proxy.carried();
    Browser::with(|browser| {
        proxy.slow_down(SLOW);
        let visitor = Visitor::open(browser, &format!("{link}&lend={lend}"))?;
        visitor.accept()?;
        let mut shown = BTreeSet::new();
        until("three quarters of it are here", || {
            let percent = visitor.eval(
                "(bar => bar && Math.round(100 * bar.value / bar.max))(document.querySelector('[data-testid=progress] progress'))",
            )?;
            shown.extend(percent.as_u64());
            Ok((proxy.carried() - all > all / 4 * 3).then_some(()))
        })?;
        ensure!(
            shown.len() > 2 && shown.last() > Some(&10),
            "the page has shown only {shown:?} percent"
        );
        visitor.reload()?;
        visitor.wait_until_it_lends(lend)?;
        // Three quarters had come: had it begun again, that much would have come twice.
        let carried = proxy.carried() - all;
        ensure!(
            carried < all + all / 2,
            "{carried} bytes came, joining without a reload takes {all}"
        );
        Ok(())
    })
}

pub(crate) fn a_full_storage_is_said_plainly_and_loses_nothing() -> Result<()> {
    let network = Network::start()?;
    Browser::with(|browser| {
        let visitor = Visitor::open(browser, &format!("{}&lend={LEND}", network.link()))?;
        visitor.wait_until("navigator.serviceWorker.controller !== null")?;
        let origin = network.url.trim_end_matches('/');
        let quota = |mut parameters: Value| {
            parameters["origin"] = origin.into();
            visitor.call("Storage.overrideQuotaForOrigin", parameters)
        };
        let used = visitor.call("Storage.getUsageAndQuota", json!({ "origin": origin }))?;
        let used = used["usage"].as_f64().context("no usage")?;
        // Enough for some of the fragments. Chromium looks at the quota again only every now and then: it has to be
        // small before the first of them is stored.
        quota(json!({ "quotaSize": used + 500_000.0 }))?;
        visitor.accept()?;
        visitor.wait_for("problem")?;
        let words = visitor.text("problem")?;
        ensure!(words.contains("storage"), "the page says: {words}");
        let before = visitor.lends()?;
        quota(json!({}))?;
        visitor.reload()?;
        visitor.wait_until_it_lends(LEND)?;
        ensure!(
            visitor.lends()?.is_superset(&before),
            "{before:?} became {:?}",
            visitor.lends()?
        );
        Ok(())
    })
}

pub(crate) fn a_fragment_with_a_flipped_bit_is_refused_and_fetched_elsewhere() -> Result<()> {
    let network = Network::start()?;
    let honest = network.worker_with(
        "honest",
        &network.copy_of_folder()?,
        &Vec::from_iter(0..network.fragments),
    )?;
    // The entry has checked its fragments when it started; what it hands out from now on is damaged.
    network
        .files()?
        .iter()
        .try_for_each(|file| flip_a_bit(file))?;
    let link = format!("{}&bootstrap={}", network.link(), honest.websocket()?);
    Browser::with(|browser| {
        Visitor::join(browser, &link, 4)?;
        Ok(())
    })?;
    network.entry.told("damaged")?;
    Ok(())
}

//! Joining: seen to progress, and never begun again.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use e2e::{Browser, Network, Visitor, flip_a_bit, until};
use serde_json::{Value, json};

/// Fragments to lend: enough that joining over the slow link takes seconds.
const LEND: u32 = 8;
/// Bytes per second of the slow link.
const SLOW: u64 = 300_000;

pub(crate) fn joining_shows_progress_and_goes_on_after_a_reload() -> Result<()> {
    let network = Network::start()?;
    let all = bytes_to_join(&network)?;
    Browser::with(|browser| {
        let (proxy, address) = network.proxy()?;
        proxy.slow_down(SLOW);
        let visitor = Visitor::open(
            browser,
            &format!("{}&lend={LEND}", network.link_by(&address)),
        )?;
        visitor.accept()?;
        let mut shown = BTreeSet::new();
        until("three quarters of it are here", || {
            let percent = visitor.eval(
                "(bar => bar && Math.round(100 * bar.value / bar.max))(document.querySelector('[data-testid=progress] progress'))",
            )?;
            shown.extend(percent.as_u64());
            Ok((proxy.carried() > all / 4 * 3).then_some(()))
        })?;
        ensure!(
            shown.len() > 2 && shown.last() > Some(&10),
            "the page has shown only {shown:?} percent"
        );
        visitor.reload()?;
        visitor.wait_until_it_lends(LEND)?;
        // Three quarters had come: had it begun again, that much would have come twice. What was under way at that
        // moment, up to four fragments, does come twice.
        let carried = proxy.carried();
        ensure!(
            carried < all + all / 2,
            "{carried} bytes came, joining without a reload takes {all}"
        );
        Ok(())
    })
}

/// What joining costs when nothing goes wrong.
fn bytes_to_join(network: &Network) -> Result<u64> {
    Browser::with(|browser| {
        let (proxy, address) = network.proxy()?;
        Visitor::join(browser, &network.link_by(&address), LEND)?;
        Ok(proxy.carried())
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

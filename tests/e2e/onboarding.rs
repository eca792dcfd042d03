//! Joining: seen to progress, and never begun again.

use anyhow::{Context, Result, ensure};
use e2e::{Browser, Network, PATIENCE, Visitor, until};

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
        let visitor = Visitor::open(browser, &network.link_by(&address, LEND))?;
        visitor.accept()?;
        until(
            "half of it is here, and the page shows how far it is",
            || {
                let shown = visitor.eval("(bar => bar === null ? null : bar.value / bar.max)(document.querySelector('[data-testid=progress] progress'))")?;
                Ok(
                    (shown.as_f64().is_some_and(|shown| shown > 0.0) && proxy.carried() > all / 2)
                        .then_some(()),
                )
            },
        )?;
        visitor.reload()?;
        visitor.wait_until_ready()?;
        ensure!(
            visitor.lends()?.len() == LEND as usize,
            "{:?}",
            visitor.lends()?
        );
        // Half of it was there: had it begun again, half as much again would have come.
        let carried = proxy.carried();
        ensure!(
            carried < all + all / 4,
            "{carried} bytes came, joining without a reload takes {all}"
        );
        Ok(())
    })
}

/// What joining costs when nothing goes wrong.
fn bytes_to_join(network: &Network) -> Result<u64> {
    Browser::with(|browser| {
        let (proxy, address) = network.proxy()?;
        Visitor::join(browser, &network.link_by(&address, LEND))?;
        Ok(proxy.carried())
    })
}

pub(crate) fn a_full_storage_is_said_plainly_and_loses_nothing() -> Result<()> {
    let network = Network::start()?;
    Browser::with(|browser| {
        let visitor = Visitor::join(browser, &network.link(2))?;
        let before = visitor.lends()?;
        let origin = network.url.trim_end_matches('/');
        let used = visitor.call(
            "Storage.getUsageAndQuota",
            serde_json::json!({ "origin": origin }),
        )?;
        let used = used["usage"].as_f64().context("no usage")?;
        let quota = |size: Option<f64>| {
            let mut parameters = serde_json::json!({ "origin": origin });
            if let Some(size) = size {
                parameters["quotaSize"] = size.into();
            }
            visitor.call("Storage.overrideQuotaForOrigin", parameters)
        };
        quota(Some(used + 100_000.0))?;
        visitor.lend(10)?;
        visitor.wait_for("problem")?;
        let words = visitor.text("problem")?;
        ensure!(words.contains("storage"), "the page says: {words}");
        ensure!(
            visitor.lends()?.is_superset(&before),
            "{before:?} became {:?}",
            visitor.lends()?
        );
        quota(None)?;
        visitor.reload()?;
        until("after there is room again, the rest is fetched", || {
            Ok((visitor.lends()?.len() == 10).then_some(()))
        })
        .with_context(|| format!("waited {} s", PATIENCE.as_secs()))?;
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
    let copy = network.copy_of_folder()?;
    let _honest = network.worker_with("honest", &copy, &Vec::from_iter(0..network.fragments))?;
    // The entry has checked its fragments when it started; what it hands out from now on is damaged.
    (0..network.fragments).try_for_each(|index| e2e::flip_a_bit(&network.fragment_file(index)?))?;
    Browser::with(|browser| {
        let visitor = Visitor::join(browser, &network.link(4))?;
        let lends = visitor.lends()?;
        let console = browser.console();
        ensure!(lends.len() == 4, "{lends:?}{console}");
        ensure!(
            console.contains("damaged") || console.contains("digest"),
            "nobody was blamed:{console}"
        );
        Ok(())
    })
}

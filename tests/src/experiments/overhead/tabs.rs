//! Tabs of two browsers at both ends.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use network::{Config, Identity, RelayLimits};
use probe::{Effort, FRAGMENT, LEAST, MESSAGE, Measured, WARM_UP};
use serde_json::Value;

use crate::{
    Browser, Page, WebServer, data_channel,
    lab::Host,
    link::{self, Pair},
    node,
};

/// A tab on each host, with the page of the probe.
fn with_tabs<T>(pair: &Pair, work: impl FnOnce(&Page, &Page) -> Result<T>) -> Result<T> {
    let (here, there) = (served_at(&pair.one)?, served_at(&pair.other)?);
    Browser::with_addresses_at(&pair.one, |one| {
        Browser::with_addresses_at(&pair.other, |other| {
            let open = |browser: &Browser, server: &WebServer| {
                let page = browser.open(&format!("http://{}/", server.address()))?;
                page.wait_until("'Probe' in globalThis")?;
                Ok::<_, anyhow::Error>(page)
            };
            work(&open(one, &here)?, &open(other, &there)?)
        })
    })
}

fn served_at(host: &Host) -> Result<WebServer> {
    let folder = node::built(
        "IAP2P_PROBE",
        "target/probe/page",
        "cargo xtask lab overhead",
    )?;
    link::done_at(host, move || WebServer::start(&folder))
}

/// What a promise comes to that may take minutes.
fn measured(page: &Page, promise: &str) -> Result<Value> {
    page.eval(&format!(
        "measured = failure = null; ({promise}).then(it => measured = it, it => failure = String(it)); 0"
    ))?;
    let end = Instant::now() + PATIENCE;
    loop {
        let failure = page.eval("failure")?;
        ensure!(failure.is_null(), "{failure}");
        let value = page.eval("measured")?;
        if !value.is_null() {
            return Ok(value);
        }
        ensure!(Instant::now() < end, "nothing was measured in {PATIENCE:?}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// Ten megabytes over a link that loses much.
const PATIENCE: Duration = Duration::from_secs(600);

/// One channel, as plain as it comes: the page says how long things took.
pub(super) fn data_channel(pair: &Pair, effort: Effort) -> Result<Measured> {
    with_tabs(pair, |answers, asks| {
        data_channel::connect(asks, answers)?;
        // It sends back what it gets; asked with a text for more, it sends as much as it may have waiting at a time.
        answers.eval(&format!(
            "channel.bufferedAmountLowThreshold = 1 << 20;
            channel.onmessage = ({{ data }}) => {{
                if (typeof data !== 'string') return channel.send(data);
                let left = Number(data);
                const piece = new Uint8Array({MESSAGE});
                const send = () => {{
                    while (left > 0 && channel.bufferedAmount < 4 << 20) {{
                        channel.send(piece.subarray(0, Math.min(left, piece.length)));
                        left -= piece.length;
                    }}
                }};
                channel.onbufferedamountlow = send;
                send();
            }}; 0"
        ))?;
        let (rounds, within) = (effort.rounds, effort.within.as_millis());
        let times = measured(
            asks,
            &format!(
                "(async () => {{
                const heard = bytes => new Promise(done => {{
                    channel.onmessage = ({{ data }}) => (bytes -= data.byteLength) <= 0 && done();
                }});
                const [message, rounds] = [new Uint8Array({MESSAGE}), []];
                const round = async () => {{
                    const back = heard(message.length);
                    channel.send(message);
                    await back;
                }};
                for (let warm = 0; warm < {WARM_UP}; warm++) await round();
                const end = performance.now() + {within};
                while (rounds.length < {rounds} && (rounds.length < {LEAST} || performance.now() < end)) {{
                    const begun = performance.now();
                    await round();
                    rounds.push(performance.now() - begun);
                }}
                const begun = performance.now();
                const whole = heard({FRAGMENT});
                channel.send('{FRAGMENT}');
                await whole;
                return [performance.now() - begun, ...rounds];
            }})()"
            ),
        )?;
        let times: Vec<f64> = serde_json::from_value(times)?;
        let mut times = times
            .into_iter()
            .map(|it| Duration::from_secs_f64(it / 1e3));
        let fragment = times.next().context("no times")?;
        Ok(Measured {
            fragment,
            rounds: times.collect(),
        })
    })
}

/// Nodes of ours, which meet by a relay next to the one that answers.
pub(super) fn nodes(pair: &Pair, effort: Effort) -> Result<Measured> {
    let mut config = Config::new(Identity::generate());
    config.listen = vec![format!("/ip4/{}/tcp/0/ws", Pair::ADDRESSES[0]).parse()?];
    config.relay_server = Some(RelayLimits::default());
    let entry = super::answering(pair, config)?.to_string();
    with_tabs(pair, |answers, asks| {
        let name = answers.eval(&format!(
            "probe = new Probe({entry:?}); name = probe.peer; probe.reserved().then(it => {{ it.answer(); return name; }})"
        ))?;
        let name = name.as_str().context("no name")?;
        let measured = measured(
            asks,
            &format!(
                "new Probe({entry:?}).reserved().then(it => it.ask({name:?}, {}, {}))",
                effort.rounds,
                effort.within.as_secs_f64()
            ),
        )?;
        Ok(serde_json::from_value(measured)?)
    })
}

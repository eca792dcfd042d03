//! Tabs of two browsers at both ends.

use std::{
    env,
    path::PathBuf,
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use network::{Event, RelayLimits};
use probe::{FRAGMENT, MESSAGE, Measured, WARM_UP};
use serde_json::Value;

use crate::{
    Browser, Page, WebServer,
    lab::Host,
    link::{self, Pair},
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
    let folder = env::var_os("IAP2P_PROBE").map_or_else(
        || crate::node::root().join("target/probe/page"),
        PathBuf::from,
    );
    ensure!(
        folder.join("index.html").is_file(),
        "no probe in {}: `cargo xtask lab overhead` builds it",
        folder.display()
    );
    let server = link::at(host, move || WebServer::start(&folder)).join();
    server.map_err(|_| anyhow!("a thread has panicked"))?
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

/// Signalling by hand: each side's description is complete once gathering has ended.
const GATHERED: &str = "new Promise(done => {
    const look = () => pc.iceGatheringState === 'complete' && done(JSON.stringify(pc.localDescription));
    pc.onicegatheringstatechange = look; look();
})";

/// One channel, as plain as it comes: the page says how long things took.
pub(super) fn data_channel(pair: &Pair, rounds: usize) -> Result<Measured> {
    with_tabs(pair, |answers, asks| {
        asks.eval("pc = new RTCPeerConnection(); channel = pc.createDataChannel('plain'); channel.binaryType = 'arraybuffer'; pc.setLocalDescription()")?;
        let offer = asks.eval(GATHERED)?;
        // It sends back what it gets; asked with a text for more, it sends as much as it may have waiting at a time.
        answers.eval(&format!(
            "pc = new RTCPeerConnection();
            pc.ondatachannel = ({{ channel: it }}) => {{
                channel = it;
                channel.binaryType = 'arraybuffer';
                channel.bufferedAmountLowThreshold = 1 << 20;
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
                }};
            }};
            pc.setRemoteDescription(JSON.parse({offer})).then(() => pc.setLocalDescription())"
        ))?;
        let answer = answers.eval(GATHERED)?;
        asks.eval(&format!("pc.setRemoteDescription(JSON.parse({answer}))"))?;
        asks.wait_until("channel.readyState === 'open'")?;
        let times = measured(
            asks,
            &format!(
                "(async () => {{
                const heard = bytes => new Promise(done => {{
                    channel.onmessage = ({{ data }}) => (bytes -= data.byteLength) <= 0 && done();
                }});
                const [message, rounds] = [new Uint8Array({MESSAGE}), []];
                for (let round = 0; round < {WARM_UP} + {rounds}; round++) {{
                    const begun = performance.now();
                    const back = heard(message.length);
                    channel.send(message);
                    await back;
                    rounds.push(performance.now() - begun);
                }}
                const begun = performance.now();
                const whole = heard({FRAGMENT});
                channel.send('{FRAGMENT}');
                await whole;
                return [performance.now() - begun, ...rounds.slice({WARM_UP})];
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
pub(super) fn nodes(pair: &Pair, rounds: usize) -> Result<Measured> {
    let (tell, told) = sync_channel(8);
    let listen = format!("/ip4/{}/tcp/0/ws", Pair::ADDRESSES[0]).parse()?;
    // Ends with the host.
    link::at(&pair.one, move || {
        tokio::runtime::Runtime::new()?.block_on(async {
            let mut config = probe::config();
            config.listen = vec![listen];
            config.relay_server = Some(RelayLimits::default());
            let (handle, mut events, driver) = network::start(config)?;
            tokio::spawn(driver);
            let heard = |event| {
                if let Event::Listening { address } = event {
                    // Fails when nobody waits any more.
                    let _ = tell.try_send(address);
                }
            };
            Ok(probe::answer(&handle, &mut events, heard).await?)
        })
    });
    let entry = told.recv_timeout(Duration::from_secs(20));
    let entry = entry.context("nobody listens")?.to_string();
    with_tabs(pair, |answers, asks| {
        let name = answers.eval(&format!(
            "probe = new Probe({entry:?}); name = probe.peer; probe.reserved().then(it => {{ it.answer(); return name; }})"
        ))?;
        let name = name.as_str().context("no name")?;
        let measured = measured(
            asks,
            &format!("new Probe({entry:?}).reserved().then(it => it.ask({name:?}, {rounds}))"),
        )?;
        Ok(serde_json::from_value(measured)?)
    })
}

//! Others speak the same: js-libp2p, in a browser.

use anyhow::{Context, Result, ensure};
use e2e::{
    Browser, Network, Visitor,
    js_libp2p::{Echo, JsConnection, JsNode},
    until,
};

/// Waits until js-libp2p has a direct connection of its with a peer, which it or the other has begun.
fn is_direct(js: &JsNode, peer: &str, inbound: bool) -> Result<()> {
    until("the two are connected directly", || {
        let all = js.connections(peer)?;
        let direct = |it: &JsConnection| !it.relayed && it.inbound == inbound;
        Ok(all.iter().any(direct).then_some(()))
    })
    .with_context(|| format!("{:?}", js.connections(peer)))
}

pub(crate) fn js_libp2p_is_understood_by_webrtc_direct() -> Result<()> {
    let echo = Echo::start()?;
    Browser::with(|browser| {
        let js = JsNode::start(browser)?;
        let connection = js.dial(&echo.address())?;
        ensure!(!connection.relayed && !connection.inbound, "{connection:?}");
        // Less than a frame, a frame, and more than is let wait.
        for length in [0, 1, 16 << 10, 5_000_000] {
            js.echo(echo.peer_id(), length)
                .with_context(|| format!("{length} bytes"))?;
        }
        Ok(())
    })
}

pub(crate) fn js_libp2p_and_a_tab_meet_whoever_begins() -> Result<()> {
    let network = Network::start()?;
    let relay = &network.address;
    Browser::with(|browser| {
        let tab = Visitor::join(browser, &network.link(), 1)?;
        let name = tab.peer_id()?;
        let js = JsNode::start(browser)?;
        js.dial(&format!("{relay}/p2p-circuit/webrtc/p2p/{name}"))?;
        is_direct(&js, &name, false)?;
        js.ping(&name)
    })?;
    Browser::with(|browser| {
        let js = JsNode::start(browser)?;
        let address = js.reserve(relay)?;
        let tab = Visitor::join(
            browser,
            &format!("{}&bootstrap={address}", network.link()),
            1,
        )?;
        let name = tab.peer_id()?;
        is_direct(&js, &name, true)?;
        js.ping(&name)
    })
}

pub(crate) fn js_libp2p_and_a_native_node_meet_whoever_begins() -> Result<()> {
    let network = Network::start()?;
    let relay = &network.address;
    Browser::with(|browser| {
        let js = JsNode::start(browser)?;
        let worker = network.worker_told("reserved", &[&"--reserve"])?;
        let name = worker.peer_id()?;
        worker.listens(|address| address.contains("/webrtc"))?;
        js.dial(&format!("{relay}/p2p-circuit/webrtc/p2p/{name}"))?;
        is_direct(&js, &name, false)?;
        js.ping(&name)?;
        let address = js.reserve(relay)?;
        let worker = network.worker_told("calling", &[&"--bootstrap", &address])?;
        let name = worker.peer_id()?;
        is_direct(&js, &name, true)?;
        js.ping(&name)
    })
}

//! Whether anything still comes from the other side, by the browser's own count.

use futures_timer::Delay;
use js_sys::Reflect;
use wasm_bindgen_futures::JsFuture;
use web_sys::RtcPeerConnection;

use crate::core::Liveness;

/// Ends when the other side has fallen silent. Where the browser does not count, it never does, and the state of the
/// connection has to say it.
pub(super) async fn silence(connection: RtcPeerConnection) {
    let mut liveness = Liveness::new();
    while let Some(packets) = packets(&connection).await {
        match liveness.observe(packets) {
            Some(wait) => Delay::new(wait).await,
            None => return,
        }
    }
    std::future::pending().await
}

/// What was received on all candidate pairs of the
/// [statistics](https://www.w3.org/TR/webrtc-stats/#candidatepair-dict*): data, and checks by which both sides stay in
/// touch when there is none.
async fn packets(connection: &RtcPeerConnection) -> Option<u64> {
    let report = JsFuture::from(connection.get_stats()).await.ok()?;
    let mut sum = None;
    for entry in js_sys::try_iter(&report).ok()?? {
        let stats = Reflect::get_u32(&entry.ok()?, 1).ok()?;
        let field = |name: &str| Reflect::get(&stats, &name.into()).unwrap_or_default();
        if field("type") != "candidate-pair" {
            continue;
        }
        // Without the answers to our checks a peer that has nothing to say could not be told from one that is gone.
        if let Some(responses) = field("responsesReceived").as_f64() {
            let others = ["requestsReceived", "packetsReceived", "bytesReceived"];
            let others = others.iter().filter_map(|name| field(name).as_f64());
            *sum.get_or_insert(0) += (responses + others.sum::<f64>()) as u64;
        }
    }
    sum
}

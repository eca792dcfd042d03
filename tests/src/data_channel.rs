//! A plain data channel between two tabs.

use anyhow::Result;

use crate::Page;

/// Each side's description is complete once gathering has ended.
const GATHERED: &str = "new Promise(done => {
    const look = () => pc.iceGatheringState === 'complete' && done(JSON.stringify(pc.localDescription));
    pc.onicegatheringstatechange = look; look();
})";

/// Connects two tabs; both find the channel in `channel`. Signalling is done by hand. Both keep their connection in a
/// variable, too: Chromium sometimes collects one that only its own handler refers to.
pub fn connect(offers: &Page, answers: &Page) -> Result<()> {
    offers.eval("pc = new RTCPeerConnection(); channel = pc.createDataChannel('plain'); channel.binaryType = 'arraybuffer'; pc.setLocalDescription()")?;
    let offer = offers.eval(GATHERED)?;
    answers.eval(&format!(
        "channel = null; pc = new RTCPeerConnection();
        pc.ondatachannel = event => {{ channel = event.channel; channel.binaryType = 'arraybuffer'; }};
        pc.setRemoteDescription(JSON.parse({offer})).then(() => pc.setLocalDescription())"
    ))?;
    let answer = answers.eval(GATHERED)?;
    offers.eval(&format!("pc.setRemoteDescription(JSON.parse({answer}))"))?;
    for page in [offers, answers] {
        page.wait_until("channel?.readyState === 'open'")?;
    }
    Ok(())
}

//! Who is at the other end of a WebRTC-direct connection: Noise, over its first channel.

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::{
        UpgradeInfo as _,
        upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _},
    },
    identity::Keypair,
    noise,
};

use crate::core::direct::prologue;

/// Which side of the connection we are, and both certificates' digests.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Client,
    #[cfg_attr(
        target_arch = "wasm32",
        expect(dead_code, reason = "pages listen nowhere")
    )]
    Server,
}

/// Proves who we are and learns who is there. The stream comes back, to be kept as long as the connection: browsers
/// would use the number of its channel again, for one that the other side has not forgotten yet.
pub(crate) async fn authenticate<S>(
    stream: S,
    keypair: &Keypair,
    secret: &[u8],
    side: Side,
    (ours, theirs): ([u8; 32], [u8; 32]),
) -> Result<(PeerId, noise::Output<S>), noise::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let prologue = match side {
        Side::Client => prologue(&ours, &theirs, secret),
        Side::Server => prologue(&theirs, &ours, secret),
    };
    let noise = noise::Config::new(keypair)?.with_prologue(prologue);
    // There is one name, and it is not negotiated.
    let name = noise.protocol_info().next().unwrap_or_default();
    // The server begins: it knows first that the connection stands.
    match side {
        Side::Client => noise.upgrade_inbound(stream, name).await,
        Side::Server => noise.upgrade_outbound(stream, name).await,
    }
}

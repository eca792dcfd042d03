//! Who is at the other end: Noise, over the first channel of the connection.

use std::sync::Arc;

use libp2p::{
    PeerId,
    core::{
        UpgradeInfo as _,
        upgrade::{InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _},
    },
    noise,
};
use str0m::channel::{ChannelConfig, ChannelId};

use super::Identity;
use crate::{
    core::direct::prologue,
    native::{
        Connection, Error, Stream,
        certificate::digest_of,
        session::{Session, State},
    },
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

pub(super) struct Handshake {
    pub(super) identity: Arc<Identity>,
    pub(super) session: Arc<Session>,
    pub(super) channel: ChannelId,
    pub(super) side: Side,
}

/// The channel that both sides take for granted.
pub(super) fn noise_channel(state: &mut State) -> ChannelId {
    state.create(ChannelConfig {
        negotiated: Some(0),
        ..ChannelConfig::default()
    })
}

impl Handshake {
    /// Waits for the connection to stand and for proof of who is there.
    pub(super) async fn run(
        self,
        mut connection: Connection,
    ) -> Result<(PeerId, Connection), Error> {
        self.session.connected().await?;
        let theirs = self.session.with(|state| {
            let api = state.rtc.direct_api();
            api.remote_dtls_fingerprint().and_then(digest_of)
        });
        let theirs = theirs.ok_or(Error::Negotiation("no certificate"))?;
        let ours = self.identity.certificate.digest();
        let secret = &self.identity.secret;
        let prologue = match self.side {
            Side::Client => prologue(&ours, &theirs, secret),
            Side::Server => prologue(&theirs, &ours, secret),
        };
        let failed = |error: noise::Error| Error::Handshake(error.to_string());
        let noise = noise::Config::new(&self.identity.keypair)
            .map_err(failed)?
            .with_prologue(prologue);
        let stream = Stream::new(Arc::clone(&self.session), self.channel);
        let name = noise
            .protocol_info()
            .next()
            .ok_or(Error::Negotiation("no handshake"))?;
        // The server begins: it knows first that the connection stands.
        let (peer, channel) = match self.side {
            Side::Client => noise.upgrade_inbound(stream, name).await,
            Side::Server => noise.upgrade_outbound(stream, name).await,
        }
        .map_err(failed)?;
        // The channel stays as it is: browsers would use its number again, for a channel that the other side has not
        // forgotten yet.
        connection.keep(Box::new(channel));
        Ok((peer, connection))
    }
}

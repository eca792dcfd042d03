use std::sync::Arc;

use libp2p::PeerId;
use str0m::channel::{ChannelConfig, ChannelId};

use super::Identity;
use crate::{
    handshake::{Side, authenticate},
    native::{
        Connection, Error, Stream,
        certificate::digest_of,
        session::{Session, State},
    },
};

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
        let digests = (self.identity.certificate.digest(), theirs);
        let stream = Stream::new(Arc::clone(&self.session), self.channel);
        let Identity {
            keypair, secret, ..
        } = &*self.identity;
        let (peer, channel) = authenticate(stream, keypair, secret, self.side, digests)
            .await
            .map_err(|error| Error::Handshake(error.to_string()))?;
        connection.keep(Box::new(channel));
        Ok((peer, connection))
    }
}

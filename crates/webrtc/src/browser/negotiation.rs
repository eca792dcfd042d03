//! From a stream between two browsers to a direct connection between them.

use std::{future::poll_fn, pin::pin, time::Duration};

use futures::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, StreamExt, channel::mpsc,
    select, stream,
};
use futures_timer::Delay;
use js_sys::{Array, JSON};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    RtcConfiguration, RtcIceCandidateInit, RtcIceServer, RtcPeerConnectionIceEvent,
    RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::{Connection, Error, peer::PeerConnection};
use crate::{
    IceServer, Role,
    core::signaling::Type,
    signals::{Signals, send},
};

/// Finding a path takes a fraction of a second, or does not succeed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Candidates taken from a peer; honest ones have a handful.
const MAX_CANDIDATES: usize = 128;

/// Negotiates over `stream`, which is used for nothing else and closed in the end. It must be authenticated and private:
/// what the connection is tied to is said there.
///
/// # Errors
/// If the two find no path to each other within twenty seconds, or one does not keep to the protocol.
pub async fn negotiate(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    servers: &[IceServer],
    role: Role,
) -> Result<Connection, Error> {
    let (reader, writer) = stream.split();
    let mut work = pin!(agree(Signals::new(reader), writer, servers, role).fuse());
    let mut timeout = Delay::new(TIMEOUT).fuse();
    select! {
        result = work => result,
        () = timeout => Err(Error::TimedOut),
    }
}

async fn agree(
    mut signals: Signals<impl AsyncRead + Unpin>,
    mut writer: impl AsyncWrite + Unpin,
    servers: &[IceServer],
    role: Role,
) -> Result<Connection, Error> {
    let mut peer = PeerConnection::new(&configuration(servers))?;
    let (mut found, mut candidates) = mpsc::channel::<String>(MAX_CANDIDATES);
    let on_candidate = Closure::<dyn FnMut(RtcPeerConnectionIceEvent)>::new(
        move |event: RtcPeerConnectionIceEvent| {
            let json = event
                .candidate()
                .and_then(|candidate| JSON::stringify(&candidate.to_json()).ok());
            if let Some(json) = json {
                // More than the other side would take are of no use.
                let _ = found.try_send(json.into());
            }
        },
    );
    peer.inner
        .set_onicecandidate(Some(on_candidate.as_ref().unchecked_ref()));

    let init = match role {
        Role::Offers => {
            let init = peer.open_init()?;
            let offer = JsFuture::from(peer.inner.create_offer()).await?;
            describe_ourselves(&peer, &mut writer, offer, Type::SdpOffer).await?;
            describe_them(&peer, &mut signals, Type::SdpAnswer).await?;
            Some(init)
        }
        Role::Answers => {
            describe_them(&peer, &mut signals, Type::SdpOffer).await?;
            let answer = JsFuture::from(peer.inner.create_answer()).await?;
            describe_ourselves(&peer, &mut writer, answer, Type::SdpAnswer).await?;
            None
        }
    };
    find_path(&mut peer, signals, writer, &mut candidates).await?;
    peer.inner.set_onicecandidate(None);
    peer.watch_transport();
    if let Some(init) = init {
        init.close();
    }
    Ok(Connection::new(peer))
}

async fn describe_ourselves(
    peer: &PeerConnection,
    writer: &mut (impl AsyncWrite + Unpin),
    description: JsValue,
    kind: Type,
) -> Result<(), Error> {
    let description: RtcSessionDescriptionInit = description.unchecked_into();
    JsFuture::from(peer.inner.set_local_description(&description)).await?;
    let local = peer
        .inner
        .local_description()
        .ok_or(Error::Negotiation("no description of ourselves"))?;
    Ok(send(writer, kind, local.sdp()).await?)
}

async fn describe_them(
    peer: &PeerConnection,
    signals: &mut Signals<impl AsyncRead + Unpin>,
    expected: Type,
) -> Result<(), Error> {
    let data = signals.expect(expected).await?;
    let wanted = if expected == Type::SdpOffer {
        RtcSdpType::Offer
    } else {
        RtcSdpType::Answer
    };
    let description = RtcSessionDescriptionInit::new(wanted);
    description.set_sdp(&data);
    JsFuture::from(peer.inner.set_remote_description(&description)).await?;
    Ok(())
}

/// Exchanges candidates as they are found, until the connection stands.
async fn find_path(
    peer: &mut PeerConnection,
    signals: Signals<impl AsyncRead + Unpin>,
    mut writer: impl AsyncWrite + Unpin,
    candidates: &mut mpsc::Receiver<String>,
) -> Result<(), Error> {
    let received = stream::unfold(signals, |mut signals| async move {
        // Whatever ends it: the other side may be connected already, and gone from here.
        let message = signals.receive().await.ok()?;
        Some((message, signals))
    });
    let mut received = pin!(received.take(MAX_CANDIDATES).fuse());
    let mut listens = true;
    loop {
        select! {
            state = poll_fn(|cx| peer.poll_change(cx)).fuse() => match state {
                RtcPeerConnectionState::Connected => break,
                RtcPeerConnectionState::Failed => return Err(Error::NoPath),
                RtcPeerConnectionState::Closed => return Err(Error::Closed),
                _ => {}
            },
            candidate = candidates.next() => if let Some(candidate) = candidate && listens {
                listens = send(&mut writer, Type::IceCandidate, candidate).await.is_ok();
            },
            message = received.next() => if let Some(message) = message
                && message.kind == Type::IceCandidate
            {
                add_candidate(peer, &message.data).await;
            },
        }
    }
    // Connected; nothing depends on the other side's hearing it here.
    let _ = writer.close().await;
    Ok(())
}

/// One that the browser does not like is passed over: there may be better ones. The last is `null`, by which some
/// implementations say that there are no more.
async fn add_candidate(peer: &PeerConnection, json: &str) {
    let Some(candidate) = JSON::parse(json).ok().filter(JsValue::is_object) else {
        return;
    };
    let candidate: RtcIceCandidateInit = candidate.unchecked_into();
    let added = peer
        .inner
        .add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&candidate));
    if let Err(error) = JsFuture::from(added).await {
        tracing::debug!(error = %Error::from(error), "a candidate was refused");
    }
}

fn configuration(servers: &[IceServer]) -> RtcConfiguration {
    let list = Array::new();
    for server in servers {
        let entry = RtcIceServer::new();
        entry.set_urls(&server.urls.iter().map(JsValue::from).collect::<Array>());
        if let Some(username) = &server.username {
            entry.set_username(username);
        }
        if let Some(credential) = &server.credential {
            entry.set_credential(credential);
        }
        list.push(&entry);
    }
    let configuration = RtcConfiguration::new();
    configuration.set_ice_servers(&list);
    configuration
}

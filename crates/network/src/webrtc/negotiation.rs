//! From a stream between two browsers to a direct connection between them.

use std::{future::poll_fn, pin::pin, time::Duration};

use futures::{AsyncWriteExt, FutureExt, StreamExt, channel::mpsc, select, stream};
use futures_timer::Delay;
use js_sys::{Array, JSON};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    RtcConfiguration, RtcIceCandidateInit, RtcIceServer, RtcPeerConnectionIceEvent,
    RtcPeerConnectionState, RtcSdpType, RtcSessionDescriptionInit,
};

use super::{
    Error,
    connection::{Connection, INIT, PeerConnection},
    signal::{self, Kind},
};
use crate::IceServer;

/// Finding a path takes a fraction of a second, or does not succeed.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Candidates taken from a peer; honest ones have a handful.
const MAX_CANDIDATES: usize = 128;

/// Who begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Offers,
    Answers,
}

/// Negotiates over `stream`, which is used for nothing else and closed in the end.
pub(super) async fn negotiate(
    stream: libp2p::Stream,
    servers: &[IceServer],
    role: Role,
) -> Result<Connection, Error> {
    let mut work = pin!(agree(stream, servers, role).fuse());
    let mut timeout = Delay::new(TIMEOUT).fuse();
    select! {
        result = work => result,
        () = timeout => Err(Error::TimedOut),
    }
}

async fn agree(
    mut stream: libp2p::Stream,
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
            let init = peer.open(INIT)?;
            let offer = JsFuture::from(peer.inner.create_offer()).await?;
            describe_ourselves(&peer, &mut stream, offer, Kind::Offer).await?;
            describe_them(&peer, &mut stream, Kind::Answer).await?;
            Some(init)
        }
        Role::Answers => {
            describe_them(&peer, &mut stream, Kind::Offer).await?;
            let answer = JsFuture::from(peer.inner.create_answer()).await?;
            describe_ourselves(&peer, &mut stream, answer, Kind::Answer).await?;
            None
        }
    };
    find_path(&mut peer, stream, &mut candidates).await?;
    peer.inner.set_onicecandidate(None);
    peer.watch_transport();
    if let Some(init) = init {
        init.close();
    }
    Ok(Connection::new(peer))
}

async fn describe_ourselves(
    peer: &PeerConnection,
    stream: &mut libp2p::Stream,
    description: JsValue,
    kind: Kind,
) -> Result<(), Error> {
    let description: RtcSessionDescriptionInit = description.unchecked_into();
    JsFuture::from(peer.inner.set_local_description(&description)).await?;
    let local = peer
        .inner
        .local_description()
        .ok_or(Error::Negotiation("no description of ourselves"))?;
    signal::send(stream, kind, local.sdp()).await
}

async fn describe_them(
    peer: &PeerConnection,
    stream: &mut libp2p::Stream,
    expected: Kind,
) -> Result<(), Error> {
    let (kind, sdp) = signal::receive(stream).await?;
    let wanted = if expected == Kind::Offer {
        RtcSdpType::Offer
    } else {
        RtcSdpType::Answer
    };
    if kind != expected {
        return Err(Error::Negotiation("offer and answer in the wrong order"));
    }
    let description = RtcSessionDescriptionInit::new(wanted);
    description.set_sdp(&sdp);
    JsFuture::from(peer.inner.set_remote_description(&description)).await?;
    Ok(())
}

/// Exchanges candidates as they are found, until the connection stands.
async fn find_path(
    peer: &mut PeerConnection,
    stream: libp2p::Stream,
    candidates: &mut mpsc::Receiver<String>,
) -> Result<(), Error> {
    let (reader, mut writer) = futures::AsyncReadExt::split(stream);
    let received = stream::unfold(reader, |mut reader| async move {
        // Whatever ends it: the other side may be connected already, and gone from here.
        signal::receive(&mut reader)
            .await
            .ok()
            .map(|message| (message, reader))
    });
    let mut received = pin!(received.take(MAX_CANDIDATES).fuse());
    let mut listens = true;
    loop {
        select! {
            state = poll_fn(|cx| peer.poll_change(cx)).fuse() => match state {
                RtcPeerConnectionState::Connected => break,
                RtcPeerConnectionState::Failed => return Err(Error::Lost("impossible")),
                RtcPeerConnectionState::Closed => return Err(Error::Lost("closed")),
                _ => {}
            },
            candidate = candidates.next() => if let Some(candidate) = candidate && listens {
                listens = signal::send(&mut writer, Kind::Candidate, candidate).await.is_ok();
            },
            message = received.next() => if let Some((Kind::Candidate, json)) = message {
                add_candidate(peer, &json).await;
            },
        }
    }
    // Connected; nothing depends on the other side's hearing it here.
    let _ = writer.close().await;
    Ok(())
}

/// One that the browser does not like is passed over: there may be better ones.
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

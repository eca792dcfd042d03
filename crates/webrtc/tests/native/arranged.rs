//! Connections that are arranged over a stream.

use futures::{AsyncReadExt, AsyncWriteExt, channel::oneshot, future::join};
use tokio_util::compat::TokioAsyncReadCompatExt;
use webrtc::{
    Error, Role,
    core::{
        Route,
        signaling::{Message, Type},
    },
    native::negotiate_at,
};

use super::side::{LOOPBACK, Side, in_time};

#[tokio::test(flavor = "multi_thread")]
async fn two_on_one_machine_reach_each_other_directly() {
    let (one, other) = tokio::io::duplex(4096);
    let (one, other) = in_time(join(
        negotiate_at(LOOPBACK, one.compat(), &[], Role::Offers),
        negotiate_at(LOOPBACK, other.compat(), &[], Role::Answers),
    ))
    .await;
    assert_eq!(one.unwrap().route(), Route::Direct);
    assert_eq!(other.unwrap().route(), Route::Direct);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_falls_silent_is_given_up() {
    let (one, other) = tokio::io::duplex(4096);
    let (connected, both) = oneshot::channel();
    let (over, is_over) = std::sync::mpsc::sync_channel::<()>(0);
    let silent = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async move {
            let other = negotiate_at(LOOPBACK, other.compat(), &[], Role::Answers).await;
            both.await.unwrap();
            // This thread does nothing more, and what it was to do for the connection neither; its socket stays.
            let _ = is_over.recv();
            drop(other);
        });
    });
    let one = in_time(negotiate_at(LOOPBACK, one.compat(), &[], Role::Offers)).await;
    let one = Side::new(one.unwrap());
    connected.send(()).unwrap();
    let error = one.end().await;
    assert!(matches!(error, Error::Lost), "{error}");
    drop(over);
    silent.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_instead_of_a_description_ends_it() {
    for (kind, data) in [
        (Type::SdpOffer, "nonsense"),
        (Type::SdpOffer, "v=0\r\na=ice-ufrag:\r\n"),
        (Type::SdpAnswer, "v=0"),
        (Type::IceCandidate, "null"),
    ] {
        let (one, other) = tokio::io::duplex(4096);
        let mut one = one.compat();
        let message = Message {
            kind,
            data: data.to_owned(),
        };
        one.write_all(&message.encode().unwrap()).await.unwrap();
        let ended = in_time(negotiate_at(LOOPBACK, other.compat(), &[], Role::Answers)).await;
        assert!(ended.is_err(), "{data}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_ends_it() {
    let (one, other) = tokio::io::duplex(4096);
    drop(one);
    let ended = in_time(negotiate_at(LOOPBACK, other.compat(), &[], Role::Offers)).await;
    assert!(matches!(ended, Err(Error::Signaling(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_names_where_it_can_be_answered() {
    let (one, other) = tokio::io::duplex(1 << 16);
    let offering =
        tokio::spawn(
            async move { negotiate_at(LOOPBACK, other.compat(), &[], Role::Offers).await },
        );
    let mut decoder = webrtc::core::signaling::Decoder::new();
    let mut one = one.compat();
    let offer = loop {
        let mut byte = [0];
        in_time(one.read_exact(&mut byte)).await.unwrap();
        if let Some(message) = decoder.decode(&mut &byte[..]).unwrap() {
            break message;
        }
    };
    assert_eq!(offer.kind, Type::SdpOffer);
    for part in [
        "webrtc-datachannel",
        "a=candidate:",
        "127.0.0.1",
        "a=fingerprint:sha-256",
    ] {
        assert!(offer.data.contains(part), "{part} in {}", offer.data);
    }
    offering.abort();
}

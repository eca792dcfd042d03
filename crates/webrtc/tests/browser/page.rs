//! What a connection promises, over real data channels.

use std::{cell::Cell, future::poll_fn, io::ErrorKind, rc::Rc, task::Poll, time::Duration};

use futures::{
    AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt,
    future::{join, join_all, pending},
    stream,
};
use futures_timer::Delay;
use libp2p::{
    Multiaddr, Transport as _,
    core::{
        Endpoint,
        transport::{DialOpts, PortUse},
    },
    identity::Keypair,
};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use wasm_bindgen_test::{console_log, wasm_bindgen_test as test, wasm_bindgen_test_configure};
use web_time::Instant;
use webrtc::{
    browser::{MAX_UNSENT, Stream, direct},
    core::Limits,
};

use super::side::{in_time, pair};

wasm_bindgen_test_configure!(run_in_browser);

const MIB: usize = 1 << 20;

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|it| (it % 251) as u8).collect()
}

async fn echo(mut stream: Stream) {
    let (mut reader, mut writer) = (&mut stream).split();
    futures::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.close().await.unwrap();
}

/// Sends everything and ends, reads to the end.
async fn exchange(stream: &mut Stream, sent: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = stream.split();
    let write = async {
        writer.write_all(sent).await.unwrap();
        writer.close().await.unwrap();
    };
    let mut received = Vec::new();
    let ((), read) = join(write, reader.read_to_end(&mut received)).await;
    read.unwrap();
    received
}

/// What is tested in this browser works where nothing of its own description may be changed, as will be everywhere.
#[test]
async fn this_browser_refuses_changed_credentials() {
    let script = "(async () => {
        const connection = new RTCPeerConnection();
        connection.createDataChannel('');
        const { sdp } = await connection.createOffer();
        const changed = sdp.replace(/a=ice-ufrag:.*/g, 'a=ice-ufrag:abcdefgh');
        try {
            await connection.setLocalDescription({ type: 'offer', sdp: changed });
            return 'accepted';
        } catch (error) {
            return error.name;
        } finally {
            connection.close();
        }
    })()";
    let said = js_sys::Promise::from(js_sys::eval(script).unwrap());
    let said = JsFuture::from(said).await.unwrap();
    assert_eq!(
        said.as_string().as_deref(),
        Some("InvalidModificationError")
    );
}

#[test]
async fn what_is_sent_comes_back() {
    let (one, other) = pair().await;
    let mut stream = one.open().await;
    let sent = bytes(100_000);
    spawn_local(async move { echo(other.accept().await).await });
    assert!(in_time(exchange(&mut stream, &sent)).await == sent);
}

#[test]
async fn ten_mebibytes_go_both_ways_at_once() {
    let (one, other) = pair().await;
    let (there, back) = (bytes(10 * MIB), bytes(10 * MIB + 1));
    let start = Instant::now();
    let first = async {
        let mut stream = one.open().await;
        exchange(&mut stream, &there).await
    };
    let second = async {
        let mut stream = other.accept().await;
        exchange(&mut stream, &back).await
    };
    let (at_first, at_second) = in_time(join(first, second)).await;
    assert!(at_first == back && at_second == there);
    console_log!("10 MiB both ways at once in {:?}", start.elapsed());
}

#[test]
async fn either_half_ends_by_itself() {
    let (one, other) = pair().await;
    let mut asks = one.open().await;
    asks.write_all(b"question").await.unwrap();
    asks.close().await.unwrap();
    assert!(asks.write_all(b"more").await.is_err());

    let mut answers = other.accept().await;
    let mut question = Vec::new();
    in_time(answers.read_to_end(&mut question)).await.unwrap();
    assert_eq!(question, b"question");
    answers.write_all(b"answer").await.unwrap();
    drop(asks.close().await);
    answers.close().await.unwrap();
    drop(answers);

    let mut answer = Vec::new();
    in_time(asks.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"answer");
}

#[test]
async fn a_dropped_stream_is_reset() {
    let (one, other) = pair().await;
    let mut stream = one.open().await;
    stream.write_all(b"hello").await.unwrap();
    let mut accepted = other.accept().await;
    let mut hello = [0; 5];
    in_time(accepted.read_exact(&mut hello)).await.unwrap();
    drop(stream);
    let error = in_time(accepted.read(&mut hello)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let error = accepted.write(b"x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
async fn what_was_written_last_arrives_though_the_stream_is_dropped() {
    let (one, other) = pair().await;
    let sent = bytes(2 * MIB);
    let mut stream = one.open().await;
    let mut accepted = async {
        stream.write_all(&sent[..1]).await.unwrap();
        other.accept().await
    }
    .await;
    let rest = sent[1..].to_vec();
    spawn_local(async move {
        stream.write_all(&rest).await.unwrap();
        stream.close().await.unwrap();
    });
    let mut received = Vec::new();
    in_time(accepted.read_to_end(&mut received)).await.unwrap();
    assert!(received == sent);
}

#[test]
async fn a_reader_that_does_not_read_holds_the_writer_back() {
    let (one, other) = pair().await;
    let mut stream = one.open().await;
    stream.write_all(&[0]).await.unwrap();
    let mut accepted = other.accept().await;
    // From its first frame on the writer knows the reader's window.
    accepted.write_all(b"!").await.unwrap();
    in_time(stream.read_exact(&mut [0])).await.unwrap();

    let written = Rc::new(Cell::new(0));
    let total = 40 * MIB;
    spawn_local({
        let written = Rc::clone(&written);
        async move {
            let chunk = vec![0; MIB];
            while written.get() < total {
                stream.write_all(&chunk).await.unwrap();
                written.set(written.get() + MIB);
            }
            stream.close().await.unwrap();
        }
    });
    Delay::new(Duration::from_secs(2)).await;
    let most = Limits::default().window as usize + MAX_UNSENT as usize;
    assert!(written.get() <= most, "{} bytes", written.get());
    let mut received = Vec::new();
    in_time(accepted.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 1 + total);
}

#[test]
async fn thousands_of_streams_come_and_go() {
    const STREAMS: usize = 3000;
    let (one, other) = pair().await;
    spawn_local(async move {
        for _ in 0..STREAMS {
            spawn_local(echo(other.accept().await));
        }
    });
    let start = Instant::now();
    let sent = bytes(300);
    let one = &one;
    let rounds = stream::iter(0..STREAMS).map(|_| async {
        let mut stream = one.open().await;
        assert!(in_time(exchange(&mut stream, &sent)).await == sent);
    });
    rounds.buffer_unordered(50).collect::<()>().await;
    console_log!("{STREAMS} streams in {:?}", start.elapsed());
}

#[test]
async fn many_streams_share_a_connection() {
    let (one, other) = pair().await;
    spawn_local(async move {
        loop {
            spawn_local(echo(other.accept().await));
        }
    });
    let one = &one;
    let exchanges = (0..20).map(|index| async move {
        let sent = bytes(200_000 + index);
        let mut stream = one.open().await;
        assert!(in_time(exchange(&mut stream, &sent)).await == sent);
    });
    join_all(exchanges).await;
}

#[test]
async fn a_connection_that_nobody_uses_stays() {
    let (one, other) = pair().await;
    Delay::new(Duration::from_secs(12)).await;
    let mut stream = one.open().await;
    spawn_local(async move { echo(other.accept().await).await });
    assert_eq!(
        in_time(exchange(&mut stream, b"still here")).await,
        b"still here"
    );
}

#[test]
async fn a_goodbye_is_heard_at_once() {
    let (one, other) = pair().await;
    let mut stream = one.open().await;
    stream.write_all(b"hello").await.unwrap();
    let mut accepted = other.accept().await;
    let start = Instant::now();
    one.hang_up();
    in_time(other.end()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
    // Nobody waits for what will not come, on either side.
    assert!(in_time(stream.read(&mut [0; 8])).await.is_err());
    let mut rest = Vec::new();
    assert!(in_time(accepted.read_to_end(&mut rest)).await.is_err());
}

#[test]
async fn a_page_that_is_left_says_goodbye() {
    let (one, other) = pair().await;
    let start = Instant::now();
    let window = web_sys::window().unwrap();
    let event = web_sys::Event::new("pagehide").unwrap();
    window.dispatch_event(&event).unwrap();
    in_time(one.end()).await.unwrap();
    in_time(other.end()).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Has connections counted that the browser still has, from now on.
const WATCH: &str = "
    const Real = RTCPeerConnection;
    globalThis.made = [];
    globalThis.RTCPeerConnection = function (configuration) {
        const connection = new Real(configuration);
        made.push(new WeakRef(connection));
        return connection;
    };
    globalThis.RTCPeerConnection.prototype = Real.prototype;
    globalThis.stopWatching = () => { globalThis.RTCPeerConnection = Real; };
";

/// How many of them there are, when the browser has let go of what it can.
const LEFT: &str = "
    gc({ type: 'major', execution: 'async' })
        .then(() => made.filter((it) => it.deref()).length)
";

#[test]
async fn dials_that_are_given_up_leave_nothing_behind() {
    const DIALS: u64 = 200;
    js_sys::eval(WATCH).unwrap();
    let mut transport = direct::Transport::new(Keypair::generate_ed25519(), Vec::new());
    // Nobody listens there.
    let certificate = "A".repeat(43);
    let address = format!("/ip4/127.0.0.1/udp/9/webrtc-direct/certhash/uEiA{certificate}");
    let address: Multiaddr = address.parse().unwrap();
    let dials = (0..DIALS).map(|number| {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let mut dial = transport.dial(address.clone(), options).unwrap();
        // After each of the browser's answers, of which some come together with changes of the connection.
        let mut answers = 1 + number % 8;
        poll_fn(move |cx| {
            if answers == 0 {
                dial = pending().boxed();
                return Poll::Ready(());
            }
            answers -= 1;
            dial.poll_unpin(cx)
                .map(|ended| assert!(ended.is_err(), "somebody is there"))
        })
    });
    join_all(dials).await;
    let made = js_sys::eval("made.length").unwrap().as_f64();
    assert_eq!(made, Some(DIALS as f64));
    in_time(async {
        loop {
            let left = js_sys::Promise::from(js_sys::eval(LEFT).unwrap());
            let left = JsFuture::from(left).await.unwrap().as_f64();
            if left == Some(0.0) {
                break;
            }
            Delay::new(Duration::from_millis(500)).await;
        }
    })
    .await;
    js_sys::eval("stopWatching()").unwrap();
}

/// Has the network broken or mended; says whether that was possible.
async fn ask_breaker(what: &str) -> bool {
    let window = web_sys::window().unwrap();
    let response = window.fetch_with_str(&format!("http://{}/{what}", super::BREAKER));
    match wasm_bindgen_futures::JsFuture::from(response).await {
        Ok(response) => web_sys::Response::from(response).ok(),
        Err(_) => false,
    }
}

#[test]
async fn a_peer_that_falls_silent_is_given_up_within_five_seconds() {
    let (one, other) = pair().await;
    if !ask_breaker("silence").await {
        console_log!("left out: the network cannot be broken here");
        return;
    }
    let start = Instant::now();
    let errors = in_time(join(one.end(), other.end())).await;
    let elapsed = start.elapsed();
    assert!(ask_breaker("sound").await);
    console_log!("silence noticed after {elapsed:?}: {errors:?}");
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}

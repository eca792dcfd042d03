//! What the streams of a connection promise, however it came about.

use std::io::ErrorKind;

use futures::{
    AsyncReadExt, AsyncWriteExt,
    future::{join, join_all},
};
use webrtc::{Error, native::Stream};

use super::side::{Side, direct_pair, in_time, pair};

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
    let (_, read) = in_time(join(write, reader.read_to_end(&mut received))).await;
    read.unwrap();
    received
}

async fn both() -> [(Side, Side); 2] {
    [pair().await, direct_pair().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_megabytes_come_back_as_they_were() {
    for (one, other) in both().await {
        let mut stream = one.open().await;
        let sent = bytes(10 * MIB);
        let answering = async { echo(other.accept().await).await };
        let (received, ()) = join(exchange(&mut stream, &sent), answering).await;
        assert!(received == sent, "{} bytes", received.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_of_both_sides_do_not_mix() {
    for (one, other) in both().await {
        let serve = |side: Side| async move {
            for _ in 0..40 {
                tokio::spawn(echo(side.accept().await));
            }
        };
        let ask = |side: Side, salt: usize| async move {
            let all = (0..40).map(|number| {
                let side = side.clone();
                async move {
                    let sent = bytes(1000 * number + salt);
                    assert_eq!(exchange(&mut side.open().await, &sent).await, sent);
                }
            });
            join_all(all).await;
        };
        join(
            join(serve(one.clone()), serve(other.clone())),
            // They hang up when both have been answered.
            join(ask(one.clone(), 1), ask(other.clone(), 2)),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_one_after_the_other_leave_nothing_behind() {
    for (one, other) in both().await {
        let serving = tokio::spawn(async move {
            for _ in 0..600 {
                echo(other.accept().await).await;
            }
            other
        });
        for number in 0..600 {
            let sent = bytes(number % 50);
            assert_eq!(exchange(&mut one.open().await, &sent).await, sent);
        }
        in_time(serving).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_dropped_is_reset() {
    for (one, other) in both().await {
        let mut stream = one.open().await;
        stream.write_all(b"half of").await.unwrap();
        let mut accepted = other.accept().await;
        let mut buffer = [0; 7];
        in_time(accepted.read_exact(&mut buffer)).await.unwrap();
        drop(stream);
        let error = in_time(accepted.read(&mut buffer)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_does_not_read_holds_the_writer_back() {
    for (one, other) in both().await {
        let mut stream = one.open().await;
        stream.write_all(b"first").await.unwrap();
        let mut accepted = other.accept().await;
        // The other side's first words say that it knows windows.
        accepted.write_all(b"hello").await.unwrap();
        let mut hello = [0; 5];
        in_time(stream.read_exact(&mut hello)).await.unwrap();
        let mut written = 0;
        let chunk = bytes(64 << 10);
        // Whoever writes is stopped by what is under way and unread, long before this much.
        let stuck = tokio::time::timeout(std::time::Duration::from_secs(3), async {
            while written < 64 * MIB {
                stream.write_all(&chunk).await.unwrap();
                written += chunk.len();
            }
        });
        assert!(stuck.await.is_err(), "{written} bytes were taken");
        let mut rest = vec![0; written];
        in_time(accepted.read_exact(&mut rest)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_is_heard_at_once() {
    for (one, other) in both().await {
        let mut stream = other.open().await;
        one.hang_up();
        assert!(matches!(other.end().await, Error::Closed));
        let error = in_time(stream.read(&mut [0])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    }
}

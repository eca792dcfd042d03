//! What the specification says, one sentence per test.

use webrtc::core::{Flag, FrameDecoder, Limits, Message, Stream, StreamError};

fn stream() -> Stream {
    Stream::new(Limits::default())
}

fn frame(flag: Option<Flag>, data: &'static [u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let message = Message {
        flag,
        data: data.into(),
        max_data: None,
    };
    message.encode(&mut frame).unwrap();
    frame
}

fn flags(stream: &mut Stream) -> Vec<Flag> {
    let frames: Vec<u8> = std::iter::from_fn(|| stream.transmit()).flatten().collect();
    let (mut decoder, mut input) = (FrameDecoder::new(), &frames[..]);
    std::iter::from_fn(|| decoder.decode(&mut input).unwrap())
        .filter_map(|message| message.flag)
        .collect()
}

#[test]
fn fin_is_acknowledged_once_and_the_other_half_stays_open() {
    let mut stream = stream();
    stream
        .handle_input(&frame(Some(Flag::Fin), b"last"))
        .unwrap();
    assert_eq!(flags(&mut stream), [Flag::FinAck]);
    stream
        .handle_input(&frame(Some(Flag::Fin), b"more"))
        .unwrap();
    assert_eq!(flags(&mut stream), []);
    let mut buffer = [0; 8];
    assert_eq!(stream.read(&mut buffer), Ok(Some(4)));
    assert_eq!(stream.read(&mut buffer), Ok(Some(0)));
    assert_eq!(stream.write(b"answer", &mut Vec::new()), Ok(6));
}

#[test]
fn the_channel_is_kept_until_fin_is_acknowledged() {
    let mut stream = stream();
    stream.close_write();
    assert_eq!(flags(&mut stream), [Flag::Fin]);
    stream.handle_input(&frame(Some(Flag::Fin), b"")).unwrap();
    assert_eq!(flags(&mut stream), [Flag::FinAck]);
    stream.abandon();
    assert!(!stream.is_finished());
    stream
        .handle_input(&frame(Some(Flag::FinAck), b""))
        .unwrap();
    assert!(stream.is_finished());
}

#[test]
fn a_reset_ends_one_half_only() {
    let mut stream = stream();
    stream.handle_input(&frame(None, b"lost")).unwrap();
    stream
        .handle_input(&frame(Some(Flag::ResetStream), b""))
        .unwrap();
    assert_eq!(stream.read(&mut [0; 8]), Err(StreamError::Reset));
    assert_eq!(stream.write(b"x", &mut Vec::new()), Ok(1));
}

#[test]
fn stop_sending_is_not_answered_with_a_reset() {
    let mut stream = stream();
    stream
        .handle_input(&frame(Some(Flag::StopSending), b""))
        .unwrap();
    assert_eq!(
        stream.write(b"x", &mut Vec::new()),
        Err(StreamError::Stopped)
    );
    assert_eq!(flags(&mut stream), []);
}

#[test]
fn flags_count_after_reading_has_stopped() {
    let mut stream = stream();
    stream.close_read();
    stream.close_write();
    assert_eq!(flags(&mut stream), [Flag::StopSending, Flag::Fin]);
    stream.handle_input(&frame(None, b"unwanted")).unwrap();
    assert_eq!(stream.unread(), 0);
    stream
        .handle_input(&frame(Some(Flag::FinAck), b""))
        .unwrap();
    stream.handle_input(&frame(Some(Flag::Fin), b"")).unwrap();
    assert_eq!(flags(&mut stream), [Flag::FinAck]);
    assert!(stream.is_finished());
}

#[test]
fn a_dropped_stream_is_reset_in_both_directions() {
    let mut stream = stream();
    stream.abandon();
    assert_eq!(flags(&mut stream), [Flag::StopSending, Flag::ResetStream]);
    assert!(stream.is_finished());
}

#[test]
fn a_channel_that_closes_without_fin_is_no_end() {
    let mut stream = stream();
    stream.handle_input(&frame(None, b"half")).unwrap();
    stream.handle_closed();
    let mut buffer = [0; 8];
    assert_eq!(stream.read(&mut buffer), Ok(Some(4)));
    assert_eq!(stream.read(&mut buffer), Err(StreamError::Closed));
    assert_eq!(
        stream.write(b"x", &mut Vec::new()),
        Err(StreamError::Closed)
    );
}

#[test]
fn a_peer_that_knows_no_windows_hears_of_them_only_beside_data_and_flags() {
    let mut one = stream();
    // Much is received and read, and still no frame of its own goes out.
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..600 {
        one.handle_input(&frame(None, &[1; 16_000])).unwrap();
        one.read(&mut buffer).unwrap();
        assert_eq!(one.transmit(), None);
    }
}

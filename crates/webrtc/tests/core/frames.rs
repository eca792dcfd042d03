//! Frames, however the channel splits them.

use bytes::Bytes;
use proptest::prelude::*;
use webrtc::core::{Flag, FrameDecoder, FrameError, MAX_FRAME, Message};

fn message() -> impl Strategy<Value = Message> {
    let flag = proptest::option::of(prop_oneof![
        Just(Flag::Fin),
        Just(Flag::StopSending),
        Just(Flag::ResetStream),
        Just(Flag::FinAck),
    ]);
    let data = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..200),
        1 => Just(vec![5; webrtc::core::MAX_DATA]),
    ];
    (flag, data, any::<Option<u64>>()).prop_map(|(flag, data, max_data)| Message {
        flag,
        data: Bytes::from(data),
        max_data,
    })
}

/// Feeds `bytes` in pieces of the given lengths, over and over; gives the messages and how it ended.
fn decode(bytes: &[u8], pieces: &[usize]) -> (Vec<Message>, Result<(), FrameError>) {
    let mut decoder = FrameDecoder::new();
    let mut messages = Vec::new();
    let (mut rest, mut lengths) = (bytes, pieces.iter().cycle());
    while !rest.is_empty() {
        let len = lengths.next().unwrap();
        let (mut piece, after) = rest.split_at(*len.min(&rest.len()));
        rest = after;
        loop {
            match decoder.decode(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
        assert!(piece.is_empty(), "everything was taken");
        assert!(decoder.pending() < MAX_FRAME);
    }
    (messages, Ok(()))
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in(
        sent in proptest::collection::vec(message(), 0..8),
        pieces in proptest::collection::vec(1..3000_usize, 1..8),
    ) {
        let mut bytes = Vec::new();
        for message in &sent {
            message.encode(&mut bytes).unwrap();
        }
        prop_assert_eq!(decode(&bytes, &pieces), (sent, Ok(())));
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_split(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0..20_u8], 0..600),
        pieces in proptest::collection::vec(1..40_usize, 1..8),
    ) {
        prop_assert_eq!(decode(&bytes, &pieces), decode(&bytes, &[usize::MAX]));
    }
}

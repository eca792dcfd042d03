//! Two streams and the channel between them, which delivers late and in pieces, in any order of events.

use std::collections::VecDeque;

use proptest::prelude::*;
use webrtc::core::{Limits, Stream, StreamError};

const LIMITS: Limits = Limits {
    window: 40_000,
    max_unread: 200_000,
};

/// One side, and what is on its way to the other.
struct Side {
    stream: Stream,
    way: VecDeque<u8>,
    written: Vec<u8>,
    read: Vec<u8>,
    ended: bool,
}

impl Side {
    fn new() -> Self {
        Self {
            stream: Stream::new(LIMITS),
            way: VecDeque::new(),
            written: Vec::new(),
            read: Vec::new(),
            ended: false,
        }
    }

    fn write(&mut self, len: usize) {
        let start = self.written.len();
        let data: Vec<u8> = (start..start + len).map(|it| (it % 251) as u8).collect();
        let mut frame = Vec::new();
        // Fails once the half has ended.
        if let Ok(len) = self.stream.write(&data, &mut frame) {
            self.written.extend_from_slice(&data[..len]);
            self.way.extend(frame);
        }
    }

    fn read(&mut self, len: usize) {
        let mut buffer = vec![0; len];
        match self.stream.read(&mut buffer) {
            Ok(Some(0)) => self.ended = true,
            Ok(Some(len)) => self.read.extend_from_slice(&buffer[..len]),
            Ok(None) | Err(_) => {}
        }
        self.transmit();
    }

    fn transmit(&mut self) {
        while let Some(frame) = self.stream.transmit() {
            self.way.extend(frame);
        }
    }

    fn deliver(&mut self, other: &mut Self, len: usize) {
        let len = len.min(self.way.len());
        let piece: Vec<u8> = self.way.drain(..len).collect();
        other.stream.handle_input(&piece).unwrap();
        other.transmit();
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Read(usize),
    Deliver(usize),
    Probe,
    CloseWrite,
    CloseRead,
    Abandon,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..30_000_usize).prop_map(Step::Write),
        8 => (1..30_000_usize).prop_map(Step::Read),
        16 => (1..40_000_usize).prop_map(Step::Deliver),
        2 => Just(Step::Probe),
        1 => Just(Step::CloseWrite),
        1 => Just(Step::CloseRead),
        1 => Just(Step::Abandon),
    ]
}

fn run(steps: &[(bool, Step)]) -> (Side, Side) {
    let (mut one, mut other) = (Side::new(), Side::new());
    for &(first, step) in steps {
        let (me, you) = if first {
            (&mut one, &mut other)
        } else {
            (&mut other, &mut one)
        };
        match step {
            Step::Write(len) => me.write(len),
            Step::Read(len) => me.read(len),
            Step::Deliver(len) => me.deliver(you, len),
            Step::Probe => me.way.extend(me.stream.probe().into_iter().flatten()),
            Step::CloseWrite => me.stream.close_write(),
            Step::CloseRead => me.stream.close_read(),
            Step::Abandon => me.stream.abandon(),
        }
        me.transmit();
    }
    (one, other)
}

/// Delivers and reads until nothing moves.
fn settle(one: &mut Side, other: &mut Side) {
    loop {
        let before = (
            one.way.len(),
            other.way.len(),
            one.read.len(),
            other.read.len(),
        );
        one.deliver(other, usize::MAX);
        other.deliver(one, usize::MAX);
        one.read(1 << 20);
        other.read(1 << 20);
        if before
            == (
                one.way.len(),
                other.way.len(),
                one.read.len(),
                other.read.len(),
            )
        {
            return;
        }
    }
}

proptest! {
    #[test]
    fn what_is_read_is_the_beginning_of_what_was_written(
        steps in proptest::collection::vec((any::<bool>(), step()), 0..120),
    ) {
        let (mut one, mut other) = run(&steps);
        settle(&mut one, &mut other);
        prop_assert!(one.written.starts_with(&other.read));
        prop_assert!(other.written.starts_with(&one.read));
        // A stream that has ended in order has lost nothing.
        prop_assert!(!other.ended || one.written == other.read);
        prop_assert!(!one.ended || other.written == one.read);
    }

    #[test]
    fn a_stream_that_both_let_go_of_is_finished(
        steps in proptest::collection::vec((any::<bool>(), step()), 0..60),
    ) {
        let (mut one, mut other) = run(&steps);
        for side in [&mut one, &mut other] {
            side.stream.abandon();
            side.transmit();
        }
        settle(&mut one, &mut other);
        prop_assert!(one.stream.is_finished() && other.stream.is_finished());
    }

    #[test]
    fn any_bytes_leave_memory_bounded_and_nothing_to_say_for_ever(
        inputs in proptest::collection::vec(
            proptest::collection::vec(prop_oneof![any::<u8>(), 0..20_u8], 0..300), 0..20),
    ) {
        let mut stream = Stream::new(LIMITS);
        let mut violation = None;
        for input in inputs {
            let result = stream.handle_input(&input);
            prop_assert!(violation.is_none() || result == Err(violation.unwrap()));
            violation = violation.or(result.err());
            prop_assert!(stream.unread() <= LIMITS.max_unread);
        }
        let said = std::iter::from_fn(|| stream.transmit()).take(5).count();
        prop_assert!(said < 5);
        if let Some(violation) = violation {
            prop_assert_eq!(stream.read(&mut [0; 8]), Err(violation));
            prop_assert!(matches!(stream.write(b"x", &mut Vec::new()), Err(error) if error == violation));
        }
    }
}

#[test]
fn a_sender_waits_for_a_reader_that_knows_windows() {
    let (mut one, mut other) = (Side::new(), Side::new());
    other.write(1);
    other.deliver(&mut one, usize::MAX);
    for _ in 0..100 {
        one.write(10_000);
    }
    assert_eq!(one.written.len(), LIMITS.window as usize);
    assert!(!one.stream.is_writable());
    one.deliver(&mut other, usize::MAX);
    other.read(30_000);
    other.deliver(&mut one, usize::MAX);
    assert!(one.stream.is_writable());
    one.write(10_000);
    assert_eq!(one.written.len(), LIMITS.window as usize + 10_000);
}

#[test]
fn a_sender_that_knows_no_windows_is_cut_off_at_the_bound() {
    let mut stream = Stream::new(LIMITS);
    let message = webrtc::core::Message {
        data: vec![1; 10_000].into(),
        ..Default::default()
    };
    let mut frame = Vec::new();
    message.encode(&mut frame).unwrap();
    for _ in 0..LIMITS.max_unread / 10_000 {
        assert_eq!(stream.handle_input(&frame), Ok(()));
    }
    assert_eq!(stream.handle_input(&frame), Err(StreamError::Overflow));
    assert_eq!(stream.unread(), 0);
    // It hears that it was reset, and that nobody reads.
    assert_eq!(std::iter::from_fn(|| stream.transmit()).count(), 2);
    assert!(stream.is_finished());
}

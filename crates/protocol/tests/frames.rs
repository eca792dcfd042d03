//! The framing as a peer sees it: any split of the bytes, any bytes at all.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use proptest::{collection::vec, option, prelude::*};
use protocol::{
    Bitmap, Cancel, Channel, ComputeRequest, ComputeResponse, ContentBlock, ContentRequest,
    ContentResponse, Error, ErrorCode, Failure, FrameDecoder, FrameEncoder, Hello, HoldingsChanged,
    JobId, JobOrder, JobRequest, JobResponse, MAX_PROOF, Message, Priority, Queued, RequestId,
    Role, Runs, SessionId, StageRequest, StageResponse,
};
use std::time::Duration;

fn digest() -> impl Strategy<Value = [u8; 32]> {
    any::<[u8; 32]>()
}

fn body() -> impl Strategy<Value = bytes::Bytes> {
    vec(any::<u8>(), 0..600).prop_map(Into::into)
}

fn failure() -> impl Strategy<Value = Failure> {
    let codes = [
        ErrorCode::NotHeld,
        ErrorCode::Busy,
        ErrorCode::Invalid,
        ErrorCode::Failed,
        ErrorCode::Cancelled,
        ErrorCode::Expired,
    ];
    (proptest::sample::select(codes.to_vec()), "\\PC{0,40}")
        .prop_map(|(code, message)| Failure { code, message })
}

fn bitmaps() -> impl Strategy<Value = (Bitmap, Bitmap)> {
    vec(any::<(bool, bool)>(), 0..70).prop_map(|bits| {
        (
            bits.iter().map(|b| b.0).collect(),
            bits.iter().map(|b| b.1).collect(),
        )
    })
}

fn runs() -> impl Strategy<Value = Option<Runs>> {
    let runs = (any::<u16>(), 1..100_u32, any::<u32>()).prop_map(|(first, layers, time)| Runs {
        layers: first.into()..u32::from(first) + layers,
        time: Duration::from_micros(time.into()),
    });
    option::of(runs)
}

fn compute() -> impl Strategy<Value = Message> {
    let roles = vec![
        Role::Participant,
        Role::Client,
        Role::Worker,
        Role::Bootstrap,
    ];
    let hello = (
        ".{0,20}",
        any::<u32>(),
        proptest::sample::select(roles),
        option::of(digest()),
        bitmaps(),
        runs(),
        any::<bool>(),
    )
        .prop_map(
            |(agent, version, role, model, (computes, stores), runs, finishes)| {
                Message::Hello(Hello {
                    agent,
                    version,
                    role,
                    model,
                    computes,
                    stores,
                    runs,
                    finishes,
                })
            },
        );
    let changed =
        (option::of(digest()), bitmaps(), runs()).prop_map(|(model, (computes, stores), runs)| {
            Message::HoldingsChanged(HoldingsChanged {
                model,
                computes,
                stores,
                runs,
            })
        });
    let request = (
        any::<u64>(),
        digest(),
        body(),
        proptest::sample::select(&Priority::ALL[..]),
        option::of(any::<u32>()),
    )
        .prop_map(|(id, fragment, body, priority, patience)| {
            Message::ComputeRequest(ComputeRequest {
                id: RequestId(id),
                fragment,
                body,
                priority,
                patience: patience.map(|time| Duration::from_millis(time.into())),
            })
        });
    let response = (
        any::<u64>(),
        prop_oneof![body().prop_map(Ok), failure().prop_map(Err)],
    )
        .prop_map(|(id, result)| {
            Message::ComputeResponse(ComputeResponse {
                id: RequestId(id),
                result,
            })
        });
    let stage_request = (any::<u64>(), any::<u64>(), body()).prop_map(|(id, session, body)| {
        Message::StageRequest(StageRequest {
            id: RequestId(id),
            session: SessionId(session),
            body,
        })
    });
    let stage_response = (
        any::<u64>(),
        prop_oneof![body().prop_map(Ok), failure().prop_map(Err)],
    )
        .prop_map(|(id, result)| {
            Message::StageResponse(StageResponse {
                id: RequestId(id),
                result,
            })
        });
    let cancel = any::<u64>().prop_map(|id| Message::Cancel(Cancel { id: RequestId(id) }));
    let job_request = (
        any::<u64>(),
        any::<[u8; 16]>(),
        option::of(body()),
        any::<bool>(),
    )
        .prop_map(|(id, job, begin, look)| {
            Message::JobRequest(JobRequest {
                id: RequestId(id),
                job: JobId(job),
                order: match begin {
                    Some(body) => JobOrder::Begin(body),
                    None if look => JobOrder::Look,
                    None => JobOrder::Drop,
                },
            })
        });
    let job_response = (
        any::<u64>(),
        prop_oneof![body().prop_map(Ok), failure().prop_map(Err)],
    )
        .prop_map(|(id, result)| {
            Message::JobResponse(JobResponse {
                id: RequestId(id),
                result,
            })
        });
    let queued = (any::<u64>(), any::<u32>(), any::<u32>()).prop_map(|(id, before, wait)| {
        Message::Queued(Queued {
            id: RequestId(id),
            before,
            wait: Duration::from_millis(wait.into()),
        })
    });
    prop_oneof![
        hello,
        changed,
        request,
        response,
        stage_request,
        stage_response,
        job_request,
        job_response,
        queued,
        cancel
    ]
}

fn content() -> impl Strategy<Value = Message> {
    let request =
        (any::<u64>(), digest(), option::of(any::<u32>())).prop_map(|(id, content, block)| {
            Message::ContentRequest(ContentRequest {
                id: RequestId(id),
                content,
                block,
            })
        });
    let block = (
        vec(any::<u8>(), 1..600),
        0..u64::MAX / 4,
        vec(digest(), 0..=MAX_PROOF),
    )
        .prop_map(|(bytes, after, proof)| ContentBlock {
            total: bytes.len() as u64 + after,
            bytes: bytes.into(),
            proof,
        });
    let response = (
        any::<u64>(),
        prop_oneof![block.prop_map(Ok), failure().prop_map(Err)],
    )
        .prop_map(|(id, result)| {
            Message::ContentResponse(ContentResponse {
                id: RequestId(id),
                result,
            })
        });
    prop_oneof![request, response]
}

fn encoded(channel: Channel, messages: &[Message]) -> Vec<u8> {
    let mut wire = Vec::new();
    for message in messages {
        FrameEncoder::new(channel)
            .encode(message, &mut wire)
            .unwrap();
    }
    wire
}

/// Decodes `wire` in pieces of the given lengths, repeated as long as there are bytes.
fn decoded(channel: Channel, mut wire: &[u8], pieces: &[usize]) -> Result<Vec<Message>, Error> {
    let mut decoder = FrameDecoder::new(channel);
    let mut messages = Vec::new();
    for piece in pieces.iter().cycle() {
        let (mut now, rest) = wire.split_at(wire.len().min(*piece));
        wire = rest;
        while let Some(message) = decoder.decode(&mut now)? {
            messages.push(message);
        }
        assert!(now.is_empty(), "`None` means that the input is used up");
        if wire.is_empty() {
            break;
        }
    }
    Ok(messages)
}

proptest! {
    #[test]
    fn any_split_of_a_compute_stream_decodes_equally(
        messages in vec(compute(), 0..8), pieces in vec(1_usize..300, 1..6),
    ) {
        let wire = encoded(Channel::Compute, &messages);
        prop_assert_eq!(decoded(Channel::Compute, &wire, &pieces), Ok(messages));
    }

    #[test]
    fn any_split_of_a_content_stream_decodes_equally(
        messages in vec(content(), 0..8), pieces in vec(1_usize..300, 1..6),
    ) {
        let wire = encoded(Channel::Content, &messages);
        prop_assert_eq!(decoded(Channel::Content, &wire, &pieces), Ok(messages));
    }

    #[test]
    fn garbage_never_panics(wire in vec(any::<u8>(), 0..2000), pieces in vec(1_usize..300, 1..4)) {
        for channel in Channel::ALL {
            let _ = decoded(channel, &wire, &pieces);
        }
    }

    #[test]
    fn a_flipped_bit_gives_a_message_or_an_error(
        messages in vec(compute(), 1..4), position in any::<prop::sample::Index>(), bit in 0_u8..8,
    ) {
        let mut wire = encoded(Channel::Compute, &messages);
        let at = position.index(wire.len());
        wire[at] ^= 1 << bit;
        let _ = decoded(Channel::Compute, &wire, &[64]);
    }

    #[test]
    fn bitmaps_are_joined_as_far_as_the_first_goes(
        lens in (0_u32..40, 0_u32..40),
        members in (vec(0_u32..40, 0..20), vec(0_u32..40, 0..20)),
    ) {
        let set = |len, members: &[u32]| {
            let mut set = Bitmap::new(len);
            members.iter().for_each(|member| _ = set.insert(*member));
            set
        };
        let mut joined = set(lens.0, &members.0);
        joined.insert_all(&set(lens.1, &members.1));
        let all: Vec<_> = members
            .0
            .into_iter()
            .chain(members.1.into_iter().filter(|member| *member < lens.1))
            .collect();
        prop_assert_eq!(joined, set(lens.0, &all));
    }

    #[test]
    fn a_bitmap_is_the_set_of_what_was_inserted(len in 0_u32..200, members in vec(0_u32..250, 0..40)) {
        let mut set = Bitmap::new(len);
        let mut model = std::collections::BTreeSet::new();
        for member in members {
            prop_assert_eq!(set.insert(member), member < len && model.insert(member));
        }
        prop_assert_eq!(set.count() as usize, model.len());
        prop_assert_eq!(set.is_empty(), model.is_empty());
        prop_assert!(set.iter().eq(model.iter().copied()));
        for member in model {
            prop_assert!(set.remove(member));
        }
        prop_assert!(set.is_empty());
    }
}

#[test]
fn a_message_of_the_other_channel_is_refused() {
    let request = Message::ContentRequest(ContentRequest {
        id: RequestId(1),
        content: [0; 32],
        block: Some(0),
    });
    let refused = Err(Error::WrongChannel {
        kind: "content-request",
        channel: Channel::Compute,
    });
    assert_eq!(
        FrameEncoder::new(Channel::Compute).encode(&request, &mut Vec::new()),
        refused
    );
    let wire = encoded(Channel::Content, &[request]);
    assert_eq!(
        decoded(Channel::Compute, &wire, &[64]),
        refused.map(|()| Vec::new())
    );
}

#[test]
fn a_message_that_is_too_long_is_refused_by_its_prefix_alone() {
    let mut prefix = Vec::new();
    let claimed = Channel::Content.max_message() + 1;
    prost::encode_length_delimiter(claimed, &mut prefix).unwrap();
    let refused = Error::TooLong {
        len: claimed as u64,
        max: Channel::Content.max_message(),
    };
    assert_eq!(decoded(Channel::Content, &prefix, &[1]), Err(refused));
}

#[test]
fn a_message_that_is_too_long_is_not_sent_either() {
    let body = vec![0; Channel::Compute.max_message()].into();
    let request = Message::ComputeRequest(ComputeRequest {
        id: RequestId(1),
        fragment: [0; 32],
        body,
        priority: Priority::Interactive,
        patience: None,
    });
    let mut out = vec![1, 2, 3];
    let result = FrameEncoder::new(Channel::Compute).encode(&request, &mut out);
    assert!(matches!(result, Err(Error::TooLong { .. })));
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn a_broken_stream_stays_broken() {
    let mut decoder = FrameDecoder::new(Channel::Compute);
    assert!(decoder.decode(&mut &[1, 0xff][..]).is_err());
    let wire = encoded(
        Channel::Compute,
        &[Message::Cancel(Cancel { id: RequestId(1) })],
    );
    assert_eq!(decoder.decode(&mut &wire[..]), Err(Error::Broken));
}

#[test]
fn a_block_of_a_stranger_has_bytes_and_a_proof_of_whole_digests() {
    let block = |bytes: &'static [u8], proof: &[u8]| {
        // ContentResponse { id: 1, total: 9, bytes, proof }.
        let mut body = vec![8, 1, 16, 9, 0x22, bytes.len() as u8];
        body.extend_from_slice(bytes);
        body.extend_from_slice(&[0x32, proof.len() as u8]);
        body.extend_from_slice(proof);
        let mut wire = vec![body.len() as u8 + 2, 0x3a, body.len() as u8];
        wire.extend_from_slice(&body);
        decoded(Channel::Content, &wire, &[9])
    };
    let wrong = |what| Err(Error::Impossible(what));
    assert_eq!(block(b"bytes", &[7; 64]).map(|m| m.len()), Ok(1));
    assert_eq!(
        block(b"bytes", &[7; 33]),
        wrong("a proof of the wrong length")
    );
    let length = "a block of content of the wrong length";
    assert_eq!(block(b"", &[7; 32]), wrong(length));
    assert_eq!(block(b"ten bytes!", &[7; 32]), wrong(length));
}

#[test]
fn a_prefix_with_needless_bytes_is_refused() {
    assert_eq!(
        decoded(Channel::Compute, &[0x80, 0x00], &[9]),
        Err(Error::Prefix)
    );
    assert_eq!(
        decoded(
            Channel::Compute,
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[9]
        ),
        Err(Error::Prefix)
    );
}

#[test]
fn a_bitmap_of_a_stranger_must_have_the_bytes_its_length_asks_for() {
    // Hello { holdings { fragments: 9, computes: [0xff] } }: nine bits in one byte.
    let short = [9, 0x0a, 7, 0x22, 5, 0x10, 9, 0x1a, 1, 0xff];
    let wrong_length = Error::Impossible("a bitmap of the wrong length");
    assert_eq!(
        decoded(Channel::Compute, &short, &[9]),
        Err(wrong_length.clone())
    );
    let spare_bits = Message::HoldingsChanged(HoldingsChanged {
        model: None,
        computes: [true; 9].into_iter().collect(),
        stores: Bitmap::new(9),
        runs: None,
    });
    let mut wire = encoded(Channel::Compute, &[spare_bits]);
    let at = wire
        .windows(2)
        .position(|pair| pair == [0xff, 0x01])
        .unwrap();
    wire[at + 1] = 0x81; // a bit beyond the ninth
    assert_eq!(decoded(Channel::Compute, &wire, &[9]), Err(wrong_length));
}

#[test]
fn a_few_bytes_about_an_enormous_model_stay_a_few_bytes() {
    // HoldingsChanged { fragments: 2^20 }, without bitmaps.
    let claim = [6, 0x12, 4, 0x10, 0x80, 0x80, 0x40];
    let wire = claim.repeat(1000);
    let messages = decoded(Channel::Compute, &wire, &[wire.len()]).unwrap();
    let memory: usize = messages.iter().map(Message::size).sum();
    assert!(memory <= 1000 * 64, "{memory} bytes");
    // Passed on, they are not more either.
    assert_eq!(encoded(Channel::Compute, &messages), wire);
    let [Message::HoldingsChanged(first), ..] = &messages[..] else {
        panic!("{:?}", messages.first());
    };
    assert_eq!(first.computes, Bitmap::new(1 << 20));
}

#[test]
fn what_is_not_empty_goes_out_with_all_its_bytes() {
    // As nodes expect it that know no shorter form.
    let mut computes = Bitmap::new(30);
    computes.insert(3);
    let said = Message::HoldingsChanged(HoldingsChanged {
        computes,
        stores: Bitmap::new(30),
        ..HoldingsChanged::default()
    });
    let wire = [10, 0x12, 8, 0x10, 30, 0x1a, 4, 8, 0, 0, 0];
    assert_eq!(encoded(Channel::Compute, std::slice::from_ref(&said)), wire);
    // Zeros that are written out say the same.
    let written = [
        16, 0x12, 14, 0x10, 30, 0x1a, 4, 8, 0, 0, 0, 0x22, 4, 0, 0, 0, 0,
    ];
    assert_eq!(decoded(Channel::Compute, &written, &[99]), Ok(vec![said]));
}

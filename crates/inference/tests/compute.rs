//! Requests from strangers.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use common::models::Loaded;
use fragments::{Fragment, PartKind};
use inference::{
    Answerer,
    compute::{
        self, Arithmetic, Error, Operation, Request, answer, decode_request, decode_response,
        encode_request, encode_response,
    },
    session::{Config, Generation},
};
use kernels::{Activations, Encoding};
use proptest::{prelude::*, test_runner::FileFailurePersistence};

static MODEL: LazyLock<Loaded> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    Loaded::read(&folder.join("moe.gguf"), 256 << 10)
});

/// Requests of every kind, as a session makes them.
static REQUESTS: LazyLock<Vec<Request>> = LazyLock::new(|| {
    let mut requests = Vec::new();
    let mut session = MODEL.session(Config::default());
    session
        .begin(
            &[1, 5, 9],
            Generation {
                max_tokens: 1,
                ..Generation::default()
            },
        )
        .unwrap();
    while let Some((id, request)) = session.poll_request() {
        session
            .handle_response(id, MODEL.answerer.answer(&request).unwrap())
            .unwrap();
        requests.push(request);
    }
    requests
});

fn fragment(request: &Request) -> &'static Fragment<Bytes> {
    MODEL.answerer.get(&request.fragment).unwrap()
}

fn first(kind: impl Fn(&Operation) -> bool) -> Request {
    REQUESTS
        .iter()
        .find(|request| kind(&request.operation))
        .unwrap()
        .clone()
}

#[test]
fn requests_and_answers_survive_the_journey() {
    for request in &*REQUESTS {
        assert_eq!(&decode_request(&encode_request(request)).unwrap(), request);
        let response = answer(fragment(request), request).unwrap();
        assert_eq!(
            decode_response(&encode_response(&response)).unwrap(),
            response
        );
    }
}

#[test]
fn rounding_the_input_before_or_after_the_journey_gives_the_same_bits() {
    let mut compared = 0;
    for request in &*REQUESTS {
        // What was rounded stays what it is when it is rounded again; so start from what was not.
        let Some(input) = &request.input else {
            continue;
        };
        let values: Vec<f32> = (0..input.width() * input.tokens())
            .map(|i| (i % 97) as f32 - 48.3)
            .collect();
        let encoded = |encoding| Activations::encode(encoding, input.width(), &values).unwrap();
        let ask = |encoding| {
            let input = Some(Arc::new(encoded(encoding)));
            answer(
                fragment(request),
                &Request {
                    input,
                    ..request.clone()
                },
            )
            .unwrap()
        };
        assert_eq!(ask(input.encoding()), ask(Encoding::F32));
        compared += usize::from(input.encoding() != Encoding::F32);
    }
    assert!(compared > 10);
}

#[test]
fn a_part_answers_only_what_it_can() {
    for request in &*REQUESTS {
        let parts = fragment(request).parts().iter().zip(0..);
        for (kind, part) in parts.map(|(part, index)| (part.kind.clone(), index)) {
            let operations = [
                Operation::Embed(vec![]),
                Operation::Qkv,
                Operation::Latent,
                Operation::LatentQueries,
                Operation::AttentionOutput,
                Operation::FeedForward,
                Operation::Logits,
            ];
            for operation in operations {
                let able = match kind {
                    PartKind::Embedding { .. } => {
                        matches!(operation, Operation::Embed(_) | Operation::Logits)
                    }
                    PartKind::OutputHead { .. } => operation == Operation::Logits,
                    PartKind::Attention { .. } => {
                        matches!(operation, Operation::Qkv | Operation::AttentionOutput)
                    }
                    PartKind::FeedForward { .. } => operation == Operation::FeedForward,
                    PartKind::Latent { .. } => operation == Operation::Latent,
                    PartKind::LatentAttention { .. } => matches!(
                        operation,
                        Operation::LatentQueries | Operation::AttentionOutput
                    ),
                    _ => false,
                };
                let operation = match operation {
                    Operation::Embed(_) => Operation::Embed(vec![u32::MAX]),
                    other => other,
                };
                let input = match operation {
                    Operation::Embed(_) => None,
                    _ => Some(Arc::new(
                        Activations::encode(Encoding::F32, 3, &[1.0; 3]).unwrap(),
                    )),
                };
                let request = Request {
                    part,
                    operation,
                    input,
                    ..request.clone()
                };
                let error = answer(fragment(&request), &request).unwrap_err();
                assert_eq!(
                    !matches!(error, Error::WrongOperation { .. }),
                    able,
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn impossible_requests_are_refused_by_name() {
    let refuse = |request: &Request| answer(fragment(request), request).unwrap_err();
    let embed = first(|operation| matches!(operation, Operation::Embed(_)));
    let tokens = vec![1; compute::MAX_TOKENS + 1];
    let many = Request {
        operation: Operation::Embed(tokens),
        ..embed.clone()
    };
    assert_eq!(refuse(&many), Error::Tokens(compute::MAX_TOKENS + 1));
    assert!(decode_request(&encode_request(&many)).is_err());
    let none = Request {
        operation: Operation::Embed(vec![]),
        ..embed.clone()
    };
    assert_eq!(refuse(&none), Error::Tokens(0));
    let far = Request {
        operation: Operation::Embed(vec![100_000]),
        ..embed.clone()
    };
    assert_eq!(refuse(&far), Error::NoSuchRow(100_000));
    let part = Request { part: 999, ..embed };
    assert_eq!(refuse(&part), Error::NoSuchPart(999));

    let feed_forward = first(|operation| *operation == Operation::FeedForward);
    let reference = Request {
        arithmetic: Arithmetic::Reference,
        ..feed_forward.clone()
    };
    assert_eq!(refuse(&reference), Error::NotPlain(Encoding::Q8_K));
    let narrow = Activations::encode(Encoding::F32, 5, &[0.0; 5]).unwrap();
    let narrow = Request {
        input: Some(Arc::new(narrow)),
        ..feed_forward.clone()
    };
    assert_eq!(
        refuse(&narrow),
        Error::Width {
            expected: 256,
            found: 5
        }
    );
    let missing = Request {
        input: None,
        ..feed_forward
    };
    assert_eq!(refuse(&missing), Error::Tokens(0));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn damaged_requests_give_an_error_or_an_answer_and_nothing_else(
        index: prop::sample::Index,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: Option<prop::sample::Index>,
    ) {
        let request = index.get(&REQUESTS);
        let mut bytes = encode_request(request);
        for (at, value) in flips {
            // The start is where the structure is.
            let at = at.index(bytes.len().min(64));
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(damaged) = decode_request(&bytes) {
            let _ = answer(fragment(request), &damaged);
        }
        let _ = decode_response(&bytes);
    }
}

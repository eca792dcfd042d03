//! Answers that are not the exact bits: only for those who allow them, labelled, and counted.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod common;

use std::{
    cell::Cell,
    path::Path,
    pin::pin,
    sync::LazyLock,
    task::{Context, Poll, Waker},
};

use common::models::Loaded;
use inference::{
    Answerer, Parts, ResponseError, Session,
    compute::{
        Arithmetic, Cpu, Error, Exactness, Multiplier, Operation, Product, Request, Response,
        Weights, answer, answer_by, decode_request, decode_response, encode_request,
        encode_response,
    },
    executor,
    session::{self, Config, Generation},
};
use kernels::Activations;

/// One for each way that attention and feed-forward layers are computed.
static MODELS: LazyLock<[Loaded; 3]> = LazyLock::new(|| {
    ["dense", "moe", "deepseek2"].map(|name| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
        Loaded::read(&folder.join(format!("{name}.gguf")), 256 << 10)
    })
});

const PROMPT: [u32; 5] = [1, 275, 401, 337, 501];

/// Three tokens, the likeliest each time.
fn short() -> Generation {
    Generation {
        max_tokens: 3,
        ignore_end: true,
        ..Generation::default()
    }
}

/// Multiplies like a graphics processor: later, and not quite the same.
#[derive(Default)]
struct Device {
    products: Cell<usize>,
}

impl Multiplier for Device {
    async fn multiply(&self, weights: &Weights<'_>, input: &Activations) -> Result<Product, Error> {
        later().await;
        self.products.set(self.products.get() + 1);
        let mut product = Cpu::default().product(weights, input)?;
        for value in &mut product.values {
            *value *= 1.0 + f32::EPSILON;
        }
        product.exactness = Exactness::Approximate;
        Ok(product)
    }
}

/// Makes whoever waits wait once.
async fn later() {
    let mut waited = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

fn config(arithmetic: Arithmetic) -> Config {
    Config {
        arithmetic,
        ..Config::default()
    }
}

fn on_device(loaded: &Loaded, device: &Device, request: &Request) -> Response {
    let fragment = loaded.answerer.get(&request.fragment).unwrap();
    wait(answer_by(device, fragment, request)).unwrap()
}

/// Runs a session to its end; `answer` says who answers.
fn run(session: &mut Session, mut answer: impl FnMut(&Request) -> Response) {
    while let Some((id, request)) = session.poll_request() {
        session.handle_response(id, answer(&request)).unwrap();
    }
}

#[test]
fn exact_answers_never_come_from_another_device() {
    for loaded in &*MODELS {
        let device = Device::default();
        let mut session = loaded.session(config(Arithmetic::Quantised));
        session.begin(&PROMPT, short()).unwrap();
        run(&mut session, |request| {
            let here = loaded.answerer.answer(request).unwrap();
            assert_eq!(on_device(loaded, &device, request), here);
            here
        });
        assert_eq!(device.products.get(), 0);
        assert_eq!(session.parts().approximate, 0);
    }
}

#[test]
fn every_product_of_an_approximate_answer_is_the_devices_and_all_of_them_are_labelled() {
    for loaded in &*MODELS {
        let device = Device::default();
        let mut session = loaded.session(config(Arithmetic::Approximate));
        session.begin(&PROMPT, short()).unwrap();
        let mut expected = Parts::default();
        run(&mut session, |request| {
            let before = device.products.get();
            let response = on_device(loaded, &device, request);
            let products = device.products.get() - before;
            // Rows of the embedding are looked up, not multiplied.
            let embeds = matches!(request.operation, Operation::Embed(_));
            assert_eq!(products == 0, embeds);
            let exactness = match embeds {
                true => Exactness::Exact,
                false => Exactness::Approximate,
            };
            assert_eq!(response.exactness, exactness);
            expected.total += 1;
            expected.approximate += u64::from(!embeds);
            // The label travels.
            decode_response(&encode_response(&response)).unwrap()
        });
        assert!(expected.approximate > 10);
        // How many experts were used does not depend on who computes.
        expected.experts = session.parts().experts;
        assert_eq!(session.parts(), expected);
        assert_eq!(session.answer().len(), 3);
    }
}

#[test]
fn whoever_allows_approximate_answers_takes_exact_ones_and_gets_the_exact_bits() {
    let loaded = &MODELS[0];
    let mut answers = [Arithmetic::Quantised, Arithmetic::Approximate].map(|arithmetic| {
        let mut session = loaded.session(config(arithmetic));
        session.begin(&PROMPT, short()).unwrap();
        let mut values = Vec::new();
        run(&mut session, |request| {
            let response = loaded.answerer.answer(request).unwrap();
            values.push(response.clone());
            response
        });
        assert_eq!(session.parts().approximate, 0);
        (values, session.answer().to_vec())
    });
    let (first, second) = answers.split_at_mut(1);
    assert_eq!(first[0], second[0]);
}

#[test]
fn an_approximate_answer_to_an_exact_question_is_refused_by_name() {
    let loaded = &MODELS[0];
    for arithmetic in [Arithmetic::Quantised, Arithmetic::Reference] {
        let mut session = loaded.session(config(arithmetic));
        session.begin(&PROMPT, short()).unwrap();
        let mut refused = 0;
        while let Some((id, request)) = session.poll_request() {
            let good = loaded.answerer.answer(&request).unwrap();
            let labelled = Response {
                exactness: Exactness::Approximate,
                ..good.clone()
            };
            let error = session.handle_response(id, labelled).unwrap_err();
            let expected = executor::Error::Response(ResponseError::Approximate);
            assert_eq!(error, session::Error::Executor(expected));
            refused += 1;
            // The request stays open for an honest node.
            session.handle_response(id, good).unwrap();
        }
        let parts = Parts {
            total: refused,
            experts: session.parts().experts,
            ..Parts::default()
        };
        assert_eq!(session.parts(), parts);
        assert_eq!(session.answer().len(), 3);
    }
}

#[test]
fn what_an_answer_looks_back_on_counts_until_it_is_forgotten() {
    let loaded = &MODELS[0];
    let device = Device::default();
    let mut session = loaded.session(config(Arithmetic::Approximate));
    session.begin(&PROMPT, short()).unwrap();
    run(&mut session, |request| on_device(loaded, &device, request));
    let first = session.parts();

    let mut conversation = session.tokens().to_vec();
    conversation.push(9);
    session.begin(&conversation, short()).unwrap();
    let here = |request: &Request| loaded.answerer.answer(request).unwrap();
    run(&mut session, here);
    assert_eq!(session.parts().approximate, first.approximate);
    assert!(session.parts().total > first.total);

    // Nothing in common with what was before.
    session.begin(&[7, 8], short()).unwrap();
    run(&mut session, here);
    assert_eq!(session.parts().approximate, 0);
    assert!(session.parts().total > 0);
}

#[test]
fn nodes_that_know_of_no_approximate_answers_answer_exactly() {
    let loaded = &MODELS[0];
    let mut session = loaded.session(config(Arithmetic::Approximate));
    session.begin(&PROMPT, short()).unwrap();
    run(&mut session, |request| {
        let bytes = encode_request(request);
        assert_eq!(&decode_request(&bytes).unwrap(), request);
        let exact = Request {
            arithmetic: Arithmetic::Quantised,
            ..request.clone()
        };
        // All that is new is one field behind the others, which older nodes skip.
        let (known, new) = bytes.split_at(bytes.len() - 2);
        assert_eq!(known, encode_request(&exact));
        assert_eq!(new, [7 << 3, 1]);
        let fragment = loaded.answerer.get(&request.fragment).unwrap();
        answer(fragment, &decode_request(known).unwrap()).unwrap()
    });
    // Exact arithmetic has no approximate form.
    let reference = Request {
        arithmetic: Arithmetic::Reference,
        ..first_request(loaded)
    };
    let mut bytes = encode_request(&reference);
    bytes.extend([7 << 3, 1]);
    assert!(decode_request(&bytes).is_err());
}

fn first_request(loaded: &Loaded) -> Request {
    let mut session = loaded.session(Config::default());
    session.begin(&PROMPT, short()).unwrap();
    session.poll_request().unwrap().1
}

//! Programs that speak OpenAI's HTTP API are answered as people are. What its own clients make of it is checked by
//! `cargo xtask lab clients`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{Caller, Lab, Node, demo_model};
use serde_json::{Value, json};
use std::fs;

const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
const MODEL: &str = "Inference-IA-P2P-demo";
const CHAT: &str = "/chat/completions";

fn start(lab: &Lab, more: &[&str]) -> (Node, String) {
    let model = demo_model();
    let arguments = [
        "api",
        "--model",
        model.to_str().unwrap(),
        "--api",
        "127.0.0.1:0",
    ];
    let mut node = lab.start(arguments.iter().chain(more));
    let url = node.api();
    (node, url)
}

fn chat(more: &Value) -> Value {
    let mut whole = json!({
        "model": MODEL, "messages": [{ "role": "user", "content": QUESTION }], "temperature": 0, "max_tokens": 24,
    });
    let fields = whole.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    whole
}

fn content(answer: &Value) -> &str {
    answer["choices"][0]["message"]["content"].as_str().unwrap()
}

#[test]
fn a_program_is_answered_as_the_command_line_answers() {
    let lab = Lab::new();
    let (_node, url) = start(&lab, &[]);
    let caller = Caller::new(&url, None);
    let model = demo_model();
    let model = model.to_str().unwrap();
    let arguments = [
        "generate",
        "--model",
        model,
        "--chat",
        "--json",
        "--prompt",
        QUESTION,
        "--max-tokens",
        "24",
    ];
    let expected = lab.json(arguments);
    let text = expected["text"].as_str().unwrap();

    let (status, answer) = caller.ask(CHAT, &chat(&json!({})));
    assert_eq!((status, content(&answer)), (200, text));
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    let prompt = expected["prompt_tokens"].as_array().unwrap().len();
    assert_eq!(answer["usage"]["prompt_tokens"], prompt);
    assert_eq!(answer["usage"]["completion_tokens"], 24);
    assert_eq!(answer["usage"]["prompt_tokens_details"]["cached_tokens"], 0);

    // Piece by piece, by a session that has read the question already.
    let more = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let mut events = caller.events(CHAT, &chat(&more));
    assert_eq!(events.pop().unwrap(), "[DONE]");
    let events: Vec<Value> = events
        .iter()
        .map(|it| serde_json::from_str(it).unwrap())
        .collect();
    let pieces = events
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str());
    assert_eq!(pieces.collect::<String>(), text);
    let last = events.last().unwrap();
    assert_eq!(
        last["usage"]["prompt_tokens_details"]["cached_tokens"],
        prompt - 1
    );

    // The tokens themselves, as a text that is gone on with.
    let body = json!({ "model": MODEL, "prompt": expected["prompt_tokens"], "temperature": 0, "max_tokens": 24 });
    let (_, answer) = caller.ask("/completions", &body);
    assert_eq!(answer["choices"][0]["text"], text);

    let (_, metrics) = Caller::new(url.trim_end_matches("/v1"), None).get("/metrics");
    for line in [
        "iap2p_api_requests_total{outcome=\"answered\"} 3",
        "iap2p_api_tokens_total{kind=\"answer\"} 72",
    ] {
        assert!(metrics.contains(line), "{line} in\n{metrics}");
    }
}

#[test]
fn where_several_ask_at_once_each_gets_its_own_answer() {
    let lab = Lab::new();
    let (_node, url) = start(&lab, &["--api-sessions", "2"]);
    let body = |seed: u64| chat(&json!({ "temperature": 1.2, "seed": seed }));
    let caller = || Caller::new(&url, None);
    let one_by_one: Vec<_> = (0..4)
        .map(|seed| caller().ask(CHAT, &body(seed)).1)
        .collect();
    let at_once: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..4)
            .map(|seed| scope.spawn(move || caller().ask(CHAT, &body(seed)).1))
            .collect();
        asked.into_iter().map(|it| it.join().unwrap()).collect()
    });
    for (one, other) in one_by_one.iter().zip(&at_once) {
        assert_eq!(content(one), content(other));
    }
    assert_ne!(content(&one_by_one[0]), content(&one_by_one[1]));
}

#[test]
fn an_answer_that_nobody_waits_for_is_stopped() {
    let lab = Lab::new();
    let (_node, url) = start(&lab, &["--api-sessions", "1"]);
    let caller = Caller::new(&url, None);
    // It would go on for as long as the model can follow.
    let body = json!({ "model": MODEL, "prompt": "Un", "max_tokens": 100_000, "temperature": 2, "stream": true, "seed": 1 });
    let (status, reader) = caller.post("/completions", &body);
    assert_eq!(status, 200);
    drop(reader);
    // There is one session: this is answered when the other is not any more.
    let (status, _) = caller.ask(CHAT, &chat(&json!({})));
    assert_eq!(status, 200);
    let (_, metrics) = Caller::new(url.trim_end_matches("/v1"), None).get("/metrics");
    let stopped = "iap2p_api_requests_total{outcome=\"stopped\"} 1";
    assert!(metrics.contains(stopped), "{metrics}");
}

#[test]
fn what_is_wrong_is_said_in_the_form_that_clients_know() {
    let lab = Lab::new();
    let keys = lab.path("keys");
    fs::write(&keys, "secret # Ann's\n").unwrap();
    let (_node, url) = start(
        &lab,
        &[
            "--api-keys",
            keys.to_str().unwrap(),
            "--api-cors",
            "https://page.example",
        ],
    );
    let root = url.trim_end_matches("/v1");
    assert_eq!(Caller::new(root, None).get("/health").0, 200);
    for key in [None, Some("guess")] {
        let (status, body) = Caller::new(&url, key).get("/models");
        assert_eq!(status, 401, "{body}");
        assert_eq!(Caller::new(root, key).get("/metrics").0, 401);
    }
    let caller = Caller::new(&url, Some("secret"));
    let error = |(status, body): (u16, Value)| {
        assert!(body["error"]["message"].is_string(), "{body}");
        (
            status,
            body["error"]["code"].as_str().map(str::to_owned),
            body["error"]["param"].as_str().map(str::to_owned),
        )
    };
    let (code, param) = (
        |it: &str| Some(it.to_owned()),
        |it: &str| Some(it.to_owned()),
    );
    let asked = |more: Value| error(caller.ask(CHAT, &chat(&more)));
    assert_eq!(
        asked(json!({ "model": "gpt-4o" })),
        (404, code("model_not_found"), param("model"))
    );
    assert_eq!(
        asked(json!({ "n": 2 })),
        (400, code("unsupported_parameter"), param("n"))
    );
    let long = json!({ "messages": [{ "role": "user", "content": "mot ".repeat(30_000) }] });
    assert_eq!(
        asked(long),
        (400, code("context_length_exceeded"), param("messages"))
    );
    assert_eq!(asked(json!({ "temperature": -1 })).0, 400);
    assert_eq!(asked(json!({ "messages": "Hi" })).0, 400);
    assert_eq!(
        error(caller.ask("/embeddings", &json!({}))),
        (404, code("unknown_url"), None)
    );
    assert_eq!(caller.get(CHAT).0, 405);
    // Another name of it that nobody can mistake.
    let (_, list) = caller.get("/models");
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["data"][0]["id"], MODEL);

    // Everybody is let in only where that is said.
    let model = demo_model();
    let arguments = [
        "api",
        "--model",
        model.to_str().unwrap(),
        "--api",
        "0.0.0.0:0",
    ];
    let said = lab.bad(arguments);
    assert!(said.contains("--api-keys"), "{said}");
}

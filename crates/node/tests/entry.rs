//! What an entry to the network serves over HTTP.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{Lab, demo_model};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};

#[test]
fn the_entry_serves_the_page_and_tells_how_to_enter() {
    let lab = Lab::new();
    let web = lab.path("dist");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("index.html"), "<p>hello".repeat(100)).unwrap();
    fs::write(web.join("app-0123456789abcdef_bg.wasm"), [0; 5000]).unwrap();
    let (web, model) = (web.to_str().unwrap().to_owned(), demo_model());
    let model = model.to_str().unwrap();
    let mut entry = lab.start([
        "bootstrap",
        "--model",
        model,
        "--web",
        &web,
        "--http",
        "127.0.0.1:0",
    ]);
    entry.wait_until_ready();
    entry.address("/ws/p2p/");
    let url = entry.wait_for("url", |event| Some(event["url"].as_str()?.to_owned()));
    let host = url.trim_start_matches("http://").trim_end_matches('/');

    let (head, body) = get(host, "/bootstrap.json", "identity");
    assert!(head.contains("no-cache"), "{head}");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert!(answer["model"].as_str().unwrap().starts_with('b'));
    assert!(answer["fragments"].as_u64().unwrap() > 0);
    let bootstrap = answer["bootstrap"].as_array().unwrap();
    let addresses: Vec<_> = bootstrap.iter().map(|a| a.as_str().unwrap()).collect();
    let [websocket, webrtc] = addresses[..] else {
        panic!("{answer}");
    };
    assert!(websocket.contains("/ws/p2p/"), "{answer}");
    assert!(webrtc.contains("/webrtc-direct/certhash/"), "{answer}");

    let (head, body) = get(host, "/", "br");
    assert!(
        head.contains("200 OK") && head.contains("text/html") && head.contains("no-cache"),
        "{head}"
    );
    assert!(
        head.contains("content-encoding: br") && body.len() < 500,
        "not compressed: {head}"
    );
    let (head, _) = get(host, "/app-0123456789abcdef_bg.wasm", "br");
    assert!(
        head.contains("application/wasm") && head.contains("immutable"),
        "{head}"
    );
    assert!(get(host, "/../../etc/passwd", "br").0.contains("404"));
    // Taken: said in words.
    let said = lab.bad(["bootstrap", "--http", host]);
    assert!(said.contains("--http"), "{said}");
}

/// Head and body of an answer.
fn get(host: &str, path: &str, encoding: &str) -> (String, Vec<u8>) {
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let body = answer.split_off(end + 4);
    (
        String::from_utf8(answer)
            .unwrap()
            .to_lowercase()
            .replace("http/1.1 200 ok", "HTTP/1.1 200 OK"),
        body,
    )
}

#[test]
fn the_entry_of_a_private_swarm_tells_strangers_nothing_and_answers_members_only() {
    let lab = Lab::new();
    let secret = lab.good(["secret"]);
    let file = lab.path("swarm.secret");
    fs::write(&file, &secret).unwrap();
    let (file, model) = (file.to_str().unwrap().to_owned(), demo_model());
    let model = model.to_str().unwrap();
    let mut entry = lab.start([
        "bootstrap",
        "--serve",
        "--model",
        model,
        "--http",
        "127.0.0.1:0",
        "--secret-file",
        &file,
    ]);
    entry.wait_until_ready();
    let address = entry.address("/tcp/");
    let url = entry.wait_for("url", |event| Some(event["url"].as_str()?.to_owned()));
    let link = entry.wait_for("link", |event| Some(event["link"].as_str()?.to_owned()));
    assert!(link.starts_with(&format!("{url}#model=")), "{link}");
    assert!(
        link.ends_with(&format!("&secret={}", secret.trim())),
        "{link}"
    );
    assert!(
        entry
            .seen()
            .iter()
            .all(|event| !event.to_string().contains("quic")),
        "QUIC cannot keep strangers out"
    );

    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let (_, body) = get(host, "/bootstrap.json", "identity");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert!(answer["model"].is_null(), "{answer}");
    assert_eq!(answer["bootstrap"].as_array().unwrap().len(), 0, "{answer}");

    let ask = |more: &[&str]| {
        let question = ["generate", "--peer", &address, "--max-tokens", "4"];
        let rest = ["--prompt", "Hello", "--patience", "5"];
        [&question[..], &rest[..], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    lab.good(ask(&["--secret-file", &file]));
    lab.bad(ask(&[]));
}

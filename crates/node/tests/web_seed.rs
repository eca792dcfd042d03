//! Fragments that no node has.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{Lab, demo_model};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn fragments_that_no_node_has_come_from_the_web_server_that_the_manifest_names() {
    let lab = Lab::new();
    let folder = lab.path("fragments");
    fs::create_dir(&folder).unwrap();
    let server = e2e::WebServer::start(&folder).unwrap();
    let seed = format!("http://{}/", server.address());
    let size = Path::new("256000");
    let options = [Path::new("--fragment-size"), size, Path::new("--web-seed")];
    let cut = [Path::new("cut"), &demo_model(), &folder];
    lab.good(cut.into_iter().chain(options).chain([Path::new(&seed)]));
    // It offers these two, and nobody has the others.
    let mut holder = lab.start([
        "serve",
        "--dir",
        folder.to_str().unwrap(),
        "--hold",
        "0,2",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]);
    holder.wait_until_ready();
    let address = holder.address("/tcp/");
    let model = holder.wait_for("model", |event| Some(event["model"].as_str()?.to_owned()));
    let store = lab.path("store");
    let mut node = lab.fetch(&model, &store, "1000", &address);
    node.wait_until_ready();
    lab.good([Path::new("verify"), &store]);
    // Each came once: the manifest and two fragments from the node, the rest from the web.
    let peer = node.peer();
    let told = lab.good(["status", "--json"]);
    let nodes = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let status = nodes
        .into_iter()
        .find(|node| node["peer"] == peer.as_str())
        .unwrap();
    let from_web = status["web_received"].as_u64().unwrap();
    let from_peers = status["content"]["received"].as_u64().unwrap();
    let lengths = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len());
    assert_eq!(from_web + from_peers, lengths.sum::<u64>());
    let manifest = fs::metadata(folder.join(fragments::MANIFEST_FILE))
        .unwrap()
        .len();
    assert!(
        from_peers > manifest && from_web > from_peers,
        "{from_web} and {from_peers}"
    );
}

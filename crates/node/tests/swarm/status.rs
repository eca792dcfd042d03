//! What nodes say of themselves.

use crate::common::Lab;
use crate::world::{LOCAL, World};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

#[test]
fn a_node_says_with_whom_it_is_connected_and_how() {
    let mut world = World::new();
    let mut worker = world.worker(|_| true);
    world.generate(&[]);
    let told = world.lab.good(["status", "--json"]);
    let nodes: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = nodes
        .iter()
        .map(|it| it["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["bootstrap", "serve"]);
    assert_eq!(nodes[1]["peer"], worker.peer().as_str());
    assert_eq!(nodes[1]["model"]["id"], world.model.as_str());
    assert_eq!(nodes[1]["model"]["computes"], world.fragments);
    assert!(nodes[1]["requests"]["served"].as_u64().unwrap() > 0);
    let entry = world.entry.peer();
    let connections = nodes[1]["connections"].as_array().unwrap();
    let with_entry = connections.iter().find(|it| it["peer"] == entry.as_str());
    let with_entry = with_entry.expect("the worker has come by the entry");
    // The entry listens for both.
    let transport = with_entry["transport"].as_str().unwrap();
    assert!(["tcp", "websocket"].contains(&transport), "{transport}");
    assert_eq!(with_entry["relayed"], false);
    assert!(with_entry["round_trip_ms"].as_f64().is_some());
    assert!(with_entry["sent"].as_u64().unwrap() > 0);
    // Who asked is gone, and what it sent is still counted.
    let traffic = nodes[1]["traffic"].as_array().unwrap();
    let received: u64 = traffic
        .iter()
        .map(|it| it["received"].as_u64().unwrap())
        .sum();
    assert!(received > 10_000, "{received}");

    // For people, and for one node by its address.
    let words = world.lab.good(["status"]);
    assert!(
        words.contains(&format!("serve {}", worker.peer())),
        "{words}"
    );
    let file = world.lab.path("data").join("iap2p/serve.status");
    let address = fs::read_to_string(&file).unwrap();
    let one = world.lab.good(["status", &address]);
    assert!(
        one.contains("connections:") || one.contains("one connection:"),
        "{one}"
    );

    // What Prometheus reads.
    let mut stream = TcpStream::connect(host_of(&address)).unwrap();
    let ask = |host: &str| format!("GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(ask(host_of(&address)).as_bytes()).unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    let total = |line: &str| line.starts_with("iap2p_served_total ");
    assert!(
        metrics.starts_with("HTTP/1.0 200") && metrics.lines().any(total),
        "{metrics}"
    );
    // A page that has its own name lead here reads nothing.
    let mut stream = TcpStream::connect(host_of(&address)).unwrap();
    stream.write_all(ask("evil.example").as_bytes()).unwrap();
    let mut refused = String::new();
    stream.read_to_string(&mut refused).unwrap();
    assert!(refused.starts_with("HTTP/1.0 403"), "{refused}");

    assert_eq!(worker.stop(), Some(0));
    assert_eq!(world.entry.stop(), Some(0));
    assert!(!file.exists(), "a node that has stopped is still found");
    let nobody = world.lab.bad(["status"]);
    assert!(
        nobody.contains("no node of this account runs here"),
        "{nobody}"
    );
}

fn host_of(url: &str) -> &str {
    url.trim_start_matches("http://").trim_end_matches('/')
}

#[test]
fn two_nodes_on_one_machine_have_keys_of_their_own_and_keep_them() {
    let lab = Lab::new();
    let folder = lab.cut_demo();
    let start = || {
        lab.start(
            [Path::new("serve"), Path::new("--dir"), &folder]
                .into_iter()
                .map(Path::as_os_str)
                .chain(LOCAL.map(std::ffi::OsStr::new)),
        )
    };
    let (mut first, mut second) = (start(), start());
    let names = (first.peer(), second.peer());
    assert_ne!(names.0, names.1);
    drop((first, second));
    let again = start().peer();
    assert!(again == names.0 || again == names.1, "a new key was made");
}

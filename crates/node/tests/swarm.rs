//! Several real processes on the loopback: what a network computes is what one process computes.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use bytes::Bytes;
use common::{Lab, Node, PATIENCE, demo_model};
use futures::StreamExt;
use network::{Event, Identity};
use protocol::{Bitmap, ComputeResponse, Hello, Message, Role};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
const LOCAL: [&str; 2] = ["--listen", "/ip4/127.0.0.1/tcp/0"];

/// A model in fragments and an entry that offers them and computes nothing.
struct World {
    lab: Lab,
    folder: PathBuf,
    entry: Node,
    address: String,
    model: String,
    fragments: u32,
}

impl World {
    fn new() -> Self {
        let lab = Lab::new();
        let folder = lab.cut_demo();
        let mut arguments = vec!["bootstrap", "--http", "127.0.0.1:0", "--model"];
        let path = folder.to_str().unwrap().to_owned();
        arguments.push(&path);
        arguments.extend(["--listen", "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/tcp/0/ws"]);
        let mut entry = lab.start(arguments);
        entry.wait_until_ready();
        let address = entry.address("/tcp/");
        let (model, fragments) = entry.wait_for("model", |event| {
            Some((
                event["model"].as_str()?.to_owned(),
                event["fragments"].as_u64()? as u32,
            ))
        });
        Self {
            lab,
            folder,
            entry,
            address,
            model,
            fragments,
        }
    }

    /// A worker that holds every fragment for which `holds` is true.
    fn worker(&self, holds: impl Fn(u32) -> bool) -> Node {
        let list: Vec<_> = (0..self.fragments)
            .filter(|index| holds(*index))
            .map(|index| index.to_string())
            .collect();
        let folder = self.folder.to_str().unwrap();
        let mut worker = self.lab.start(
            [
                "serve",
                "--dir",
                folder,
                "--hold",
                &list.join(","),
                "--bootstrap",
                &self.address,
            ]
            .into_iter()
            .chain(LOCAL),
        );
        worker.wait_until_ready();
        worker
    }

    fn generate(&self, more: &[&str]) -> Value {
        let arguments = [
            "generate",
            "--prompt",
            QUESTION,
            "--chat",
            "--json",
            "--peer",
            &self.address,
        ];
        self.lab
            .json(arguments.into_iter().chain(more.iter().copied()))
    }

    /// Has a question answered, disturbs when the answer has begun, and tells how long the rest took: it must be
    /// what one process says.
    fn disturbed(&self, more: &[&str], disturb: impl FnOnce()) -> Duration {
        let expected = self.expected(more);
        let mut command = self.lab.command();
        command.args([
            "generate",
            "--prompt",
            QUESTION,
            "--chat",
            "--peer",
            &self.address,
        ]);
        let mut asking = command.args(more).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = asking.stdout.take().unwrap();
        let mut said = vec![0; 20];
        out.read_exact(&mut said).unwrap();
        disturb();
        assert!(
            asking.try_wait().unwrap().is_none(),
            "the answer was complete already"
        );
        let started = Instant::now();
        out.read_to_end(&mut said).unwrap();
        assert!(asking.wait().unwrap().success());
        let expected = format!("{}\n", expected["text"].as_str().unwrap());
        assert_eq!(String::from_utf8(said).unwrap(), expected);
        started.elapsed()
    }

    /// What one process says.
    fn expected(&self, more: &[&str]) -> Value {
        let folder = self.folder.to_str().unwrap();
        let arguments = [
            "generate", "--prompt", QUESTION, "--chat", "--json", "--model", folder,
        ];
        self.lab
            .json(arguments.into_iter().chain(more.iter().copied()))
    }
}

fn computers(report: &Value) -> BTreeSet<String> {
    let shares = report["computed_by"].as_array().unwrap();
    shares
        .iter()
        .map(|share| share["peer"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn three_workers_with_disjoint_fragments_say_what_one_process_says() {
    let world = World::new();
    let mut workers: Vec<_> = (0..3)
        .map(|i| world.worker(|index| index % 3 == i))
        .collect();
    let told = world.generate(&[]);
    let expected = world.expected(&[]);
    assert_eq!(told["tokens"], expected["tokens"]);
    assert_eq!(told["text"], expected["text"]);
    let names: BTreeSet<_> = workers.iter_mut().map(Node::peer).collect();
    assert_eq!(computers(&told), names, "not everybody computed");

    // The very bits of the logits, and in exact arithmetic too.
    let tokens = "1,3,317,336,371,293,506,330,275,4,558,330,364";
    for exact in [&[][..], &["--exact"]] {
        let logits = |source: &[&str], name: &str| {
            let out = world.lab.path(name);
            let path = out.to_str().unwrap().to_owned();
            let arguments = ["logits", "--tokens", tokens, "--out", &path];
            world
                .lab
                .good(arguments.iter().chain(source).chain(exact).copied());
            fs::read(out).unwrap()
        };
        let here = logits(&["--model", world.folder.to_str().unwrap()], "here.npy");
        let there = logits(&["--peer", &world.address], "there.npy");
        assert!(here == there, "the bits of the logits differ");
    }
}

#[test]
fn a_worker_killed_in_mid_answer_changes_no_token() {
    let world = World::new();
    let mut first = world.worker(|index| index % 2 == 0);
    let _second = world.worker(|index| index % 2 == 1);
    let _replica = world.worker(|index| index % 2 == 0);
    world.disturbed(&["--ignore-end", "--max-tokens", "200"], || first.kill());
}

#[test]
fn a_worker_that_freezes_in_mid_answer_changes_no_token() {
    let world = World::new();
    let mut first = world.worker(|_| true);
    let _second = world.worker(|_| true);
    let took = world.disturbed(&["--ignore-end", "--max-tokens", "100"], || first.freeze());
    assert!(took < PATIENCE / 2, "it took {took:?}");
}

#[test]
fn a_peer_that_answers_nonsense_is_banned_and_the_answer_still_comes() {
    let world = World::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let identity = Identity::generate();
    let name = identity.peer_id().to_string();
    let mut config = network::Config::new(identity);
    let all = Bitmap::full(world.fragments);
    let model: fragments::ModelId = world.model.parse().unwrap();
    config.hello = Hello {
        agent: "liar".into(),
        version: protocol::VERSION,
        role: Role::Worker,
        model: Some(model.0),
        computes: all.clone(),
        stores: all,
    };
    config.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    config.bootstrap = vec![world.address.parse().unwrap()];
    let (asked, was_asked) = std::sync::mpsc::sync_channel(10_000);
    let (connected, is_connected) = std::sync::mpsc::sync_channel(10_000);
    let _inside = runtime.enter();
    let (handle, mut events, driver) = network::start(config).unwrap();
    handle.provide(model.0);
    runtime.spawn(driver);
    runtime.spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::Connected { .. } => _ = connected.try_send(()),
                Event::Message {
                    peer,
                    message: Message::ComputeRequest(request),
                } => {
                    let result = Ok(Bytes::from_static(b"nonsense"));
                    _ = handle.send(
                        peer,
                        Message::ComputeResponse(ComputeResponse {
                            id: request.id,
                            result,
                        }),
                    );
                    _ = asked.try_send(());
                }
                _ => {}
            }
        }
    });
    is_connected
        .recv_timeout(PATIENCE)
        .expect("the liar enters the network");

    let mut honest = world.worker(|_| true);
    // The provider record takes a moment to be kept by the entry; ask until the liar had its chance.
    let expected = world.expected(&[]);
    let end = Instant::now() + PATIENCE;
    loop {
        let told = world.generate(&[]);
        assert_eq!(told["tokens"], expected["tokens"]);
        assert_eq!(computers(&told), BTreeSet::from([honest.peer()]));
        if was_asked.try_recv().is_ok() {
            break;
        }
        assert!(Instant::now() < end, "{name} was never asked");
    }
}

#[test]
fn a_node_fetches_its_share_and_finds_it_again() {
    let mut world = World::new();
    let store = world.lab.path("store");
    let half = world.fragments.div_ceil(2).to_string();
    let (model, address) = (world.model.clone(), world.address.clone());
    let start = |lab: &Lab, count: &str| lab.fetch(&model, &store, count, &address);
    let mut first = start(&world.lab, &half);
    first.wait_until_ready();
    assert_eq!(first.stop(), Some(0));
    // The other half comes from the first, which holds its share already, and the entry.
    let files = || {
        fs::read_dir(&store)
            .unwrap()
            .filter(|e| {
                e.as_ref()
                    .unwrap()
                    .path()
                    .extension()
                    .is_some_and(|e| e == "fragment")
            })
            .count()
    };
    assert_eq!(files().to_string(), half);
    let mut all = start(&world.lab, "1000");
    all.wait_until_ready();
    let fetched = all
        .seen()
        .iter()
        .filter(|event| event["event"] == "fetched")
        .count() as u32;
    assert_eq!(
        fetched,
        world.fragments - world.fragments.div_ceil(2),
        "what was there was fetched again"
    );
    assert_eq!(files() as u32, world.fragments);
    let told = world.generate(&[]);
    assert_eq!(told["tokens"], world.expected(&[])["tokens"]);
    assert_eq!(computers(&told), BTreeSet::from([all.peer()]));
    assert_eq!(world.entry.stop(), Some(0));
}

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
fn a_fetch_that_was_cut_short_goes_on_where_it_stopped() {
    let lab = Lab::new();
    let folder = lab.cut(&demo_model(), "3000000");
    // Slow enough to be killed in the middle.
    let entry = [
        "bootstrap",
        "--http",
        "127.0.0.1:0",
        "--model",
        folder.to_str().unwrap(),
        "--upload",
        "1M",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    let mut entry = lab.start(entry);
    entry.wait_until_ready();
    let address = entry.address("/tcp/");
    let model = entry.wait_for("model", |event| Some(event["model"].as_str()?.to_owned()));
    let store = lab.path("store");
    // The longest beginning that is kept.
    let begun = || {
        let files = fs::read_dir(&store).into_iter().flatten();
        let files = files.filter_map(|file| Some(file.ok()?.path()));
        let files = files.filter(|path| path.extension().is_some_and(|e| e == "download"));
        let files = files.filter_map(|path| {
            let id = path.file_stem()?.to_str()?.to_owned();
            Some((fs::metadata(path).ok()?.len(), id))
        });
        files.max()
    };
    let start = || lab.fetch(&model, &store, "1000", &address);
    let mut first = start();
    let end = Instant::now() + PATIENCE;
    while begun().is_none_or(|(bytes, _)| bytes < 500_000) {
        assert!(Instant::now() < end, "nothing was kept: {:?}", begun());
        std::thread::sleep(Duration::from_millis(10));
    }
    first.kill();
    let (kept, id) = begun().unwrap();
    let mut second = start();
    let had = second.wait_for("fetched", |event| {
        (event["id"] == id.as_str()).then(|| event["had"].as_u64())?
    });
    assert_eq!(had, kept);
    second.wait_until_ready();
    assert_eq!(begun(), None, "the beginning is in the way");
    assert_eq!(entry.stop(), Some(0));
}

#[test]
fn an_entry_that_also_serves_answers_alone() {
    let lab = Lab::new();
    let folder = lab.cut_demo();
    let model = folder.to_str().unwrap();
    let mut entry = lab.start(
        [
            "bootstrap",
            "--serve",
            "--http",
            "127.0.0.1:0",
            "--model",
            model,
        ]
        .into_iter()
        .chain(LOCAL),
    );
    entry.wait_until_ready();
    let address = entry.address("/tcp/");
    let told = lab.json([
        "generate",
        "--prompt",
        "x",
        "--max-tokens",
        "5",
        "--json",
        "--peer",
        &address,
    ]);
    assert_eq!(told["tokens"].as_array().unwrap().len(), 5);
}

#[test]
fn a_fragment_nobody_computes_is_named() {
    let world = World::new();
    let _most = world.worker(|index| index != 5);
    let started = Instant::now();
    let said = world.lab.bad([
        "generate",
        "--prompt",
        "How do I join?",
        "--peer",
        &world.address,
        "--max-tokens",
        "3",
    ]);
    assert!(said.contains("nobody connected holds fragment 5"), "{said}");
    assert!(said.contains("--hold 5"), "{said}");
    assert!(
        started.elapsed().as_secs() >= 20,
        "no time was given for a holder to appear"
    );
}

#[test]
fn wrong_addresses_and_wrong_models_are_explained() {
    let world = World::new();
    let generate = ["generate", "--prompt", "x", "--patience", "5", "--peer"];
    let says = |more: &[&str], expected: &str| {
        let said = world.lab.bad(generate.iter().chain(more).copied());
        assert!(said.contains(expected), "{said}");
    };
    says(
        &["/ip4/127.0.0.1/tcp/9"],
        "cannot reach /ip4/127.0.0.1/tcp/9",
    );
    let other = fragments::ModelId::of(b"another model").to_string();
    says(
        &[&world.address, "--model-id", &other],
        "is --model-id right?",
    );
    // An entry without a model.
    let mut empty = world.lab.start(
        ["bootstrap", "--http", "127.0.0.1:0"]
            .into_iter()
            .chain(LOCAL),
    );
    empty.wait_until_ready();
    says(
        &[&empty.address("/tcp/")],
        "nobody who serves a model answered",
    );
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

//! Questions are answered as one process answers them, whoever goes or lies, or it is said why not.

use crate::common::{Lab, Node, PATIENCE, vector};
use crate::world::{LOCAL, QUESTION, World, computers};
use bytes::Bytes;
use futures::StreamExt;
use network::{Event, Identity};
use protocol::{Bitmap, ComputeResponse, Hello, Message, Role};
use std::collections::BTreeSet;
use std::fs;
use std::time::Instant;

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
        runs: None,
        finishes: false,
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

/// Of four experts two are used in each layer. One part of one of them is nowhere.
#[test]
fn an_answer_without_an_expert_says_so_or_is_refused() {
    let world = World::of(|lab| lab.cut(&vector("moe.gguf"), "130000"));
    let lost = world.conditional()[0];
    let _others = world.worker(|index| index != lost);
    let arguments = |more: &[&'static str]| {
        let arguments = [
            "generate",
            "--prompt",
            QUESTION,
            "--ignore-end",
            "--max-tokens",
            "8",
        ];
        let asked = ["--peer", &world.address].map(str::to_owned);
        let all: Vec<String> = arguments
            .iter()
            .chain(more)
            .map(|argument| (*argument).to_owned())
            .chain(asked)
            .collect();
        all
    };
    let told = world
        .lab
        .json(arguments(&["--json", "--least-experts", "50"]));
    assert_eq!(told["tokens"].as_array().unwrap().len(), 8);
    let count = |key: &str| told[key].as_u64().unwrap();
    assert!(count("missing_experts") > 0, "{told}");
    assert!(count("missing_experts") * 2 <= count("experts"), "{told}");
    let said = world.lab.bad(arguments(&["--least-experts", "100"]));
    assert!(said.contains("too many experts are missing"), "{said}");
    let named = format!("nobody connected holds fragment {lost}");
    assert!(said.contains(&named), "{said}");
    // With all of them nothing is said.
    let _last = world.worker(|index| index == lost);
    let told = world.lab.json(arguments(&["--json"]));
    assert_eq!(told["missing_experts"], 0);
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

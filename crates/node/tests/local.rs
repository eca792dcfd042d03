//! Commands that need no network.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{Lab, demo_model};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;

#[test]
fn cutting_and_joining_gives_back_the_identical_file() {
    let lab = Lab::new();
    let folder = lab.cut_demo();
    let said = lab.good([Path::new("verify"), &folder]);
    assert!(said.contains("fragments are good"), "{said}");
    let copy = lab.path("copy.gguf");
    lab.good([Path::new("join"), &folder, &copy]);
    assert!(fs::read(&copy).unwrap() == fs::read(demo_model()).unwrap());
    // Nothing is overwritten.
    assert!(
        lab.bad([Path::new("join"), &folder, &copy])
            .contains("exists already")
    );
}

#[test]
fn a_flipped_bit_is_refused_by_name() {
    let lab = Lab::new();
    let folder = lab.cut_demo();
    let victim = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let victim = victim
        .filter(|path| path.extension().is_some_and(|e| e == "fragment"))
        .min()
        .unwrap();
    let name = victim.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut bytes = fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&victim, bytes).unwrap();

    let report = lab.run([Path::new("verify"), &folder]);
    assert!(!report.status.success());
    assert!(String::from_utf8_lossy(&report.stdout).contains(&format!("({name})")));
    let copy = lab.path("copy.gguf");
    assert!(lab.bad([Path::new("join"), &folder, &copy]).contains(&name));
    assert!(!copy.exists(), "half a model was left behind");
    let prompt = ["--prompt", "x"].map(Path::new);
    let said = lab.bad(
        [Path::new("generate"), Path::new("--model"), &folder]
            .into_iter()
            .chain(prompt),
    );
    assert!(said.contains(&name) && said.contains("damaged"), "{said}");
    assert!(
        lab.bad([Path::new("serve"), Path::new("--dir"), &folder])
            .contains(&name)
    );
}

#[test]
fn a_file_and_its_fragments_say_the_same() {
    let lab = Lab::new();
    let folder = lab.cut_demo();
    let generate = |model: &Path, size: &[&str]| -> Value {
        let mut command = lab.command();
        command
            .args([
                "generate",
                "--prompt",
                "How do I join?",
                "--chat",
                "--json",
                "--model",
            ])
            .arg(model)
            .args(size);
        serde_json::from_slice(&command.output().unwrap().stdout).expect("JSON")
    };
    let (file, fragments) = (
        generate(&demo_model(), &["--fragment-size", "256000"]),
        generate(&folder, &[]),
    );
    assert_eq!(file["tokens"], fragments["tokens"]);
    assert_eq!(file["model"], fragments["model"]);
    assert_eq!(file["finish"], "end");
    assert!(file["text"].as_str().unwrap().len() > 20);
    assert!(file["computed_by"][0]["requests"].as_u64().unwrap() > 100);
}

#[test]
fn the_seed_decides_what_chance_says() {
    let lab = Lab::new();
    let say = |seed: &str| {
        let options = [
            "generate",
            "--prompt",
            "The",
            "--temperature",
            "1.5",
            "--max-tokens",
            "20",
            "--seed",
            seed,
        ];
        lab.good(
            options
                .map(Path::new)
                .into_iter()
                .chain([Path::new("--model"), &demo_model()]),
        )
    };
    assert_eq!(say("1"), say("1"));
    assert_ne!(say("1"), say("2"));
}

#[test]
fn a_conversation_goes_on_from_what_was_said() {
    let lab = Lab::new();
    let input = lab.path("said");
    fs::write(&input, "How do I join?\n\nQu'est-ce qu'un fragment ?\n").unwrap();
    let mut command = lab.command();
    command
        .args(["chat", "--model"])
        .arg(demo_model())
        .stdin(fs::File::open(&input).unwrap());
    let output = command.stderr(Stdio::null()).output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.lines().filter(|line| !line.is_empty()).count(),
        2,
        "{said}"
    );
}

#[test]
fn inspecting_tells_what_a_model_is() {
    let lab = Lab::new();
    let folder = lab.cut_demo();
    let planned = lab.json([Path::new("inspect"), &demo_model(), Path::new("--json")]);
    let cut = lab.json([
        Path::new("inspect"),
        &folder,
        Path::new("--json"),
        Path::new("--fragments"),
    ]);
    assert_eq!(planned["dimensions"], cut["dimensions"]);
    assert_eq!(cut["dimensions"]["experts_used"], 2);
    assert_eq!(
        cut["list"].as_array().unwrap().len() as u64,
        cut["fragments"].as_u64().unwrap()
    );
    assert!(
        cut["list"]
            .as_array()
            .unwrap()
            .iter()
            .all(|fragment| fragment["present"] == true)
    );
    assert!(
        lab.good([Path::new("inspect"), &folder])
            .contains("fragments")
    );
}

#[test]
fn what_is_wrong_is_said_in_words_that_help() {
    let lab = Lab::new();
    let says = |arguments: &[&Path], expected: &str| {
        let said = lab.bad(arguments.iter().copied());
        assert!(said.contains(expected), "{arguments:?} said {said}");
    };
    let p = Path::new;
    let nowhere = lab.path("nowhere.gguf");
    let short = lab.path("short.gguf");
    let bytes = fs::read(demo_model()).unwrap();
    fs::write(&short, &bytes[..bytes.len() / 2]).unwrap();
    let text = lab.path("text.gguf");
    fs::write(&text, "not a model").unwrap();
    let empty = lab.path("empty");
    fs::create_dir(&empty).unwrap();
    let nothing = lab.path("nothing.gguf");
    fs::write(&nothing, "").unwrap();

    says(&[p("cut"), &nowhere, &lab.path("out")], "nowhere.gguf");
    says(&[p("cut"), &short, &lab.path("out")], "short.gguf");
    says(&[p("cut"), &text, &lab.path("out")], "text.gguf");
    let other = lab.path("other.gguf");
    let key = b"general.architecture";
    let at = bytes.windows(key.len()).position(|it| it == key).unwrap();
    let at = at
        + bytes[at..]
            .windows(5)
            .position(|it| it == b"llama")
            .unwrap();
    let mut bytes = bytes;
    bytes[at..at + 5].copy_from_slice(b"mamba");
    fs::write(&other, &bytes).unwrap();
    says(
        &[p("cut"), &other, &lab.path("out")],
        "\"mamba\" is not supported",
    );
    says(
        &[
            p("cut"),
            &demo_model(),
            &lab.path("out"),
            p("--fragment-size"),
            p("1000"),
        ],
        "bytes",
    );
    says(&[p("verify"), &empty], "holds no complete model");
    says(
        &[p("join"), &empty, &lab.path("out.gguf")],
        "holds no complete model",
    );
    for model in [&nowhere, &short, &text, &nothing] {
        let name = model.file_name().unwrap().to_str().unwrap();
        says(
            &[p("generate"), p("--model"), model, p("--prompt"), p("x")],
            name,
        );
        says(&[p("tokenize"), model], name);
        says(&[p("inspect"), model], name);
        says(
            &[
                p("bootstrap"),
                p("--model"),
                model,
                p("--http"),
                p("127.0.0.1:0"),
            ],
            name,
        );
    }
    says(&[p("generate"), p("--prompt"), p("x")], "whom to ask?");
    says(&[p("serve")], "what to hold?");
    says(
        &[
            p("serve"),
            p("--dir"),
            &lab.cut_demo(),
            p("--hold"),
            p("0-2,999"),
        ],
        "no fragment 999",
    );
    says(&[p("bootstrap"), p("--web"), &empty], "index.html");
    let demo = demo_model();
    let logits = [
        p("logits"),
        &demo,
        p("--out"),
        p("/dev/full"),
        p("--tokens"),
    ];
    says(&[&logits[..], &[p("1,2")]].concat(), "/dev/full");
    says(&[&logits[..], &[p("1,99999")]].concat(), "token 99999");
}

#[test]
fn plans_of_real_shapes_fill_their_fragments() {
    let lab = Lab::new();
    for (preset, fragments) in [
        ("magistral-small-2509", 1_450..1_600),
        ("mistral-large-3", 40_000..46_000),
        ("mistral-large-3-q2_k", 20_000..30_000),
    ] {
        let said = lab.good(["inspect", "--plan", "--preset", preset, "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        let number = |value: &Value| value.as_f64().unwrap();
        assert!(
            fragments.contains(&(number(&said["fragments"]) as i64)),
            "{preset}: {}",
            said["fragments"]
        );
        assert!(
            number(&said["fullness"]) >= 80.0,
            "{preset}: {}",
            said["fullness"]
        );
        let plan = &said["plan"];
        let layers = plan["layers"].as_array().unwrap();
        let of_layers: f64 = layers
            .iter()
            .map(|layer| number(&layer["asked"]["requests"]))
            .sum();
        let all =
            number(&plan["always_active"]["requests"]) + number(&plan["conditional"]["requests"]);
        assert!(
            of_layers > 100.0 && of_layers < all,
            "{preset}: {of_layers} of {all}"
        );
        assert!(number(&plan["round_trips"]) >= 2.0 + 3.0 * layers.len() as f64);
        let words = lab.good(["inspect", "--plan", "--preset", preset]);
        assert!(
            words.contains("round trips") && words.contains("always active"),
            "{words}"
        );
    }
    let said = lab.bad(["inspect", "--plan", "--preset", "gpt-5"]);
    assert!(said.contains("magistral-small-2509"), "{said}");
    // A file's own header says the same of it, and a folder.
    let demo = demo_model();
    let folder = lab.cut_demo();
    for model in [&demo, &folder] {
        let said = lab.good([
            Path::new("inspect"),
            Path::new("--plan"),
            Path::new("--json"),
            model,
        ]);
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["plan"]["layers"].as_array().unwrap().len(), 4);
    }
}

#[test]
fn keys_and_values_are_kept_as_asked_for() {
    let lab = Lab::new();
    let say = |options: &[&str]| {
        let mut command = lab.command();
        command
            .args([
                "generate",
                "--prompt",
                "How do I join?",
                "--chat",
                "--max-tokens",
                "30",
            ])
            .arg("--model")
            .arg(demo_model())
            .args(options);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let usual = say(&[]);
    assert!(usual.len() > 20);
    for kind in ["f16", "f32", "q8"] {
        assert_eq!(say(&["--cache", kind]), usual, "{kind}");
    }
    let model = demo_model();
    let short = [
        "generate",
        "--prompt",
        "x",
        "--context",
        "2",
        "--cache",
        "f64",
        "--model",
    ];
    let said = lab.bad(short.map(Path::new).into_iter().chain([model.as_path()]));
    assert!(said.contains("f32, f16 and q8"), "{said}");
}

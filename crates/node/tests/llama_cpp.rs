//! What the program says of a model is what llama.cpp says of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{Lab, demo_model, vector};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

#[test]
fn logits_are_those_of_llama_cpp_in_exact_arithmetic() {
    let lab = Lab::new();
    for name in ["dense", "moe"] {
        let case: Value =
            serde_json::from_slice(&fs::read(vector(&format!("{name}.json"))).unwrap()).unwrap();
        let tokens: Vec<_> = case["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        let out = lab.path("logits.npy");
        let mut command = lab.command();
        command
            .arg("logits")
            .arg(vector(&format!("{name}.gguf")))
            .args(["--exact", "--tokens", &tokens.join(",")]);
        command
            .args(["--fragment-size", "300000"])
            .arg("--out")
            .arg(&out);
        assert!(command.status().unwrap().success());
        let (found, expected) = (npy(&out), npy(&vector(&format!("{name}.exact.npy"))));
        assert_eq!(found.0, expected.0);
        let worst = found
            .1
            .iter()
            .zip(&expected.1)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(worst <= 1e-3, "{name}: {worst}");
    }
}

/// Shape and values of a matrix.
fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[10..end]).into_owned();
    let shape = header
        .split("'shape': ")
        .nth(1)
        .unwrap()
        .split(')')
        .next()
        .unwrap()
        .to_owned();
    (
        shape,
        bytes[end..]
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect(),
    )
}

#[test]
fn texts_become_the_tokens_llama_cpp_makes_of_them() {
    let lab = Lab::new();
    let file = demo_model().with_file_name("vectors/tokenize.json");
    let cases: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    // A process each: some will do, the tokenizer's own tests have them all.
    for case in cases["cases"].as_array().unwrap().iter().step_by(5) {
        let input = lab.path("text");
        fs::write(&input, case["text"].as_str().unwrap()).unwrap();
        let mut command = lab.command();
        command
            .args(["tokenize", "--no-bos"])
            .arg(demo_model())
            .stdin(fs::File::open(&input).unwrap());
        let output = command.output().unwrap();
        let expected: Vec<_> = case["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().trim_end(),
            expected.join(" "),
            "{}",
            case["text"]
        );
    }
}

#[test]
fn perplexity_is_llama_cpp_s_within_half_a_per_cent() {
    let folder = demo_model().parent().unwrap().to_owned();
    let expected = fs::read_to_string(folder.join("vectors/perplexity.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let text = folder.join(expected["text"].as_str().unwrap());
    let lab = Lab::new();
    let model = demo_model();
    let said = lab.good([
        Path::new("perplexity"),
        &model,
        Path::new("--file"),
        &text,
        Path::new("--json"),
    ]);
    let said: Value = serde_json::from_str(&said).unwrap();
    for same in ["tokens", "window", "counted"] {
        assert_eq!(said[same], expected[same], "{same}");
    }
    assert!(said["tokens"].as_u64().unwrap() >= 2000);
    let [said, expected] = [&said, &expected].map(|value| value["perplexity"].as_f64().unwrap());
    println!("{said} by this program, {expected} by llama.cpp");
    assert!((said / expected - 1.0).abs() < 0.005, "{said}, {expected}");
}

/// The files are too large for the repository: `IAP2P_GOLDEN` names the folder that has them in `vocab`.
#[test]
fn real_vocabularies_make_llama_cpp_s_tokens_of_its_own_test_texts() {
    let Some(folder) = std::env::var_os("IAP2P_GOLDEN") else {
        println!("skipped: IAP2P_GOLDEN is not set");
        return;
    };
    let folder = Path::new(&folder).join("vocab");
    let lab = Lab::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let model = entry.unwrap().path();
        let name = model.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".gguf") {
            continue;
        }
        let read = |end| fs::read_to_string(folder.join(format!("{name}.{end}"))).unwrap();
        let (texts, expected) = (read("inp"), read("out"));
        let texts: Vec<_> = texts.split_terminator("\n__ggml_vocab_test__\n").collect();
        assert_eq!(texts.len(), expected.lines().count());
        for (text, expected) in texts.iter().zip(expected.lines()) {
            let mut command = lab.command();
            command.args(["tokenize", "--no-bos"]).arg(&model);
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            let said = child.wait_with_output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            assert_eq!(said.trim(), expected.trim(), "{name}: {text:?}");
        }
        println!("{name}: {} texts", texts.len());
    }
}

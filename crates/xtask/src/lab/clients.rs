//! OpenAI's own clients for Python and JavaScript, unchanged, talk with a node.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{
    paths,
    setup::{self, npm},
    shell::{self, Shell},
    steps::Tally,
};

const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
const TOKENS: u32 = 24;
const KEY: &str = "a-key-of-the-laboratory";

/// A node that is stopped when this is dropped.
struct Node {
    child: Child,
    url: String,
    /// It ends when nobody hears what it says.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Node {
    fn start(shell: &Shell, program: &Path, model: &Path, keys: &Path) -> Result<Self> {
        let mut command = shell.command(program);
        command.arg("api").arg("--model").arg(model);
        command.arg("--api-keys").arg(keys);
        command.args(["--api", "127.0.0.1:0", "--json-events"]);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        while let Some(line) = lines.next().transpose()? {
            let event: Value = serde_json::from_str(&line)?;
            if let Some(url) = event["url"].as_str() {
                return Ok(Self {
                    child,
                    url: url.to_owned(),
                    _lines: lines,
                });
            }
        }
        anyhow::bail!("the node has ended before it answers programs")
    }
}

/// Has both talk with `program`; each line that they print is something that works.
pub(crate) fn check(shell: &Shell, program: &Path) -> Result<Tally> {
    let packages = npm::packages(shell, "clients", &["client.js"])?;
    let model = paths::root().join("crates/demo-model/demo.gguf");
    let keys = packages.join("keys");
    fs::write(&keys, format!("{KEY} # of this test\n"))?;
    let node = Node::start(shell, program, &model, &keys)?;
    let expected = expected(shell, program, &model)?.to_string();

    let mut python = shell.command(setup::python_with("openai")?);
    python.arg(paths::root().join("tests/clients/client.py"));
    let mut javascript = shell.command("node");
    javascript.current_dir(&packages).arg("client.js");
    let mut tally = Tally::default();
    for (language, client) in [("Python", python), ("JavaScript", javascript)] {
        println!("      OpenAI's client for {language}:");
        tally += talk(client, &[&node.url, KEY, &expected])?;
    }
    Ok(tally)
}

/// What the node says by its own command line.
fn expected(shell: &Shell, program: &Path, model: &Path) -> Result<Value> {
    let mut generate = shell.command(program);
    generate.arg("generate").arg("--model").arg(model);
    generate.args(["--chat", "--json", "--prompt", QUESTION]);
    generate.args(["--max-tokens", &TOKENS.to_string()]);
    let output = generate.stderr(Stdio::inherit()).output()?;
    ensure!(
        output.status.success(),
        "the node does not answer by itself"
    );
    let told: Value = serde_json::from_slice(&output.stdout)?;
    Ok(json!({
        "model": "Inference-IA-P2P-demo",
        "question": QUESTION,
        "tokens": TOKENS,
        "answer": told["text"],
        "finish": if told["finish"] == "end" { "stop" } else { "length" },
    }))
}

fn talk(mut client: Command, arguments: &[&str]) -> Result<Tally> {
    client.args(arguments).stdout(Stdio::piped());
    let mut child = client.spawn().context("the client does not start")?;
    let lines = child.stdout.take().context("no standard output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(lines).lines() {
        println!("        {}", line?);
        tally += Tally::ONE;
    }
    if !child.wait()?.success() {
        tally.failed += 1;
    }
    Ok(tally)
}

/// `cargo xtask lab clients`.
pub(crate) fn run() -> Result<()> {
    let shell = setup::prepare(setup::Purpose::Test)?;
    shell::run(&mut shell.cargo(&["build", "--release", "-p", "node"]))?;
    let tally = check(&shell, &paths::target().join("release/iap2p"))?;
    println!("{} passed, {} failed", tally.passed, tally.failed);
    ensure!(tally.failed == 0, "a client is not content");
    Ok(())
}

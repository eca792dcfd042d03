//! What people do in a terminal, in a real one: a pseudo-terminal that `script` opens.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use common::{Lab, PATIENCE, demo_model};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Instant;

const QUESTION: &str = "Qu'est-ce qu'un fragment ?";

/// The program in a terminal of its own.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn open(lab: &Lab, arguments: &[&str]) -> Self {
        let program = lab.command();
        let quoted = |word: &str| format!("'{word}'");
        let mut line = quoted(program.get_program().to_str().unwrap());
        for word in arguments {
            line += &format!(" {}", quoted(word));
        }
        let mut script = std::process::Command::new("script");
        script.args(["-q", "-e", "-c", &line, "/dev/null"]);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = script.spawn().expect("script is part of every Debian");
        let mut out = child.stdout.take().unwrap();
        let (sender, screen) = sync_channel(10_000);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            keyboard: child.stdin.take().unwrap(),
            child,
            screen,
            seen: String::new(),
        }
    }

    /// Waits until something is on the screen that was not there when this was last asked.
    fn shows(&mut self, what: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(what) {
                self.seen.drain(..at + what.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            let more = self.screen.recv_timeout(left);
            let more = more.unwrap_or_else(|_| panic!("no {what:?} in {:?}", self.seen));
            self.seen += &String::from_utf8_lossy(&more);
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    fn ends(mut self) {
        drop(self.keyboard);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn what_was_typed_is_brought_back_by_the_arrow_keys_of_a_later_conversation() {
    let lab = Lab::new();
    let model = demo_model();
    let arguments = [
        "chat",
        "--max-tokens",
        "8",
        "--model",
        model.to_str().unwrap(),
    ];
    let mut terminal = Terminal::open(&lab, &arguments);
    terminal.shows("> ");
    terminal.types(&format!("{QUESTION}\r"));
    terminal.shows("tokens/s");
    terminal.shows("> ");
    terminal.types("/again\r");
    terminal.shows("tokens/s");
    terminal.shows("> ");
    terminal.types("/help\r");
    terminal.shows("/save FILE");
    terminal.shows("> ");
    terminal.types("/quit\r");
    terminal.ends();

    let mut terminal = Terminal::open(&lab, &arguments);
    terminal.shows("> ");
    // Over the commands to the question.
    terminal.types("\u{1b}[A\u{1b}[A\u{1b}[A\u{1b}[A");
    terminal.shows(QUESTION);
    terminal.types("\r");
    terminal.shows("tokens/s");
    terminal.shows("> ");
    terminal.types("\u{4}");
    terminal.ends();
}

#[test]
fn a_node_is_watched() {
    let lab = Lab::new();
    let folder = lab.cut_demo();
    let listen = ["--listen", "/ip4/127.0.0.1/tcp/0"];
    let mut node = lab.start(
        ["serve", "--dir", folder.to_str().unwrap()]
            .iter()
            .chain(&listen),
    );
    node.wait_until_ready();
    let mut terminal = Terminal::open(&lab, &["status", "--watch=1"]);
    terminal.shows("running for");
    terminal.shows("a second: answered 0.0 requests");
    terminal.types("\u{3}");
    drop(terminal.keyboard);
    terminal.child.wait().unwrap();
}

//! The program `iap2p` as its users have it: real processes, spoken to through their standard streams.

#![allow(dead_code, reason = "every test file uses another part")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// So long may a busy machine take for anything at all.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn demo_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo-model/demo.gguf")
}

pub(crate) fn vector(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/vectors")
        .join(name)
}

/// A folder that disappears, with the program in it.
pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, with keys of its own.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_iap2p"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("IAP2P_") {
                command.env_remove(name);
            }
        }
        command
            .env("XDG_DATA_HOME", self.path("data"))
            .env("HOME", self.folder.path());
        command
    }

    pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        self.command()
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }

    /// Runs the program, which must succeed; its output.
    pub(crate) fn good<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs the program, which must fail, in one message and without panic; what it said.
    pub(crate) fn bad<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "it should have failed");
        assert!(
            said.starts_with("error: ") && !said.contains("panicked"),
            "{said}"
        );
        said
    }

    pub(crate) fn json<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Value {
        serde_json::from_str(&self.good(arguments)).expect("JSON")
    }

    /// The demo model cut into small fragments.
    pub(crate) fn cut_demo(&self) -> PathBuf {
        self.cut(&demo_model(), "256000")
    }

    pub(crate) fn cut(&self, model: &Path, size: &str) -> PathBuf {
        let folder = self.path("fragments");
        self.good([
            Path::new("cut"),
            model,
            &folder,
            Path::new("--fragment-size"),
            Path::new(size),
        ]);
        folder
    }

    /// Starts a node that fetches so many fragments of a model into a folder, from whoever is found through `entry`.
    pub(crate) fn fetch(&self, model: &str, store: &Path, count: &str, entry: &str) -> Node {
        self.start([
            "serve",
            "--model",
            model,
            "--store",
            store.to_str().expect("UTF-8"),
            "--count",
            count,
            "--bootstrap",
            entry,
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
        ])
    }

    /// Starts a node that tells its events as JSON.
    pub(crate) fn start<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Node {
        let mut command = self.command();
        command
            .args(arguments)
            .arg("--json-events")
            .stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, events) = sync_channel(1000);
        let out = BufReader::new(child.stdout.take().expect("piped"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).expect("a JSON event");
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let mut err = child.stderr.take().expect("piped");
        std::thread::spawn(move || {
            let mut said = String::new();
            _ = err.read_to_string(&mut said);
            eprint!("{said}");
        });
        Node {
            child,
            events,
            seen: Vec::new(),
        }
    }
}

/// A program that asks a node over HTTP: where it is, and its key.
pub(crate) struct Caller {
    url: String,
    key: Option<&'static str>,
    agent: ureq::Agent,
}

impl Caller {
    pub(crate) fn new(url: &str, key: Option<&'static str>) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        Self {
            url: url.to_owned(),
            key,
            agent: config.build().into(),
        }
    }

    fn with_key<B>(&self, mut request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        if let Some(key) = self.key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        request
    }

    /// The status and what was said.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut answer = self.with_key(request).call().expect("the node answers");
        let text = answer.body_mut().read_to_string().expect("text");
        (answer.status().as_u16(), text)
    }

    /// The same as it comes.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, impl BufRead + use<>) {
        let request = self.agent.post(format!("{}{path}", self.url));
        let answer = self.with_key(request).send_json(body);
        let answer = answer.expect("the node answers");
        let status = answer.status().as_u16();
        (status, BufReader::new(answer.into_body().into_reader()))
    }

    pub(crate) fn ask(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, reader) = self.post(path, body);
        (status, serde_json::from_reader(reader).expect("JSON"))
    }

    /// What a stream says, event by event.
    pub(crate) fn events(&self, path: &str, body: &Value) -> Vec<String> {
        let (status, reader) = self.post(path, body);
        assert_eq!(status, 200);
        let lines = reader.lines().map(|line| line.expect("text"));
        let data = lines.filter_map(|line| Some(line.strip_prefix("data: ")?.to_owned()));
        data.collect()
    }
}

/// A running node; killed when dropped.
pub(crate) struct Node {
    child: Child,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Node {
    /// Waits for an event for which `pick` gives something.
    pub(crate) fn wait_for<T>(&mut self, what: &str, pick: impl Fn(&Value) -> Option<T>) -> T {
        if let Some(found) = self.seen.iter().find_map(&pick) {
            return found;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|_| panic!("no {what}; there was {:?}", self.seen));
            let found = pick(&event);
            self.seen.push(event);
            if let Some(found) = found {
                return found;
            }
        }
    }

    pub(crate) fn wait_until_ready(&mut self) {
        self.wait_for("readiness", |event| {
            (event["event"] == "ready").then_some(())
        });
    }

    /// An address it listens on that contains `what`.
    pub(crate) fn address(&mut self, what: &str) -> String {
        self.wait_for("address", |event| {
            let address = event["address"]
                .as_str()
                .filter(|_| event["event"] == "listening")?;
            address.contains(what).then(|| address.to_owned())
        })
    }

    /// Where programs are answered.
    pub(crate) fn api(&mut self) -> String {
        self.wait_for("API", |event| {
            let url = event["url"].as_str().filter(|_| event["event"] == "api")?;
            Some(url.to_owned())
        })
    }

    pub(crate) fn peer(&mut self) -> String {
        self.wait_for("identity", |event| Some(event["peer"].as_str()?.to_owned()))
    }

    /// Takes it away without a goodbye.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Stops it without ending it, as a laptop that sleeps: its connections stay open.
    pub(crate) fn freeze(&mut self) {
        let id = self.child.id().to_string();
        Command::new("kill")
            .args(["-STOP", &id])
            .status()
            .expect("kill runs");
    }

    /// All that was told and waited through.
    pub(crate) fn seen(&self) -> &[Value] {
        &self.seen
    }

    /// Asks it politely to stop; its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .expect("kill runs");
        self.child.wait().expect("it ends").code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

//! `iap2p` processes, and where the built things are.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::until;

/// The built page, as `cargo xtask web` leaves it.
pub fn dist() -> Result<PathBuf> {
    let dist = env::var_os("IAP2P_DIST").map_or_else(|| root().join("dist"), PathBuf::from);
    ensure!(
        dist.join("index.html").is_file(),
        "no page in {}: run `cargo xtask web` first",
        dist.display()
    );
    Ok(dist)
}

/// The demo model.
pub fn model() -> Result<PathBuf> {
    let file = root().join("crates/demo-model/demo.gguf");
    ensure!(file.is_file(), "{} is missing", file.display());
    Ok(file)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// The native program, built by `cargo build -p node` into the folder this test was built into, or named by `IAP2P`.
pub struct Program(PathBuf);

impl Program {
    /// Finds it.
    pub fn find() -> Result<Self> {
        let beside = env::current_exe()?
            .ancestors()
            .nth(2)
            .map(|folder| folder.join("iap2p"));
        let file = env::var_os("IAP2P")
            .map(PathBuf::from)
            .or(beside)
            .context("no place to look for iap2p")?;
        ensure!(
            file.is_file(),
            "no program in {}: run `cargo build -p node` first",
            file.display()
        );
        Ok(Self(file))
    }

    /// Runs it to its end and returns what it wrote to its standard output.
    pub fn run<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let output = Command::new(&self.0)
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "iap2p failed ({}): {errors}",
            output.status
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts it as a node with a key and a data folder of its own and waits for the line of JSON with which it says
    /// that it is ready.
    pub fn start<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Node> {
        let folder = tempfile::Builder::new().prefix("iap2p-node-").tempdir()?;
        let log = folder.path().join("stderr");
        let mut command = bound_to_us(&self.0);
        command
            .args(arguments)
            .env("IAP2P_DATA", folder.path().join("data"))
            .stdin(Stdio::null());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(File::create(log)?)
            .spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                sink.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
            }
        });
        let mut node = Node {
            child,
            lines,
            folder,
            ready: Value::Null,
        };
        node.ready = until("the node is ready", || node.announced())?;
        Ok(node)
    }
}

/// A running node. Dropping it kills it, with no farewell to its peers.
pub struct Node {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    folder: TempDir,
    /// What it said about itself when it was ready.
    pub ready: Value,
}

impl Node {
    fn announced(&mut self) -> Result<Option<Value>> {
        let lines = self
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let ready = lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(Value::is_object);
        if ready.is_none()
            && let Some(status) = self.child.try_wait()?
        {
            bail!("the node could not start ({status}): {}", self.log());
        }
        Ok(ready)
    }

    /// What it wrote to its standard error.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the node's log:\n{}", self.log());
        }
    }
}

/// A command whose process is killed by the kernel when ours ends, however that happens.
pub(crate) fn bound_to_us(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

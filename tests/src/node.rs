//! `iap2p` processes, and where the built things are.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{lab::Host, until};

/// Of the demo model: small, so that there are many.
pub const FRAGMENT_SIZE: &str = "131072";

/// The built page, as `cargo xtask web` leaves it.
pub fn dist() -> Result<PathBuf> {
    built("IAP2P_DIST", "dist", "cargo xtask web")
}

/// A folder with a page that a command builds; a variable may name another.
pub(crate) fn built(variable: &str, folder: &str, command: &str) -> Result<PathBuf> {
    let folder = env::var_os(variable).map_or_else(|| root().join(folder), PathBuf::from);
    ensure!(
        folder.join("index.html").is_file(),
        "no page in {}: run `{command}` first",
        folder.display()
    );
    Ok(folder)
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
#[derive(Clone)]
pub struct Program {
    file: PathBuf,
    /// The network it runs in, if it is not ours.
    network: Option<PathBuf>,
}

impl Program {
    /// Finds it.
    pub fn find() -> Result<Self> {
        // Tests are in a folder of their own within that.
        let beside = env::current_exe()?
            .ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join("iap2p"))
            .find(|file| file.is_file());
        let file = env::var_os("IAP2P")
            .map(PathBuf::from)
            .or(beside)
            .context("no program iap2p beside this one: run `cargo build -p node` first")?;
        ensure!(
            file.is_file(),
            "no program in {}: run `cargo build -p node` first",
            file.display()
        );
        Ok(Self {
            file,
            network: None,
        })
    }

    /// The same on another machine.
    #[must_use]
    pub fn at(&self, host: &Host) -> Self {
        Self {
            network: Some(host.namespace()),
            ..self.clone()
        }
    }

    fn command(&self) -> Command {
        bound_to_us_at(&self.file, self.network.as_deref())
    }

    /// Runs it to its end and returns what it wrote to its standard output.
    pub fn run(&self, arguments: &[&dyn AsRef<OsStr>]) -> Result<String> {
        Ok(self.run_and_log(arguments)?.0)
    }

    /// The same with what it wrote to its standard error.
    pub fn run_and_log(&self, arguments: &[&dyn AsRef<OsStr>]) -> Result<(String, String)> {
        let output = self
            .command()
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(Stdio::null())
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "iap2p failed ({}): {errors}",
            output.status
        );
        Ok((String::from_utf8(output.stdout)?, errors))
    }

    /// Runs it to its end and hands on each line that it writes to its standard output, as JSON, when it does.
    pub fn follow(
        &self,
        arguments: &[&dyn AsRef<OsStr>],
        mut heard: impl FnMut(Value) -> Result<()>,
    ) -> Result<()> {
        let mut command = self.command();
        command.args(arguments.iter().map(AsRef::as_ref));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let mut lines = BufReader::new(out).lines();
        let outcome = lines.try_for_each(|line| heard(serde_json::from_str(&line?)?));
        if outcome.is_err() {
            let _ = child.kill();
        }
        let status = child.wait()?;
        outcome?;
        ensure!(status.success(), "iap2p failed ({status})");
        Ok(())
    }

    /// Cuts the demo model into a folder, into enough fragments to share out.
    pub fn cut_demo(&self, folder: &Path) -> Result<()> {
        self.run(&[
            &"cut",
            &model()?,
            &folder,
            &"--fragment-size",
            &FRAGMENT_SIZE,
        ])?;
        Ok(())
    }

    /// Starts it as a node with that key and waits until it says that it is ready.
    pub fn start(&self, key: &Path, arguments: &[&dyn AsRef<OsStr>]) -> Result<Node> {
        let folder = tempfile::Builder::new().prefix("iap2p-node-").tempdir()?;
        let mut command = self.command();
        command
            .args(arguments.iter().map(AsRef::as_ref))
            .arg("--key")
            .arg(key)
            .arg("--json-events");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("stderr"))?);
        let mut child = command.spawn()?;
        let out = child.stdout.take().context("no standard output")?;
        let events = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&events);
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Ok(event) = serde_json::from_str(&line) {
                    sink.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(event);
                }
            }
        });
        let node = Node {
            child: Mutex::new(child),
            events,
            folder,
        };
        node.told("ready")?;
        Ok(node)
    }
}

/// A running node. Dropping it kills it, with no farewell to its peers.
pub struct Node {
    child: Mutex<Child>,
    events: Arc<Mutex<Vec<Value>>>,
    folder: TempDir,
}

impl Node {
    /// Waits until it tells of an event of that kind.
    pub fn told(&self, kind: &str) -> Result<Value> {
        self.told_where(kind, |_| true)
    }

    /// Waits until it tells of such an event of that kind.
    pub fn told_where(&self, kind: &str, such: impl Fn(&Value) -> bool) -> Result<Value> {
        until(&format!("the node tells: {kind}"), || {
            let events = self
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let event = events
                .into_iter()
                .find(|event| event["event"] == kind && such(event));
            let ended = self
                .child
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .try_wait()?;
            match (event, ended) {
                (None, Some(status)) => bail!("the node has ended ({status})"),
                (event, _) => Ok(event),
            }
        })
        .with_context(|| self.log())
    }

    /// Its name in the network.
    pub fn peer_id(&self) -> Result<String> {
        Ok(self.told("identity")?["peer"]
            .as_str()
            .context("no text")?
            .to_owned())
    }

    /// Where browsers reach it.
    pub fn websocket(&self) -> Result<String> {
        self.listens(|address| address.starts_with("/ip4/") && address.contains("/ws"))
    }

    /// Waits until it is reached at such an address.
    pub fn listens(&self, at: impl Fn(&str) -> bool) -> Result<String> {
        let event = self.told_where("listening", |event| {
            event["address"].as_str().is_some_and(&at)
        })?;
        Ok(event["address"].as_str().context("no text")?.to_owned())
    }

    /// The number of its process.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .id()
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(&self) -> Result<()> {
        let process = Pid::from_raw(self.process().try_into()?);
        kill(process, Signal::SIGTERM)?;
        until("the node has ended", || {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(child.try_wait()?.map(drop))
        })
    }

    /// Has it do nothing any more. Its connections stay, and nobody is told.
    pub fn freeze(&self) -> Result<()> {
        Ok(kill(
            Pid::from_raw(self.process().try_into()?),
            Signal::SIGSTOP,
        )?)
    }

    /// Kills it, with no farewell to its peers.
    pub fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }

    /// What it wrote to its standard error.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The same in another network namespace, if one is named.
pub(crate) fn bound_to_us_at(program: impl AsRef<OsStr>, network: Option<&Path>) -> Command {
    let Some(network) = network else {
        return bound_to_us(program);
    };
    let mut command = bound_to_us("nsenter");
    command.arg(format!("--net={}", network.display()));
    command.arg("--").arg(program);
    command
}

/// A command whose process is killed by the kernel when ours ends, however that happens.
pub(crate) fn bound_to_us(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

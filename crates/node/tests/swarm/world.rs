//! A network of processes.

use crate::common::{Lab, Node};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub(crate) const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
pub(crate) const LOCAL: [&str; 2] = ["--listen", "/ip4/127.0.0.1/tcp/0"];

/// A model in fragments and an entry that offers them and computes nothing.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) folder: PathBuf,
    pub(crate) entry: Node,
    pub(crate) address: String,
    pub(crate) model: String,
    pub(crate) fragments: u32,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::of(Lab::cut_demo)
    }

    /// Of a model that is cut so.
    pub(crate) fn of(cut: impl FnOnce(&Lab) -> PathBuf) -> Self {
        let lab = Lab::new();
        let folder = cut(&lab);
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
    pub(crate) fn worker(&self, holds: impl Fn(u32) -> bool) -> Node {
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

    /// The fragments that only some tokens need.
    pub(crate) fn conditional(&self) -> Vec<u32> {
        let folder = self.folder.to_str().unwrap();
        let told = self.lab.json(["inspect", "--fragments", "--json", folder]);
        let fragments = told["list"].as_array().unwrap().iter();
        fragments
            .filter(|fragment| fragment["class"] == "conditional")
            .map(|fragment| fragment["index"].as_u64().unwrap() as u32)
            .collect()
    }

    pub(crate) fn generate(&self, more: &[&str]) -> Value {
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
    pub(crate) fn disturbed(&self, more: &[&str], disturb: impl FnOnce()) -> Duration {
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
    pub(crate) fn expected(&self, more: &[&str]) -> Value {
        let folder = self.folder.to_str().unwrap();
        let arguments = [
            "generate", "--prompt", QUESTION, "--chat", "--json", "--model", folder,
        ];
        self.lab
            .json(arguments.into_iter().chain(more.iter().copied()))
    }
}

/// Those who have computed something, by a report.
pub(crate) fn computers(report: &Value) -> BTreeSet<String> {
    let shares = report["computed_by"].as_array().unwrap();
    shares
        .iter()
        .map(|share| share["peer"].as_str().unwrap().to_owned())
        .collect()
}

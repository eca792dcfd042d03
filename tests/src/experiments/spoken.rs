//! An answer of some tokens, and when each of them came.

use std::{ffi::OsStr, time::Duration};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Network, Program};

const QUESTION: &str = "Qu'est-ce qu'un fragment ?";

/// What somebody said.
#[derive(Debug, Default)]
pub(crate) struct Spoken {
    pub(crate) tokens: Value,
    /// When each token came, since the question.
    pub(crate) times: Vec<Duration>,
    /// What each was predicted to take, since the one before.
    pub(crate) predicted: Vec<Option<Duration>>,
    /// Who was to run layers for the one after each.
    pub(crate) planned: Vec<Vec<String>>,
    /// All that was reported in the end.
    pub(crate) report: Value,
}

impl Spoken {
    /// What each token took, but the first.
    pub(crate) fn gaps(&self) -> Vec<Duration> {
        self.times.windows(2).map(|two| two[1] - two[0]).collect()
    }

    /// A number of the report.
    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        self.report[name].as_u64().context("no number")
    }

    /// The names of those who were to run layers after so many tokens.
    pub(crate) fn runners_at(&self, tokens: usize) -> &[String] {
        self.planned.get(tokens).map_or(&[], Vec::as_slice)
    }

    /// The names of those who ran layers at last, one after the other.
    pub(crate) fn runners(&self) -> Vec<String> {
        let way = self.report["way"].as_array().into_iter().flatten();
        way.filter_map(|leg| leg["peer"].as_str().map(str::to_owned))
            .collect()
    }
}

/// Of which nothing but so many tokens is an answer.
fn question(tokens: &dyn AsRef<OsStr>) -> Vec<&dyn AsRef<OsStr>> {
    let mut arguments: Vec<&dyn AsRef<OsStr>> = vec![&"generate", &"--prompt", &QUESTION];
    arguments.extend([
        &"--ignore-end" as &dyn AsRef<OsStr>,
        &"--max-tokens",
        tokens,
    ]);
    arguments
}

/// What one process says that has all fragments.
pub(crate) fn alone(network: &Network, tokens: u32) -> Result<Value> {
    let (folder, tokens) = (network.folder(), tokens.to_string());
    let mut arguments = question(&tokens);
    arguments.extend([&"--json" as &dyn AsRef<OsStr>, &"--model", &folder]);
    let report: Value = serde_json::from_str(&network.program().run(&arguments)?)?;
    Ok(report["tokens"].clone())
}

/// What a new process says that asks the network by way of this node; `after` hears of each token, and of who runs layers for
/// the next.
pub(crate) fn ask(
    program: &Program,
    node: &str,
    tokens: u32,
    more: &[&dyn AsRef<OsStr>],
    mut after: impl FnMut(usize, &[Value]) -> Result<()>,
) -> Result<Spoken> {
    let tokens = tokens.to_string();
    let mut arguments = question(&tokens);
    arguments.extend([&"--json-events" as &dyn AsRef<OsStr>, &"--peer", &node]);
    arguments.extend(more);
    let mut spoken = Spoken::default();
    program.follow(&arguments, |line| {
        if line.get("token").is_some() {
            let seconds = |name: &str| line[name].as_f64().map(Duration::from_secs_f64);
            spoken.times.push(seconds("seconds").context("no time")?);
            spoken.predicted.push(seconds("predicted_seconds"));
            let runners = line["runners"].as_array().context("no list of runners")?;
            let names = runners.iter().filter_map(Value::as_str);
            spoken.planned.push(names.map(str::to_owned).collect());
            after(spoken.times.len(), runners)?;
        } else {
            spoken.tokens = line["tokens"].clone();
            spoken.report = line;
        }
        Ok(())
    })?;
    Ok(spoken)
}

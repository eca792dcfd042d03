//! The DevTools protocol over Chromium's debugging pipe: JSON messages, each ended by a zero byte.

use std::{
    collections::{HashMap, VecDeque},
    io::{BufRead, BufReader, Write},
    process::{ChildStdin, ChildStdout},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long the browser may take to answer one call. Evaluating an expression can wait for a promise of the page.
const CALL_PATIENCE: Duration = Duration::from_secs(120);

/// So many lines of console are kept for the message of a failing test.
const CONSOLE_LINES: usize = 200;

/// Both directions of the pipe. Calls may come from several threads; one thread reads ([`Pipe::read`]).
pub(crate) struct Pipe {
    to: Mutex<ChildStdin>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: u64,
    answers: HashMap<u64, Value>,
    console: VecDeque<String>,
    exceptions: Vec<String>,
    closed: bool,
}

impl Pipe {
    pub(crate) fn new(to: ChildStdin) -> Self {
        Self {
            to: Mutex::new(to),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads messages until the browser closes the pipe.
    pub(crate) fn read(&self, from: ChildStdout) {
        let mut from = BufReader::new(from);
        let mut frame = Vec::new();
        while from
            .read_until(0, &mut frame)
            .is_ok_and(|length| length > 0)
        {
            frame.pop();
            if let Ok(message) = serde_json::from_slice(&frame) {
                self.receive(message);
            }
            frame.clear();
        }
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn receive(&self, mut message: Value) {
        if let Some(id) = message["id"].as_u64() {
            self.state().answers.insert(id, message);
            self.changed.notify_all();
            return;
        }
        let parameters = message["params"].take();
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                let details = &parameters["exceptionDetails"];
                let text = details["exception"]["description"]
                    .as_str()
                    .or(details["text"].as_str());
                self.state()
                    .exceptions
                    .push(text.unwrap_or("an exception without a text").to_owned());
            }
            Some("Runtime.consoleAPICalled") => {
                let words = parameters["args"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(plain);
                self.console_line(&parameters["type"], &words.collect::<Vec<_>>().join(" "));
            }
            Some("Log.entryAdded") => {
                let entry = &parameters["entry"];
                let text = format!("{} {}", plain(&entry["text"]), plain(&entry["url"]));
                self.console_line(&entry["level"], &text);
            }
            // A worker of a page: it has a console and exceptions of its own.
            Some("Target.attachedToTarget") => {
                if let Some(session) = parameters["sessionId"].as_str() {
                    let _ = self.send(Some(session), "Runtime.enable", json!({}));
                }
            }
            _ => {}
        }
    }

    fn console_line(&self, level: &Value, text: &str) {
        let mut state = self.state();
        if state.console.len() == CONSOLE_LINES {
            state.console.pop_front();
        }
        state
            .console
            .push_back(format!("{}: {text}", level.as_str().unwrap_or("log")));
    }

    /// What the pages wrote to their consoles, newest last.
    pub(crate) fn console(&self) -> String {
        self.state()
            .console
            .iter()
            .map(|line| format!("\n    {line}"))
            .collect()
    }

    /// Takes the exceptions that no page and no worker caught.
    pub(crate) fn take_exceptions(&self) -> Vec<String> {
        std::mem::take(&mut self.state().exceptions)
    }

    /// Calls a method and waits for its result.
    pub(crate) fn call(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: Value,
    ) -> Result<Value> {
        let id = self.send(session, method, parameters)?;
        let deadline = Instant::now() + CALL_PATIENCE;
        let mut state = self.state();
        loop {
            if let Some(mut answer) = state.answers.remove(&id) {
                return match answer.get("error") {
                    Some(error) => bail!("{method}: {}", plain(&error["message"])),
                    None => Ok(answer["result"].take()),
                };
            }
            if state.closed {
                bail!("{method}: the browser is gone");
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!(
                    "{method}: no answer from the browser after {} s",
                    CALL_PATIENCE.as_secs()
                );
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn send(&self, session: Option<&str>, method: &str, parameters: Value) -> Result<u64> {
        let id = {
            let mut state = self.state();
            state.next += 1;
            state.next
        };
        let mut message = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        let mut bytes = serde_json::to_vec(&message)?;
        bytes.push(0);
        self.to
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&bytes)
            .context("the browser is gone")?;
        Ok(id)
    }
}

/// A value of JavaScript as it would be printed.
fn plain(value: &Value) -> String {
    let value = value
        .get("value")
        .or(value.get("description"))
        .unwrap_or(value);
    value.as_str().map_or_else(
        || {
            if value.is_null() {
                String::new()
            } else {
                value.to_string()
            }
        },
        str::to_owned,
    )
}

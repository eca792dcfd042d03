//! Starting other programs, saying so.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{BufRead, BufReader, IsTerminal, Read},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};

use crate::{paths, steps::Tally};

/// Where the tools are that [`crate::setup`] has prepared; every program is started through it.
pub(crate) struct Shell {
    path: OsString,
}

impl Shell {
    /// Programs in `folders` come before those of the same name elsewhere.
    pub(crate) fn with_tools(
        folders: impl IntoIterator<Item = std::path::PathBuf>,
    ) -> Result<Self> {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(folders.into_iter().chain(env::split_paths(&inherited)))?;
        Ok(Self { path })
    }

    /// A command that runs in the root of the repository, in a clean environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(paths::root()).env("PATH", &self.path);
        // What `cargo run` told *this* program is not for the next cargo: build scripts that watch these variables
        // (ring's does) would be run again at each change between `cargo xtask` and a plain `cargo`.
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if [
                "CARGO_PKG_",
                "CARGO_MANIFEST_",
                "CARGO_BIN_",
                "CARGO_CRATE_",
            ]
            .iter()
            .any(|start| text.starts_with(start))
            {
                command.env_remove(&name);
            }
        }
        command
    }

    /// `cargo` in the root of the repository.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("cargo");
        command.args(arguments);
        command
    }
}

/// Runs a command to its end; failing is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    say(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", name(command));
    }
    Ok(())
}

/// Runs a command that runs tests, shows its output and counts the tests that it reports.
pub(crate) fn run_tests(command: &mut Command) -> Result<Tally> {
    say(command);
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", name(command)))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let watch_err = thread::spawn(move || {
        err.map_or(Ok(Tally::default()), |stream| {
            show_and_count(stream, |line| eprintln!("{line}"))
        })
    });
    let mut tally = out.map_or(Ok(Tally::default()), |stream| {
        show_and_count(stream, |line| println!("{line}"))
    })?;
    match watch_err.join() {
        Ok(counted) => tally += counted?,
        Err(_) => bail!(
            "the thread that read the output of {} panicked",
            name(command)
        ),
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == 0 {
        tally.failed = 1; // it did not even get to its tests
    }
    Ok(tally)
}

fn show_and_count(stream: impl Read, show: impl Fn(&str)) -> Result<Tally> {
    let mut tally = Tally::default();
    for line in BufReader::new(stream).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        show(&line);
        tally += Tally::from_report(&line);
    }
    Ok(tally)
}

/// Says which command is about to be started.
pub(crate) fn say(command: &Command) {
    let words: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    println!("      $ {} {}", name(command), words.join(" "));
}

fn name(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned()
}

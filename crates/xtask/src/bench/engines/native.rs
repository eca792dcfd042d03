//! Beside llama.cpp, as the operating system's processes.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{
    Options, XLLAMACPP,
    speed::{Engine, Place, Row, Speed},
};
use crate::{
    paths,
    shell::{self, Shell},
};

const THREADS: [u32; 2] = [1, 2];

/// How often an engine reads and answers each time that it is started.
const REPETITIONS: &str = "3";

/// Both engines, built and installed.
pub(super) struct Bench {
    engine: PathBuf,
    /// A Python with llama.cpp.
    python: PathBuf,
}

impl Bench {
    pub(super) fn prepare(shell: &Shell, folder: &Path) -> Result<Self> {
        shell::run(&mut shell.cargo(&[
            "build",
            "--locked",
            "--release",
            "--package",
            "inference",
            "--features",
            "threads",
            "--example",
            "engine",
        ]))?;
        let engine = paths::target().join("release/examples/engine");
        let venv = folder.join(format!("xllamacpp-{XLLAMACPP}"));
        let python = venv.join("bin/python");
        if !python.is_file() {
            let mut create = shell.command("python3");
            shell::run(create.args(["-m", "venv", "--clear"]).arg(&venv))?;
            let package = format!("xllamacpp=={XLLAMACPP}");
            let mut pip = shell.command(&python);
            shell::run(pip.args(["-m", "pip", "install", "--quiet", &package]))?;
        }
        Ok(Self { engine, python })
    }

    /// By threads: this project, and then what it is compared with.
    pub(super) fn run(&self, shell: &Shell, options: &Options, model: &Path) -> Result<Vec<Row>> {
        let mut rows: Vec<Row> = THREADS
            .iter()
            .flat_map(|&threads| {
                [Engine::Ours, Engine::LlamaCpp].map(|engine| Row {
                    place: Place::Native { threads },
                    engine,
                    speed: Speed::default(),
                })
            })
            .collect();
        for round in 1..=options.rounds {
            println!("      natively, round {round} of {}", options.rounds);
            for row in &mut rows {
                if let Place::Native { threads } = row.place {
                    let mut command = self.command(shell, options, model, row.engine, threads);
                    row.speed = row.speed.best(measure(&mut command)?);
                }
            }
        }
        Ok(rows)
    }

    fn command(
        &self,
        shell: &Shell,
        options: &Options,
        model: &Path,
        engine: Engine,
        threads: u32,
    ) -> Command {
        let (prompt, answer) = (options.prompt.to_string(), options.answer.to_string());
        let threads = threads.to_string();
        if engine == Engine::LlamaCpp {
            let mut command = shell.command(&self.python);
            command
                .args(["-c", include_str!("llama_cpp.py")])
                .arg(model);
            command.args([&prompt, &answer, &threads, REPETITIONS]);
            command
        } else {
            let mut command = shell.command(&self.engine);
            command.arg(model).args([&prompt, &answer, REPETITIONS]);
            command.env("RAYON_NUM_THREADS", threads);
            command
        }
    }
}

/// The last line that an engine prints is its speed.
fn measure(command: &mut Command) -> Result<Speed> {
    let output = command.stderr(Stdio::null()).output()?;
    ensure!(output.status.success(), "an engine failed: {command:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rfind(|line| line.starts_with('{'));
    Speed::read(&serde_json::from_str(line.context("no result")?)?)
}

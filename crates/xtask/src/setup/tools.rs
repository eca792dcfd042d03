//! Programs from crates.io and PyPI, each in a folder of its own named by its version.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};

use super::Purpose;
use crate::{
    shell::{self, Shell},
    steps::human,
};

/// A program in a folder of its own.
pub(crate) struct Tool {
    package: &'static str,
    version: &'static str,
    /// Below its folder; it is installed when this is there.
    program: &'static str,
    why: &'static str,
    duration: &'static str,
    source: Source,
    only_for_tests: bool,
}

enum Source {
    /// `cargo install` with further options.
    Crate(&'static [&'static str]),
    /// `pip install` into a virtual environment.
    Wheel,
}

/// The versions are pinned by rust-libp2p, which decides the wasm-bindgen of the whole workspace, and by the compiler.
pub(crate) const ALL: [Tool; 4] = [
    Tool {
        package: "wasm-bindgen-cli",
        version: "0.2.108",
        program: "bin/wasm-bindgen",
        why: "the glue between WebAssembly and the browser",
        duration: "1 to 2 minutes",
        source: Source::Crate(&[]),
        only_for_tests: false,
    },
    Tool {
        package: "trunk",
        version: "0.21.14",
        program: "bin/trunk",
        why: "the bundler of the web page",
        duration: "3 to 4 minutes",
        // Without TLS and the search for updates: it downloads nothing, because what it needs is on PATH.
        source: Source::Crate(&["--no-default-features"]),
        only_for_tests: false,
    },
    Tool {
        package: "wasmtime",
        version: "50.0.1",
        program: "bin/python",
        why: "a second WebAssembly engine to test the kernels in",
        duration: "some seconds",
        source: Source::Wheel,
        only_for_tests: true,
    },
    Tool {
        package: "openai",
        version: "3.57.0",
        program: "bin/python",
        why: "a client that knows nodes by their HTTP API",
        duration: "some seconds",
        source: Source::Wheel,
        only_for_tests: true,
    },
];

impl Tool {
    /// Its folder below that of all tools.
    pub(crate) fn folder(&self, tools: &Path) -> PathBuf {
        tools.join(format!("{}-{}", self.package, self.version))
    }

    fn is_installed(&self, tools: &Path) -> bool {
        self.folder(tools).join(self.program).is_file()
    }

    /// Installs beside the final place and renames: what was interrupted is never taken for done.
    fn install(&self, shell: &Shell, tools: &Path) -> Result<()> {
        let Self {
            package,
            version,
            why,
            duration,
            ..
        } = self;
        println!("      installing {package} {version}, {why} ({duration}, once)");
        let started = Instant::now();
        let partial = tools.join(format!(".partial-{package}"));
        match self.source {
            Source::Crate(options) => self.compile(shell, options, tools, &partial)?,
            Source::Wheel => {
                shell::run(
                    shell
                        .command("python3")
                        .args(["-m", "venv", "--clear"])
                        .arg(&partial),
                )?;
                let mut pip = shell.command(partial.join("bin/python"));
                shell::run(pip.args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    &format!("{package}=={version}"),
                ]))?;
            }
        }
        let folder = self.folder(tools);
        fs::remove_dir_all(&folder).or_else(ignore_missing)?; // something without the program in it
        fs::rename(&partial, &folder).context("cannot move the installed tool into place")?;
        println!("      {package} installed in {}", human(started.elapsed()));
        Ok(())
    }

    /// Unoptimised, for it is compiled once and runs for seconds; what an interrupted attempt has compiled is kept.
    fn compile(&self, shell: &Shell, options: &[&str], tools: &Path, partial: &Path) -> Result<()> {
        let build = tools.join(format!(".build-{}", self.package));
        let mut cargo = shell.cargo(&[
            "install",
            "--locked",
            "--debug",
            "--version",
            self.version,
            self.package,
        ]);
        cargo.args(options).arg("--root").arg(partial);
        cargo
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        shell::run(&mut cargo)?;
        fs::remove_dir_all(&build).or_else(ignore_missing)?;
        Ok(())
    }
}

/// The folder of that tool.
pub(crate) fn folder_of(package: &str, tools: &Path) -> Option<PathBuf> {
    ALL.iter()
        .find(|tool| tool.package == package)
        .map(|tool| tool.folder(tools))
}

/// Installs those that are missing; of several such commands at once the others wait.
pub(super) fn prepare(purpose: Purpose, shell: &Shell, tools: &Path) -> Result<()> {
    let missing = || {
        let wanted = ALL
            .iter()
            .filter(|tool| purpose == Purpose::Test || !tool.only_for_tests);
        wanted
            .filter(|tool| !tool.is_installed(tools))
            .collect::<Vec<_>>()
    };
    if missing().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(tools).with_context(|| format!("cannot create {}", tools.display()))?;
    let lock = File::create(tools.join(".lock"))
        .context("cannot create the lock file of the tools folder")?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            println!("      another `cargo xtask` is installing tools: waiting for it");
            lock.lock()?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).context("cannot lock the tools folder");
        }
    }
    missing()
        .into_iter()
        .try_for_each(|tool| tool.install(shell, tools))
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

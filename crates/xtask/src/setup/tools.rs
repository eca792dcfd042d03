//! Programs from crates.io, each in a folder of its own named by its version.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};

use crate::{
    shell::{self, Shell},
    steps::human,
};

/// A program installed by `cargo install`.
pub(crate) struct Tool {
    package: &'static str,
    version: &'static str,
    program: &'static str,
    why: &'static str,
    minutes: &'static str,
    options: &'static [&'static str],
}

/// The versions are pinned by rust-libp2p, which decides the wasm-bindgen of the whole workspace, and by the compiler.
pub(crate) const ALL: [Tool; 2] = [
    Tool {
        package: "wasm-bindgen-cli",
        version: "0.2.108",
        program: "wasm-bindgen",
        why: "the glue between WebAssembly and the browser",
        minutes: "1 to 2 minutes",
        options: &[],
    },
    Tool {
        package: "trunk",
        version: "0.21.14",
        program: "trunk",
        why: "the bundler of the web page",
        minutes: "3 to 4 minutes",
        // Without TLS and the search for updates: it downloads nothing, because what it needs is on PATH.
        options: &["--no-default-features"],
    },
];

impl Tool {
    /// Its folder below that of all tools.
    pub(crate) fn folder(&self, tools: &Path) -> PathBuf {
        tools.join(format!("{}-{}", self.package, self.version))
    }

    fn is_installed(&self, tools: &Path) -> bool {
        self.folder(tools).join("bin").join(self.program).is_file()
    }

    /// Builds beside the final place and renames: what was interrupted is never taken for done, and the next attempt
    /// goes on from what was already compiled.
    fn install(&self, shell: &Shell, tools: &Path) -> Result<()> {
        let Self {
            package,
            version,
            why,
            minutes,
            ..
        } = self;
        println!("      installing {package} {version}, {why} ({minutes}, once)");
        let started = Instant::now();
        let (partial, build) = (
            tools.join(format!(".partial-{package}")),
            tools.join(format!(".build-{package}")),
        );
        // Unoptimised: they are compiled once and run for seconds.
        let mut cargo = shell.cargo(&[
            "install",
            "--locked",
            "--debug",
            "--version",
            version,
            package,
        ]);
        cargo
            .args(self.options)
            .arg("--root")
            .arg(&partial)
            .env("CARGO_TARGET_DIR", &build)
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        shell::run(&mut cargo)?;
        let folder = self.folder(tools);
        fs::remove_dir_all(&folder).or_else(ignore_missing)?; // something without the program in it
        fs::rename(&partial, &folder).context("cannot move the installed tool into place")?;
        fs::remove_dir_all(&build).or_else(ignore_missing)?;
        println!("      {package} installed in {}", human(started.elapsed()));
        Ok(())
    }
}

/// Installs those that are missing; of several such commands at once the others wait.
pub(crate) fn prepare(shell: &Shell, tools: &Path) -> Result<()> {
    if ALL.iter().all(|tool| tool.is_installed(tools)) {
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
    for tool in ALL.iter().filter(|tool| !tool.is_installed(tools)) {
        tool.install(shell, tools)?;
    }
    Ok(())
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

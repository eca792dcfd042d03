//! Packages of the operating system: a linker, and for the tests a browser and the means to lock it in.

use std::{
    io::IsTerminal,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use super::{Purpose, arm};
use crate::{
    paths,
    shell::{self, Shell},
};

/// Something that has to be there, and the Debian packages that bring it.
struct Need {
    is_met: fn(&Shell) -> bool,
    packages: &'static [&'static str],
    only_for_tests: bool,
}

const NEEDS: [Need; 8] = [
    Need {
        is_met: |_| has("cc"),
        packages: &["gcc", "libc6-dev"],
        only_for_tests: false,
    },
    Need {
        is_met: |_| has("chromium") || std::env::var_os("CHROMIUM").is_some(),
        packages: &["chromium"],
        only_for_tests: true,
    },
    Need {
        is_met: |_| has("chromedriver"),
        packages: &["chromium-driver"],
        only_for_tests: true,
    },
    // Browser tests run in a network namespace of their own, from which nothing gets out.
    Need {
        is_met: |_| has("ip"),
        packages: &["iproute2"],
        only_for_tests: true,
    },
    // Some tests have routers in theirs.
    Need {
        is_met: |_| has("iptables"),
        packages: &["iptables"],
        only_for_tests: true,
    },
    // An authority that certifies domains, as Let's Encrypt does.
    Need {
        is_met: |_| has("pebble"),
        packages: &["pebble"],
        only_for_tests: true,
    },
    // Wasmtime comes from PyPI: its crate would take minutes to compile.
    Need {
        is_met: |_| quiet("python3", &["-c", "import ensurepip"]).is_some(),
        packages: &["python3", "python3-venv"],
        only_for_tests: true,
    },
    Need {
        is_met: arm::needs_no_packages,
        packages: &[
            "gcc-aarch64-linux-gnu",
            "libc6-dev-arm64-cross",
            "qemu-user",
        ],
        only_for_tests: true,
    },
];

/// Installs missing packages with apt-get, as root or through a sudo that asks nothing.
pub(super) fn prepare(shell: &Shell, purpose: Purpose) -> Result<()> {
    let missing: Vec<&str> = NEEDS
        .iter()
        .filter(|need| purpose == Purpose::Test || !need.only_for_tests)
        .filter(|need| !(need.is_met)(shell))
        .flat_map(|need| need.packages.iter().copied())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    println!("      installing from Debian: {packages}");
    let by_hand =
        format!("apt-get update && apt-get install --yes --no-install-recommends {packages}");
    if paths::on_path("apt-get").is_none() {
        bail!(
            "this machine has no apt-get; install {packages} in its own way and run the command again"
        );
    }
    let mut prefix = elevation()
        .with_context(|| format!("run this as root, then the command again:\n    {by_hand}"))?;
    prefix.extend([
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "--quiet",
        "--yes",
    ]);
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).args(arguments);
        if !std::io::stdout().is_terminal() {
            command.stdout(Stdio::null()); // hundreds of lines that nobody would read in a log
        }
        shell::run(&mut command)
    };
    let install: Vec<&str> = ["install", "--no-install-recommends"]
        .into_iter()
        .chain(missing)
        .collect();
    apt(&["update"])
        .and_then(|()| apt(&install))
        .with_context(|| format!("run this by hand to see what is wrong:\n    {by_hand}"))
}

fn has(program: &str) -> bool {
    // `ip` and its like are not on every user's PATH.
    paths::on_path(program).is_some() || Path::new("/usr/sbin").join(program).is_file()
}

/// What a command prints when it succeeds; what it complains about is of no interest.
fn quiet(program: &str, arguments: &[&str]) -> Option<Vec<u8>> {
    let output = Command::new(program)
        .args(arguments)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then_some(output.stdout)
}

/// What has to stand before a command so that root runs it, without a question to anybody.
fn elevation() -> Result<Vec<&'static str>> {
    if quiet("id", &["--user"]).is_some_and(|user| user == b"0\n") {
        return Ok(vec![]);
    }
    ensure!(
        quiet("sudo", &["--non-interactive", "true"]).is_some(),
        "packages are missing and installing them needs root"
    );
    Ok(vec!["sudo", "--non-interactive"])
}

//! Packages of the operating system: a linker, and for the tests a browser and the means to lock it in.

use std::{
    io::IsTerminal,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use super::Purpose;
use crate::{paths, shell};

/// A program and the Debian package that has it.
struct Need {
    programs: &'static [&'static str],
    package: &'static str,
    only_for_tests: bool,
}

const NEEDS: [Need; 4] = [
    Need {
        programs: &["cc"],
        package: "gcc libc6-dev",
        only_for_tests: false,
    },
    Need {
        programs: &["chromium"],
        package: "chromium",
        only_for_tests: true,
    },
    Need {
        programs: &["chromedriver"],
        package: "chromium-driver",
        only_for_tests: true,
    },
    // Browser tests run in a network namespace of their own, from which nothing gets out.
    Need {
        programs: &["ip"],
        package: "iproute2",
        only_for_tests: true,
    },
];

/// Installs missing packages with apt-get, as root or through a sudo that asks nothing.
pub(super) fn prepare(purpose: Purpose) -> Result<()> {
    let missing: Vec<&str> = NEEDS
        .iter()
        .filter(|need| purpose == Purpose::Test || !need.only_for_tests)
        .filter(|need| !need.programs.iter().any(|program| is_present(program)))
        .flat_map(|need| need.package.split(' '))
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

fn is_present(program: &str) -> bool {
    let named_otherwise = program == "chromium" && std::env::var_os("CHROMIUM").is_some();
    // `ip` and its like are not on every user's PATH.
    named_otherwise
        || paths::on_path(program).is_some()
        || std::path::Path::new("/usr/sbin").join(program).is_file()
}

/// What has to stand before a command so that root runs it, without a question to anybody.
fn elevation() -> Result<Vec<&'static str>> {
    let quiet = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stderr(Stdio::null())
            .output()
    };
    if quiet("id", &["--user"]).is_ok_and(|output| output.stdout == b"0\n") {
        return Ok(vec![]);
    }
    match quiet("sudo", &["--non-interactive", "true"]) {
        Ok(output) if output.status.success() => Ok(vec!["sudo", "--non-interactive"]),
        _ => bail!("packages are missing and installing them needs root"),
    }
}

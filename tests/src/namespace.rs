//! A network of its own for the whole test program.

use std::{
    env,
    fs::File,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Set in the environment of the program once it runs inside.
const INSIDE: &str = "IAP2P_E2E_NAMESPACE";

/// A pair of interfaces that leads nowhere, with a default route over it: with loopback alone Chromium finds no
/// address that it would offer to another tab. No address comes by itself some seconds later, which browsers take for
/// another network and break off what they are fetching.
const NETWORK: &[&str] = &[
    "link set lo up",
    "link add veth0 type veth peer name veth1",
    "link set veth0 addrgenmode none",
    "link set veth1 addrgenmode none",
    "address add 10.99.0.1/24 dev veth0",
    "link set veth0 up",
    "link set veth1 up",
    "route add default via 10.99.0.254",
];

/// Whether this program runs in a network of its own.
#[must_use]
pub fn is_entered() -> bool {
    env::var_os(INSIDE).is_some()
}

/// Starts this program again inside a new network namespace, or prepares the network when that has happened.
///
/// Where the kernel allows no namespace (some containers), the tests run on the machine's own network; they still
/// only speak to loopback and to the machine's own addresses. Then it is one program's at a time: as long as it keeps what
/// this returns.
pub fn enter() -> Result<Option<File>> {
    if is_entered() {
        NETWORK.iter().try_for_each(|line| ip(line))?;
        return Ok(None);
    }
    // As root directly; as anybody else with a user namespace around it.
    let ways: [&[&str]; 2] = [&["--net"], &["--user", "--map-root-user", "--net"]];
    let works = |way: &&&[&str]| {
        let mut probe = Command::new("unshare");
        probe.args(**way).args([
            "--", "ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1",
        ]);
        probe
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(works) else {
        eprintln!(
            "note: no network namespace can be made here, so the tests run on the machine's own network"
        );
        let place = env::temp_dir().join("iap2p-e2e.lock");
        let turn = File::create(&place).with_context(|| place.display().to_string())?;
        turn.lock()
            .context("cannot wait until no other test program uses the network")?;
        return Ok(Some(turn));
    };
    let error = Command::new("unshare")
        .args(*way)
        .arg("--")
        .arg(env::current_exe()?)
        .args(env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("cannot start again inside a namespace")
}

/// Another address of the network that [`enter`] has made.
pub fn add_address(address: &str) -> Result<()> {
    ip(&format!("address replace {address}/24 dev veth0"))
}

fn ip(line: &str) -> Result<()> {
    let status = Command::new("ip")
        .args(line.split(' '))
        .status()
        .context("cannot start `ip` (package iproute2)")?;
    if !status.success() {
        bail!("`ip {line}` failed ({status})");
    }
    Ok(())
}

//! Networks behind routers: hosts and routers are network namespaces inside that of the test, which is the internet
//! between them.

use std::{
    fmt, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    link::{self, Conditions, Wire},
    namespace,
    node::bound_to_us,
    until,
};

/// What a router does to the addresses of those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nat {
    /// Nothing.
    Open,
    /// One address for all; who sends keeps its port, and hears only from whom it has sent to.
    Cone,
    /// The same with another port for everybody it sends to, so that nobody can say where it will be found.
    Symmetric,
}

impl fmt::Display for Nat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "own address",
            Self::Cone => "router",
            Self::Symmetric => "router with a port for each connection",
        })
    }
}

/// A machine: a network namespace, held open by a process that sleeps.
pub struct Host(Child);

impl Host {
    pub(crate) fn new() -> Result<Self> {
        let holder = bound_to_us("unshare")
            .args(["--net", "--", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()?;
        let host = Self(holder);
        let ours = fs::read_link("/proc/self/ns/net")?;
        until("a namespace of its own", || {
            let theirs = fs::read_link(host.namespace())?;
            Ok((theirs != ours).then_some(()))
        })?;
        host.ip("link set lo up")?;
        Ok(host)
    }

    /// The file that is its network.
    #[must_use]
    pub fn namespace(&self) -> PathBuf {
        format!("/proc/{}/ns/net", self.0.id()).into()
    }

    pub(crate) fn ip(&self, line: &str) -> Result<()> {
        self.run("ip", line)
    }

    fn run(&self, program: &str, line: &str) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace().display()));
        done(command.arg("--").arg(program).args(line.split(' ')))
    }

    /// Hands on what is not for itself.
    fn forward(&self) -> Result<()> {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace().display()));
        done(command.args(["--", "sh", "-c", FORWARD]))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const FORWARD: &str = "echo 1 > /proc/sys/net/ipv4/ip_forward";

/// The address of the internet itself, for nodes that everybody reaches.
pub const CORE: &str = "10.60.0.1";

/// The internet: the namespace the test runs in. Hands packets on between [`Site`]s, and its own TCP is an ordinary one.
pub fn core() -> Result<()> {
    ensure!(
        namespace::is_entered(),
        "the machine's own network is not to be changed"
    );
    done(Command::new("sh").args(["-c", FORWARD]))?;
    link::be_ordinary()?;
    done(Command::new("ip").args(["address", "replace", &format!("{CORE}/32"), "dev", "lo"]))
}

/// A host behind a router.
pub struct Site {
    /// The host.
    pub host: Host,
    /// Its own address, which in all sites behind a translating router is the same.
    pub address: String,
    number: u8,
    _wire: Option<Wire>,
    router: Host,
}

impl Site {
    /// Lets nothing through to the internet and back any more, or everything again.
    pub fn cut(&self, cut: bool) -> Result<()> {
        let action = if cut { "-I" } else { "-D" };
        for (chain, side) in [("INPUT", "-i"), ("OUTPUT", "-o"), ("FORWARD", "-i")] {
            let wire = format!("site{}", self.number);
            done(Command::new("iptables").args([action, chain, side, &wire, "-j", "DROP"]))?;
        }
        Ok(())
    }

    /// The address by which the internet sees a host behind a translating router.
    #[must_use]
    pub fn outside(&self) -> String {
        format!("10.60.{}.2", self.number)
    }

    /// Has the router let everybody in who sends to this port of it: to the same port of the host, by TCP and UDP.
    pub fn let_in(&self, port: u16) -> Result<()> {
        for protocol in ["tcp", "udp"] {
            let rule = format!(
                "-t nat -A PREROUTING -i wan -p {protocol} --dport {port} -j DNAT --to-destination {}:{port}",
                self.address
            );
            self.router.run("iptables", &rule)?;
        }
        Ok(())
    }

    /// Connects one with the internet. `number` is its own. What its router and the internet send each other takes no time
    /// and arrives, or it goes over a link with these conditions, if there are any.
    pub fn new(number: u8, nat: Nat, link: Option<Conditions>) -> Result<Self> {
        let (router, host) = (Host::new()?, Host::new()?);
        let lan = match nat {
            Nat::Open => format!("10.61.{number}"),
            Nat::Cone | Nat::Symmetric => "192.168.7".to_owned(),
        };
        let outside = |line: String| done(Command::new("ip").args(line.split(' ')));
        let wire = if let Some(conditions) = link {
            link::done_at(&host, link::be_ordinary)?;
            let ends = (format!("site{number}"), (&router, "wan"));
            Some(Wire::new(
                &ends.0,
                ends.1,
                conditions,
                2 * u64::from(number),
            )?)
        } else {
            let router_pid = router.0.id();
            outside(format!(
                "link add site{number} type veth peer name wan netns {router_pid}"
            ))?;
            None
        };
        outside(format!("address add 10.60.{number}.1/24 dev site{number}"))?;
        outside(format!("link set site{number} up"))?;
        router.ip(&format!("address add 10.60.{number}.2/24 dev wan"))?;
        router.ip("link set wan up")?;
        router.ip(&format!("route add default via 10.60.{number}.1"))?;
        router.ip(&format!(
            "link add lan type veth peer name eth0 netns {}",
            host.0.id()
        ))?;
        router.ip(&format!("address add {lan}.1/24 dev lan"))?;
        router.ip("link set lan up")?;
        router.forward()?;
        host.ip(&format!("address add {lan}.2/24 dev eth0"))?;
        // As in the network of all: a browser takes an address that comes by itself for another network.
        host.ip("link set eth0 addrgenmode none")?;
        host.ip("link set eth0 up")?;
        host.ip(&format!("route add default via {lan}.1"))?;
        let translate = "-t nat -A POSTROUTING -o wan -j MASQUERADE";
        match nat {
            Nat::Open => outside(format!("route add {lan}.0/24 via 10.60.{number}.2"))?,
            Nat::Cone => router.run("iptables", translate)?,
            Nat::Symmetric => router.run("iptables", &format!("{translate} --random-fully"))?,
        }
        // As home routers do. (A packet that is refused instead is remembered, and its port is not used any more.)
        router.run("iptables", "-A INPUT -i wan -j DROP")?;
        Ok(Self {
            host,
            address: format!("{lan}.2"),
            number,
            _wire: wire,
            router,
        })
    }
}

/// Counts the bytes that a TCP port of the internet's own nodes receives from behind routers and sends there. What these
/// nodes say to each other is not counted: they announce to each other all that they hold.
pub struct Meter {
    rules: [(&'static str, String); 2],
}

impl Meter {
    /// Begins with zero.
    pub fn tcp(port: u16) -> Result<Self> {
        let rules = [
            ("INPUT", format!("-p tcp --dport {port} ! -s {CORE}")),
            ("OUTPUT", format!("-p tcp --sport {port} ! -d {CORE}")),
        ];
        for (chain, rule) in &rules {
            let insert = ["-I", chain].into_iter().chain(rule.split(' '));
            done(Command::new("iptables").args(insert))?;
        }
        Ok(Self { rules })
    }

    /// Bytes until now, those of the packets' headers too.
    pub fn bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for (chain, _) in &self.rules {
            let mut list = Command::new("iptables");
            let output = list.args(["-L", chain, "1", "-v", "-x", "-n"]).output()?;
            let line = String::from_utf8_lossy(&output.stdout).into_owned();
            let bytes = line.split_whitespace().nth(1).map(str::parse::<u64>);
            sum += bytes.with_context(|| format!("no counter in {line:?}"))??;
        }
        Ok(sum)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        for (chain, rule) in &self.rules {
            let delete = ["-D", chain].into_iter().chain(rule.split(' '));
            let _ = Command::new("iptables").args(delete).status();
        }
    }
}

/// Runs a command to its end; it must succeed.
fn done(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

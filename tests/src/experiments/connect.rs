//! Native nodes and tabs, each with an address of its own or behind a router: every pair of them connects, as directly as
//! their routers let it. And two tabs behind routers compute for each other that way.

mod tabs;

use std::{fmt, path::PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

pub use self::tabs::{Computed, compute, leaves_the_relay};
use super::{Table, progress};
use crate::{
    Browser, Network, Node, Program, Visitor,
    lab::{self, CORE, Nat, Site},
    link::Conditions,
    until,
};

/// What is at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `iap2p serve`.
    Native,
    /// The page in Chromium.
    Tab,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    kind: Kind,
    nat: Nat,
}

impl End {
    /// Whether anybody can dial it.
    fn is_dialable(self) -> bool {
        self.kind == Kind::Native && self.nat == Nat::Open
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Native => "native",
            Kind::Tab => "tab",
        };
        write!(f, "{kind}, {}", self.nat)
    }
}

/// How the two are connected in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One has dialled the other one's address.
    Dialled,
    /// They have met through the relay and arranged that what they send goes from the one to the other: by WebRTC, or by
    /// dialling each other at the same time.
    Punched,
    /// The same, and what they send goes through the entry's TURN server.
    Turned,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dialled => "dialled",
            Self::Punched => "directly",
            Self::Turned => "by TURN",
        })
    }
}

/// The ways of which their routers let them find one, and none that is less direct.
fn best(one: End, other: End) -> &'static [Way] {
    let ends = [one, other];
    let behind_symmetric = ends.iter().any(|end| end.nat == Nat::Symmetric);
    let open = ends.iter().any(|end| end.nat == Nat::Open);
    if ends.iter().any(|end| end.is_dialable()) {
        // Whichever is quicker: the tab may have met it through the relay first.
        &[Way::Dialled, Way::Punched]
    } else if behind_symmetric && !open {
        // Nobody can say where the one will be found, and the other one's router lets in only whom it has sent to.
        &[Way::Turned]
    } else {
        &[Way::Punched]
    }
}

/// More bytes than it takes to find out that a way through the TURN server is not needed, and fewer than a handshake has.
const CHECKS: u64 = 4_000;

/// One end, as it runs.
enum Running<'a> {
    Native {
        /// To be run on the same machine.
        program: &'a Program,
        key: &'a PathBuf,
        node: &'a Node,
    },
    Tab(&'a Visitor),
}

impl Running<'_> {
    fn peer_id(&self) -> Result<String> {
        match self {
            Self::Native { node, .. } => node.peer_id(),
            Self::Tab(visitor) => visitor.peer_id(),
        }
    }

    /// Whether it is connected with a peer other than through the relay, and if so, whether by WebRTC.
    fn by_webrtc(&self, peer: &str) -> Result<Option<bool>> {
        match self {
            Self::Native { program, key, .. } => {
                let status = program.run(&[&"status", &"--json", &"--key", key])?;
                let status: Value = serde_json::from_str(&status)?;
                let connections = status["connections"].as_array().context("no list")?;
                let direct = connections.iter().find(|it| {
                    it["peer"] == peer && it["usage"] == "messages" && it["relayed"] == false
                });
                Ok(direct.map(|it| it["transport"] == "webrtc"))
            }
            Self::Tab(visitor) => {
                let rows = visitor.peers()?;
                let direct = rows
                    .iter()
                    .find(|row| row.peer == peer && !row.relayed && row.transport.is_some());
                Ok(direct.map(|row| row.transport.as_deref() == Some("WebRTC")))
            }
        }
    }
}

/// Starts one end at the end of such a link, and stops it again.
fn with_end<T>(
    network: &Network,
    end: End,
    (number, link): (u8, Conditions),
    test: impl FnOnce(&Running) -> Result<T>,
) -> Result<T> {
    let site = Site::new(number, end.nat, Some(link))?;
    match end.kind {
        Kind::Native => {
            let folder = tempfile::tempdir()?;
            let key = folder.path().join("node.key");
            let node = network.worker_behind(&site, &key)?;
            let program = Program::find()?.at(&site.host);
            test(&Running::Native {
                program: &program,
                key: &key,
                node: &node,
            })
        }
        Kind::Tab => {
            let origin = network.url.trim_end_matches('/');
            Browser::with_at(&site.host, origin, |browser| {
                test(&Running::Tab(&Visitor::join(browser, &network.link(), 1)?))
            })
        }
    }
}

/// Has two of them meet, and says how they are connected in the end, which must be as directly as can be.
fn connect(one: End, other: End, numbers: (u8, u8), link: Conditions) -> Result<Way> {
    let network = Network::public(CORE, true)?;
    with_end(&network, one, (numbers.0, link), |a| {
        with_end(&network, other, (numbers.1, link), |b| {
            let peer = b.peer_id()?;
            let webrtc = until("the two are connected without the relay", || {
                a.by_webrtc(&peer)
            })?;
            // Which of the ways it is that they have found, what goes by TURN tells only after a while.
            let mut found = Way::Punched;
            until("they are connected as directly as can be", || {
                let turned = network.through_turn()? > CHECKS;
                found = match (webrtc, turned) {
                    (false, _) if one.is_dialable() || other.is_dialable() => Way::Dialled,
                    (true, true) => Way::Turned,
                    _ => Way::Punched,
                };
                Ok(best(one, other).contains(&found).then_some(found))
            })
            .with_context(|| format!("but {found}"))
        })
    })
    .with_context(|| format!("{one} and {other}"))
}

/// What the experiment shows.
pub struct Outcome {
    /// How each pair is connected in the end.
    pub pairs: Table,
    /// How two tabs have computed for each other.
    pub tabs: Table,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.pairs, self.tabs)
    }
}

/// Every pair, each at the end of a link of its own to the internet, and then, without a delay, two tabs that compute for
/// each other.
///
/// # Errors
/// If two do not connect, or not in the most direct way there is, or if what tabs compute goes another way.
pub fn run_blocking(link: Conditions) -> Result<Outcome> {
    lab::core()?;
    let ends: Vec<End> = [Kind::Native, Kind::Tab]
        .into_iter()
        .flat_map(|kind| [Nat::Open, Nat::Cone, Nat::Symmetric].map(move |nat| End { kind, nat }))
        .collect();
    let together: Vec<(End, End)> = (0..ends.len())
        .flat_map(|i| (i..ends.len()).map(move |j| (i, j)))
        .map(|(i, j)| (ends[i], ends[j]))
        .collect();
    let bar = progress("pairs", together.len());
    let mut pairs = Table::new(["one", "the other", "how, in the end"]);
    // Those below are the tests'.
    let mut numbers = (100_u8..).step_by(2);
    let mut next = || {
        let number = numbers.next().context("too many pairs")?;
        Ok::<_, anyhow::Error>((number, number + 1))
    };
    for (one, other) in together {
        let way = connect(one, other, next()?, link)?;
        pairs.row([one.to_string(), other.to_string(), way.to_string()]);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut tabs = Table::new(Computed::HEADER);
    for nats in [(Nat::Cone, Nat::Cone), (Nat::Symmetric, Nat::Symmetric)] {
        let computed = compute(nats, next()?)
            .with_context(|| format!("when these were connected:\n{pairs}"))?;
        tabs.row(computed.row());
    }
    Ok(Outcome { pairs, tabs })
}

//! Two tabs behind routers compute for each other, and what they say goes neither through the relay by which they have met
//! nor, where there is a direct way, through anybody else.

use anyhow::{Context, Result, ensure};

use super::Way;
use crate::{
    Answer, Browser, Network, PeerRow, Visitor,
    lab::{self, CORE, Meter, Nat, Site},
    until,
};

/// Fragments that each tab lends.
const LEND: u32 = 16;
const QUESTION: &str = "Qu'est-ce qu'un fragment ?";
const TOKENS: u32 = 24;
/// Bytes by which both ends try a way before they take another: more of them are messages.
const CHECKS: u64 = 20_000;
/// Bytes to and from the entry for each request: that and its answer are some kilobytes.
const SIGNALLING: u64 = 256;

/// What came of it.
#[derive(Debug)]
pub struct Computed {
    nats: (Nat, Nat),
    /// Requests that each tab has answered the other.
    answered: [u64; 2],
    /// Connections that have been begun through the relay meanwhile; none was open before.
    circuits: u64,
    /// Bytes between the two and the port of the entry meanwhile, in both directions.
    told_entry: u64,
    /// Bytes that the TURN server has handed on since there is one.
    turned: u64,
}

impl Computed {
    pub(super) const HEADER: [&str; 6] = [
        "two tabs, each behind a",
        "how they compute for each other",
        "requests answered",
        "connections through the relay meanwhile",
        "bytes to and from the entry meanwhile",
        "bytes by TURN since both came",
    ];

    fn way(&self) -> Way {
        match self.nats {
            (Nat::Open, _) | (_, Nat::Open) | (Nat::Cone, Nat::Cone) => Way::Punched,
            _ => Way::Turned,
        }
    }

    fn check(&self) -> Result<()> {
        let [here, there] = self.answered;
        ensure!(
            here > 0 && there > 0,
            "one of them has computed nothing: {self:?}"
        );
        ensure!(
            self.circuits == 0,
            "something goes through the relay: {self:?}"
        );
        ensure!(
            self.told_entry < SIGNALLING * (here + there),
            "more than signalling goes to the entry: {self:?}"
        );
        ensure!(
            (self.turned > CHECKS) == (self.way() == Way::Turned),
            "TURN carries what it need not, or not what it must: {self:?}"
        );
        Ok(())
    }

    pub(super) fn row(&self) -> [String; 6] {
        let (one, other) = self.nats;
        let routers = if one == other {
            one.to_string()
        } else {
            format!("{one}; {other}")
        };
        [
            routers,
            self.way().to_string(),
            self.answered.iter().sum::<u64>().to_string(),
            self.circuits.to_string(),
            self.told_entry.to_string(),
            self.turned.to_string(),
        ]
    }
}

/// Has two tabs, each in a browser behind a router of its own, ask in turn, each what the other one lends. The rest is
/// computed in between, where both reach it. Nothing takes time on its way. The entry hears from who asks, since each
/// fragment has one holder here: others are looked for in the DHT, eight every five seconds. And the two may still announce
/// what they hold.
///
/// # Errors
/// If an answer is another one than that of a single process, or goes another way than the most direct there is.
pub fn compute(nats: (Nat, Nat), numbers: (u8, u8)) -> Result<Computed> {
    lab::core()?;
    let network = Network::public(CORE, true)?;
    let alone = network.alone(QUESTION, TOKENS)?;
    let site = |number, nat| Site::new(number, nat, None);
    let (here, there) = (site(numbers.0, nats.0)?, site(numbers.1, nats.1)?);
    let origin = network.url.trim_end_matches('/');
    let computed = Browser::with_at(&here.host, origin, |browser| {
        let one = Visitor::join(browser, &network.link(), LEND)?;
        Browser::with_at(&there.host, origin, |browser| {
            let other = Visitor::join(browser, &network.link(), LEND)?;
            let lent = &one.lends()? | &other.lends()?;
            let worker = network.worker_for_the_rest(&lent)?;
            for (tab, peer) in [(&one, &other), (&other, &one)] {
                tab.meets(&worker.peer_id()?)?;
                leaves_the_relay(tab, &peer.peer_id()?)?;
                tab.be_predictable(TOKENS)?;
                // What a tab needs of the model whenever it asks, it fetches now, of the entry, too.
                tab.ask(QUESTION)?;
                tab.answer()?.same_as(&alone)?;
            }
            // From here on the entry, which was the relay, hears nothing of what is computed.
            until("nobody is connected through the relay any more", || {
                Ok((relay(&network)?.0 == 0).then_some(()))
            })?;
            let port = network.address.split('/').nth(4).context("no port")?;
            let meter = Meter::tcp(port.parse()?)?;
            round(&network, &meter, nats, [&one, &other], &alone)
        })
    })?;
    computed.check()?;
    Ok(computed)
}

/// Both ask the same once more, in a new conversation.
fn round(
    network: &Network,
    meter: &Meter,
    nats: (Nat, Nat),
    [one, other]: [&Visitor; 2],
    alone: &Answer,
) -> Result<Computed> {
    let figures = || {
        let answered = [answered(other, one)?, answered(one, other)?];
        let (open, opened) = relay(network)?;
        ensure!(open == 0, "somebody is connected through the relay");
        Ok::<_, anyhow::Error>((answered, opened, meter.bytes()?))
    };
    let (before, opened, bytes) = figures()?;
    for tab in [one, other] {
        tab.start_over()?;
        tab.ask(QUESTION)?;
        tab.answer()?.same_as(alone)?;
    }
    let (after, opened_then, bytes_then) = figures()?;
    Ok(Computed {
        nats,
        answered: [after[0] - before[0], after[1] - before[1]],
        circuits: opened_then - opened,
        told_entry: bytes_then - bytes,
        turned: network.through_turn()?,
    })
}

/// The connections that go through the entry, and all that have gone through it.
fn relay(network: &Network) -> Result<(u64, u64)> {
    let relay = &network.status()?["relay"];
    let count = |what: &str| relay[what].as_u64().context("a relay says what it relays");
    Ok((count("open")?, count("opened")?))
}

/// Waits until a tab is connected with a peer by WebRTC and not through the relay any more.
///
/// # Errors
/// If that never happens.
pub fn leaves_the_relay(tab: &Visitor, peer: &str) -> Result<()> {
    tab.meets(peer)?;
    until("the two are connected without the relay", || {
        let webrtc = |row: &PeerRow| !row.relayed && row.transport.as_deref() == Some("WebRTC");
        let rows = tab.peers()?;
        let direct = rows.iter().any(|row| row.peer == peer && webrtc(row));
        Ok(direct.then_some(()))
    })
    .with_context(|| format!("{:?}", tab.peers()))
}

/// Requests of one tab that the other has answered.
fn answered(asker: &Visitor, by: &Visitor) -> Result<u64> {
    let by = by.peer_id()?;
    let rows = asker.peers()?;
    let row = rows.iter().find(|row| row.peer == by);
    Ok(row.map_or(0, |row| row.answered))
}

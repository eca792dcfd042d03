//! Nodes behind routers find a way to each other.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use e2e::{
    Browser, FRAGMENT_SIZE, Network, PeerRow, Program, Visitor,
    lab::{self, CORE, Meter, Nat, Site},
    model, until,
};

use crate::answer::{QUESTION, same};

/// How often the model reads a text: so often that the relay is left on the way.
const TIMES: usize = 2;

/// How who asks reaches the worker in the end.
#[derive(Debug, PartialEq)]
enum Way {
    /// By its address.
    Dialled,
    /// Through the relay first, and then directly.
    Punched,
    /// Through the relay first, and then through the entry's TURN server.
    Turned,
    /// Through the relay all the time.
    Relayed,
}

struct Answer {
    /// How surprised the model was by the text.
    figure: String,
    way: Way,
}

/// A worker behind one router, somebody who asks behind another, and between them an entry that computes nothing.
fn read(
    program: &Program,
    text: &Path,
    (worker, asking): (Nat, Nat),
    turn: bool,
    numbers: (u8, u8),
) -> Result<Answer> {
    let network = Network::public(CORE, turn)?;
    let (home, other) = (Site::new(numbers.0, worker)?, Site::new(numbers.1, asking)?);
    let folder = tempfile::tempdir()?;
    let _worker = network.worker_behind(&home, &folder.path().join("worker.key"))?;
    let (report, log) = program.at(&other.host).run_and_log(&[
        &"--log",
        &"network=debug",
        &"perplexity",
        &"--peer",
        &network.plain_address()?,
        &"--file",
        &text,
    ])?;
    // What was found lasts until the end, of which what is logged may be seen or not.
    let until_the_end = log.split("taking leave of everybody").next();
    ensure!(
        !until_the_end.is_some_and(|log| log.contains("event=Disconnected")),
        "a connection was lost:\n{log}"
    );
    let changed = |line: &str| line.contains("PathChanged") && line.contains("relayed: false");
    let way = match (log.contains("relayed: true"), log.lines().any(changed)) {
        (false, _) => Way::Dialled,
        (true, true) if turn && network.through_turn()? > CHECKS => Way::Turned,
        (true, true) => Way::Punched,
        (true, false) => Way::Relayed,
    };
    Ok(Answer {
        figure: report,
        way,
    })
}

pub(crate) fn nodes_behind_routers_compute_for_each_other_as_directly_as_can_be() -> Result<()> {
    let program = Program::find()?;
    lab::core()?;
    let folder = tempfile::tempdir()?;
    let text = folder.path().join("text");
    let once = model()?.with_file_name("perplexity.txt");
    std::fs::write(&text, std::fs::read_to_string(once)?.repeat(TIMES))?;
    let alone = program.run(&[
        &"perplexity",
        &"--model",
        &model()?,
        &"--fragment-size",
        &FRAGMENT_SIZE,
        &"--file",
        &text,
    ])?;
    let (open, cone, symmetric) = (Nat::Open, Nat::Cone, Nat::Symmetric);
    for (worker, asking, turn, way, numbers) in [
        (open, symmetric, true, Way::Dialled, (1, 2)),
        (cone, cone, true, Way::Punched, (3, 4)),
        // The router of one can say where it will be found, and hears only from where it has sent to: the other one's
        // next port, which nobody can tell.
        (cone, symmetric, true, Way::Turned, (5, 6)),
        (symmetric, symmetric, true, Way::Turned, (7, 8)),
        // Without a TURN server a relay carries their words.
        (symmetric, symmetric, false, Way::Relayed, (9, 10)),
    ] {
        let answer = read(&program, &text, (worker, asking), turn, numbers)?;
        ensure!(
            answer.figure == alone,
            "{worker:?} and {asking:?}: {} instead of {alone}",
            answer.figure
        );
        ensure!(
            answer.way == way,
            "{worker:?} and {asking:?}: {:?}",
            answer.way
        );
    }
    Ok(())
}

pub(crate) fn a_tab_and_a_native_node_behind_two_routers_connect_directly() -> Result<()> {
    lab::core()?;
    let network = Network::public(CORE, true)?;
    let alone = network.alone(QUESTION, QUESTION_TOKENS)?;
    let (one, other) = (Site::new(21, Nat::Cone)?, Site::new(22, Nat::Cone)?);
    let folder = tempfile::tempdir()?;
    let worker = network.worker_behind(&one, &folder.path().join("worker.key"))?;
    let name = worker.peer_id()?;
    let origin = network.url.trim_end_matches('/');
    Browser::with_at(&other.host, origin, |browser| {
        let visitor = Visitor::join(browser, &network.link(), 1)?;
        visitor.meets(&name)?;
        leaves_the_relay(&visitor, &name)?;
        visitor.be_predictable(QUESTION_TOKENS)?;
        visitor.ask(QUESTION)?;
        same(&visitor.answer()?, &alone)
    })?;
    ensure!(
        network.through_turn()? < CHECKS,
        "TURN carries what need not"
    );
    Ok(())
}

fn leaves_the_relay(visitor: &Visitor, peer: &str) -> Result<()> {
    until("the two are connected without the relay", || {
        let rows = visitor.peers()?;
        let webrtc = |row: &PeerRow| !row.relayed && row.transport.as_deref() == Some("WebRTC");
        let direct = rows.iter().any(|row| row.peer == peer && webrtc(row));
        Ok(direct.then_some(()))
    })
    .with_context(|| format!("{:?}", visitor.peers()))
}

/// Fragments that a tab lends.
const LEND: u32 = 16;
const QUESTION_TOKENS: u32 = 60;

/// Bytes by which both ends try a way before they take another: more of them are messages.
const CHECKS: u64 = 20_000;

pub(crate) fn tabs_behind_two_routers_compute_for_each_other_directly() -> Result<()> {
    let turned = tabs_compute_for_each_other(Nat::Cone, (11, 12))?;
    ensure!(turned < CHECKS, "{turned} bytes by TURN");
    Ok(())
}

pub(crate) fn tabs_whose_routers_let_nothing_else_through_compute_for_each_other_by_turn()
-> Result<()> {
    let turned = tabs_compute_for_each_other(Nat::Symmetric, (13, 14))?;
    ensure!(turned > CHECKS, "only {turned} bytes by TURN");
    Ok(())
}

/// Says how much went through the entry's TURN server.
fn tabs_compute_for_each_other(nat: Nat, numbers: (u8, u8)) -> Result<u64> {
    lab::core()?;
    let network = Network::public(CORE, true)?;
    let alone = network.alone(QUESTION, QUESTION_TOKENS)?;
    let (one, other) = (Site::new(numbers.0, nat)?, Site::new(numbers.1, nat)?);
    let origin = network.url.trim_end_matches('/');
    Browser::with_at(&one.host, origin, |lending| {
        let lender = Visitor::join(lending, &network.link(), LEND)?;
        let name = lender.peer_id()?;
        // The rest is computed in between, where both reach it.
        let worker = network.worker_for_the_rest(&lender.lends()?)?;
        Browser::with_at(&other.host, origin, |browser| {
            let visitor = Visitor::join(browser, &network.link(), 1)?;
            visitor.meets(&worker.peer_id()?)?;
            visitor.meets(&name)?;
            leaves_the_relay(&visitor, &name)?;
            visitor.be_predictable(QUESTION_TOKENS)?;
            // From here on the entry, which was the relay, hears nothing of what is computed.
            let port = network.address.split('/').nth(4).context("no port")?;
            let relay = Meter::tcp(port.parse()?)?;
            visitor.ask(QUESTION)?;
            same(&visitor.answer()?, &alone)?;
            let relayed = relay.bytes()?;
            let answered = visitor
                .peers()?
                .into_iter()
                .find(|row| row.peer == name)
                .map_or(0, |row| row.answered);
            ensure!(answered > 0, "the other tab computed nothing");
            // One request and its answer are some kilobytes.
            ensure!(
                relayed < 256 * answered,
                "{relayed} bytes through the relay for {answered} requests"
            );
            let turned = network.through_turn()?;
            println!(
                "{relayed} bytes through the relay, {turned} by TURN, {answered} requests answered"
            );
            Ok(turned)
        })
    })
}

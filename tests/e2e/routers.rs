//! Nodes behind routers find a way to each other.

use std::{ffi::OsStr, path::Path};

use anyhow::{Context, Result, ensure};
use e2e::{
    Browser, FRAGMENT_SIZE, Network, Program, Visitor,
    experiments::connect::{compute, leaves_the_relay},
    lab::{self, CORE, Nat, Site},
    link::{self, Conditions},
    model, until,
};

use crate::answer::{QUESTION, same};

/// How often the model reads a text: so often that the relay is left on the way.
const TIMES: usize = 2;
/// And how much of it, where what it takes to compute on it has a long way to go.
const FAR: usize = 400;
/// Tokens it reads at a time.
const WINDOW: &str = "32";

/// What is between the routers and the internet: links with a length, where the machine has them.
fn home() -> Option<Conditions> {
    link::is_possible().then_some(Conditions::HOME)
}

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
    log: String,
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
    let site = |number, nat| Site::new(number, nat, home());
    let (one, other) = (site(numbers.0, worker)?, site(numbers.1, asking)?);
    let folder = tempfile::tempdir()?;
    let _worker = network.worker_behind(&one, &folder.path().join("worker.key"))?;
    read_at(&other, program, text, &network, turn)
}

/// Somebody at this site has a text read, whoever it is that computes.
fn read_at(
    asking: &Site,
    program: &Program,
    text: &Path,
    network: &Network,
    turn: bool,
) -> Result<Answer> {
    let (figure, log) = program.at(&asking.host).run_and_log(&[
        &"--log",
        &"network=debug",
        &"perplexity",
        &"--window",
        &WINDOW,
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
    Ok(Answer { figure, way, log })
}

pub(crate) fn nodes_behind_routers_compute_for_each_other_as_directly_as_can_be() -> Result<()> {
    let program = Program::find()?;
    lab::core()?;
    let folder = tempfile::tempdir()?;
    let text = folder.path().join("text");
    let once = model()?.with_file_name("perplexity.txt");
    let mut words = std::fs::read_to_string(once)?.repeat(TIMES);
    if home().is_some() {
        words.truncate(words.floor_char_boundary(FAR));
    }
    std::fs::write(&text, words)?;
    let alone = program.run(&[
        &"perplexity",
        &"--window",
        &WINDOW,
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
    let (one, other) = (
        Site::new(21, Nat::Cone, home())?,
        Site::new(22, Nat::Cone, home())?,
    );
    let folder = tempfile::tempdir()?;
    let worker = network.worker_behind(&one, &folder.path().join("worker.key"))?;
    let name = worker.peer_id()?;
    let origin = network.url.trim_end_matches('/');
    Browser::with_at(&other.host, origin, |browser| {
        let visitor = Visitor::join(browser, &network.link(), 1)?;
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

const QUESTION_TOKENS: u32 = 24;

/// Bytes by which both ends try a way before they take another: more of them are messages.
const CHECKS: u64 = 20_000;

pub(crate) fn tabs_behind_two_routers_compute_for_each_other_directly() -> Result<()> {
    println!("{:?}", compute((Nat::Cone, Nat::Cone), (11, 12))?);
    Ok(())
}

pub(crate) fn tabs_whose_routers_let_nothing_else_through_compute_for_each_other_by_turn()
-> Result<()> {
    let nats = (Nat::Symmetric, Nat::Symmetric);
    println!("{:?}", compute(nats, (13, 14))?);
    Ok(())
}

/// A port that a router lets everybody through to.
const PORT: u16 = 4001;

pub(crate) fn a_node_whose_router_lets_others_in_is_dialled_by_them() -> Result<()> {
    let program = Program::find()?;
    lab::core()?;
    let folder = tempfile::tempdir()?;
    let text = folder.path().join("text");
    let whole = std::fs::read_to_string(model()?.with_file_name("perplexity.txt"))?;
    std::fs::write(&text, &whole[..whole.floor_char_boundary(FAR)])?;
    let network = Network::public(CORE, false)?;
    let (one, other) = (
        Site::new(41, Nat::Cone, home())?,
        // It can meet nobody halfway.
        Site::new(42, Nat::Symmetric, home())?,
    );
    one.let_in(PORT)?;
    let key = folder.path().join("worker.key");
    let listen = format!("/ip4/{}/tcp/{PORT}", one.address);
    let debug: &[&dyn AsRef<OsStr>] = &[&"--log", &"network=debug"];
    let worker = network.worker_listening(&one.host, &listen, &key, debug)?;
    let seen = format!("/ip4/{}/tcp/{PORT}", one.outside());
    until("the node has found out that it can be dialled", || {
        let log = worker.log();
        let mut lines = log.lines();
        let told = lines.any(|line| line.contains("reachable") && line.contains(&seen));
        Ok(told.then_some(()))
    })
    .with_context(|| worker.log())?;
    // The announcement follows; until it is made, who asks is told of the relay.
    let answer = until("it is dialled", || {
        let answer = read_at(&other, &program, &text, &network, false)?;
        Ok((answer.way == Way::Dialled).then_some(answer))
    })?;
    ensure!(
        answer.log.contains(&seen),
        "it was dialled elsewhere:\n{}",
        answer.log
    );
    Ok(())
}

//! The first seconds of somebody who opens an invitation over a slow line: until something is seen, until the device
//! contributes, and until an answer begins.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{Table, asking::Asking, percentile, progress};
use crate::{
    Browser, Network, Visitor,
    link::{Conditions, Star},
    namespace, until,
};

/// How large the experiment is.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often somebody comes.
    pub visits: usize,
    /// Bits a second of their line.
    pub bits_per_second: u64,
    /// What it takes to the network and back.
    pub round_trip: Duration,
}

/// By then the device is to have answered its first request.
const CONTRIBUTES: Duration = Duration::from_secs(10);
/// And its user to read the first word.
const ANSWERED: Duration = Duration::from_secs(15);

const QUESTION: &str = "Qu'est-ce qu'un fragment ?";

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// All figures.
    pub table: Table,
    /// What took longer than it may.
    pub worse: Vec<String>,
}

/// One visit, from the moment when the link is opened.
#[derive(Debug, Clone, Copy)]
struct Visit {
    /// Something is seen.
    paint: Duration,
    /// The program of the page is here.
    program: Duration,
    /// One can join.
    offered: Duration,
    /// The first fragment is here.
    lends: Duration,
    /// It was used for somebody.
    contributes: Duration,
    /// The first word of an answer.
    answered: Duration,
}

/// What is waited for, when it was there, and how long that may take.
type Step = (&'static str, fn(&Visit) -> Duration, Option<Duration>);

/// Runs the experiment, in a network of its own only ([`namespace::enter`]).
///
/// # Errors
/// If somebody does not get that far at all.
pub fn run_blocking(options: &Options) -> Result<Outcome> {
    ensure!(
        namespace::is_entered(),
        "this takes a network namespace of its own, which cannot be made here"
    );
    let bar = progress("visits", options.visits);
    let mut visits = Vec::new();
    for number in 0..options.visits {
        visits.push(visit(options, number as u64)?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let mut table = Table::new([
        "from opening the link until",
        "median",
        "slowest",
        "allowed",
    ]);
    let mut worse = Vec::new();
    let steps: [Step; 6] = [
        ("something is seen", |it| it.paint, None),
        ("the page's program has arrived", |it| it.program, None),
        ("one can join", |it| it.offered, None),
        ("the first fragment is here", |it| it.lends, None),
        (
            "the device has answered for somebody",
            |it| it.contributes,
            Some(CONTRIBUTES),
        ),
        (
            "the first word of an answer",
            |it| it.answered,
            Some(ANSWERED),
        ),
    ];
    let words = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    for (name, time, allowed) in steps {
        let times: Vec<_> = visits.iter().map(time).collect();
        let median = percentile(&times, 0.5).context("no visit")?;
        let slowest = percentile(&times, 1.0).context("no visit")?;
        table.row([
            name.to_owned(),
            words(median),
            words(slowest),
            allowed.map_or_else(String::new, words),
        ]);
        if allowed.is_some_and(|allowed| slowest > allowed) {
            worse.push(format!("{name}: {}", words(slowest)));
        }
    }
    if visits.iter().any(|it| it.paint >= it.program) {
        worse.push("nothing is seen before the program has arrived".into());
    }
    Ok(Outcome { table, worse })
}

/// A new network with one fragment that nobody computes on, and somebody new.
fn visit(options: &Options, seed: u64) -> Result<Visit> {
    const MISSING: u32 = 20;
    let conditions = Conditions {
        delay: options.round_trip / 2,
        bytes_per_second: Some(options.bits_per_second / 8),
        ..Conditions::default()
    };
    let star = Star::new(4, conditions, seed)?;
    let network = Network::at(&star.hosts[0], &Star::address(0))?;
    let keys = tempfile::tempdir()?;
    let held: Vec<_> = (0..network.fragments)
        .filter(|it| *it != MISSING)
        .map(|it| it.to_string())
        .collect();
    let _worker = network.worker_at(
        &star.hosts[1],
        &Star::address(1),
        &keys.path().join("worker"),
        &[&"--hold", &held.join(",")],
    )?;
    let _asking = Asking::start(
        network.program().at(&star.hosts[2]),
        network.plain_address()?,
        4,
    );
    let origin = network.url.trim_end_matches('/');
    Browser::with_at(&star.hosts[3], origin, |browser| {
        let tab = Visitor::open(browser, "about:blank")?;
        let opened = Instant::now();
        tab.start_to(&network.link())?;
        let shown = |what: &str, expression: &str| {
            until(what, || {
                Ok(tab
                    .eval(expression)
                    .is_ok_and(|it| it == true)
                    .then(|| opened.elapsed()))
            })
        };
        let offered = shown(
            "one can join",
            "document.querySelector('[data-testid=onboarding-join]') !== null",
        )?;
        tab.click("onboarding-join")?;
        let lends = shown(
            "a fragment is here",
            "document.querySelector('[data-testid=held-row]') !== null",
        )?;
        let ask = "(input => input !== null && !document.querySelector('[data-testid=example]')?.disabled)(
            document.querySelector('[data-testid=chat-input]'))";
        shown("one can ask", ask)?;
        tab.ask(QUESTION)?;
        let answered = shown(
            "the first word",
            "document.querySelector('[data-testid=message-answer]')?.textContent.trim().length > 0",
        )?;
        let contributes = shown(
            "the first request answered",
            "Number(document.querySelector('[data-testid=answered-by-me]')?.textContent) > 0",
        )?;
        let milliseconds = |expression: &str| {
            let value = tab.eval(expression)?;
            let value = value
                .as_f64()
                .with_context(|| format!("no time: {expression}"))?;
            anyhow::Ok(Duration::from_secs_f64(value / 1e3))
        };
        Ok(Visit {
            paint: milliseconds(
                "performance.getEntriesByName('first-contentful-paint')[0].startTime",
            )?,
            program: milliseconds(
                "performance.getEntriesByType('resource').find(it => /web-.*_bg\\.wasm/.test(it.name)).responseEnd",
            )?,
            offered,
            lends,
            contributes,
            answered,
        })
    })
}

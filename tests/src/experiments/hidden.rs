//! What a tab goes on doing while nobody sees it: browsers slow hidden pages down, and more so after five minutes.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{Table, asking::Asking};
use crate::{Browser, Network, Visitor, namespace};

/// How large the experiment is.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a tab is seen, and how long it is hidden afterwards.
    pub seen: Duration,
    /// At least six minutes, or nothing is shown of what happens after five.
    pub hidden: Duration,
}

/// What a tab has against being slowed down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// It is connected by WebSocket alone.
    Nothing,
    /// It has direct connections, too.
    Direct,
    /// And a tone that nobody hears.
    Tone,
}

impl Means {
    const ALL: [Self; 3] = [Self::Nothing, Self::Direct, Self::Tone];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "WebSocket only",
            Self::Direct => "a direct connection (WebRTC)",
            Self::Tone => "a direct connection and the tone",
        }
    }
}

/// How much of a minute's work is counted at a time.
const STEP: Duration = Duration::from_secs(30);
/// When browsers slow down more.
const LATE: Duration = Duration::from_secs(300);

/// Runs the experiment, in a network of its own only ([`namespace::enter`]): all means at the same time, each in a browser
/// and a network of its own, and each is compared with itself.
///
/// # Errors
/// If a tab does not take part.
pub fn run_blocking(options: &Options) -> Result<Table> {
    ensure!(
        namespace::is_entered(),
        "this takes a network namespace of its own, which cannot be made here"
    );
    let threads = Means::ALL.map(|means| {
        let options = options.clone();
        thread::spawn(move || watch(means, &options))
    });
    let mut table = Table::new([
        "the tab has",
        "seen, requests a second",
        "hidden, the first five minutes",
        "hidden, after that",
    ]);
    for (means, thread) in Means::ALL.into_iter().zip(threads) {
        let [seen, early, late] = thread
            .join()
            .map_err(|_| anyhow::anyhow!("a thread has panicked"))??;
        let share = |rate: f64| format!("{rate:.1} ({:.0} %)", 100.0 * rate / seen.max(1e-9));
        table.row([
            means.name().to_owned(),
            format!("{seen:.1}"),
            share(early),
            share(late),
        ]);
    }
    Ok(table)
}

/// Requests answered a second while the tab is seen, in the first minutes after it was hidden, and later.
fn watch(means: Means, options: &Options) -> Result<[f64; 3]> {
    const LEND: u32 = 2;
    let network = Network::start()?;
    Browser::with(|browser| {
        let link = format!("{}&lend={LEND}", network.link());
        let link = match means {
            Means::Nothing => link.replacen('#', "?direct=0#", 1),
            Means::Direct | Means::Tone => link,
        };
        let tab = Visitor::open(browser, &link)?;
        tab.accept()?;
        tab.wait_until_it_lends(LEND)?;
        let lends = tab.lends()?;
        let worker = network.worker_for_the_rest(&lends)?;
        tab.meets(&worker.peer_id()?)?;
        // A neighbour that is connected directly, as most are.
        let neighbour = Visitor::join(browser, &network.link(), 1)?;
        if means != Means::Nothing {
            tab.meets(&neighbour.peer_id()?)?;
        }
        tab.show()?;
        if means == Means::Tone {
            tab.click("tone")?;
        }
        let _asking = Asking::start(network.program().clone(), network.plain_address()?, 200);
        let answered = || {
            let text =
                tab.eval("document.querySelector('[data-testid=answered-by-me]').textContent")?;
            let text = text.as_str().context("no number")?;
            Ok::<u64, anyhow::Error>(text.parse()?)
        };
        tab.wait_until(
            "Number(document.querySelector('[data-testid=answered-by-me]').textContent) > 0",
        )?;
        let rate = |time: Duration| {
            let (begun, before) = (Instant::now(), answered()?);
            while begun.elapsed() < time {
                thread::sleep(STEP.min(time));
            }
            let done = answered()?.saturating_sub(before);
            Ok::<f64, anyhow::Error>(done as f64 / begun.elapsed().as_secs_f64())
        };
        let seen = rate(options.seen)?;
        neighbour.show()?;
        ensure!(
            tab.eval("document.hidden")? == true,
            "the tab is still seen"
        );
        let early = rate(options.hidden.min(LATE))?;
        let late = rate(options.hidden.saturating_sub(LATE).max(STEP))?;
        Ok([seen, early, late])
    })
}

//! Numbered steps: what is done, for how long, and what came of it.

use std::{
    ops::AddAssign,
    time::{Duration, Instant},
};

use anyhow::Result;

/// How many checks passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

impl Tally {
    /// One check that passed.
    pub(crate) const ONE: Self = Self {
        passed: 1,
        failed: 0,
    };

    /// What a line of a test program's output says about tests: the summaries of `cargo test` and of nextest.
    pub(crate) fn from_report(line: &str) -> Self {
        let line = without_colours(line);
        let line = line.trim_end();
        let nextest = line.trim_start().starts_with("Summary [") && line.contains(" run: ");
        // Indented it is what nextest shows of a test that failed.
        if !(line.starts_with("test result: ") || nextest) {
            return Self::default();
        }
        let count = |what: &str| {
            let words: Vec<_> = line
                .split([' ', ',', ';', '.', '('])
                .filter(|word| !word.is_empty())
                .collect();
            let at = words.iter().position(|word| *word == what);
            at.and_then(|at| words[at.checked_sub(1)?].parse().ok())
                .unwrap_or(0)
        };
        Self {
            passed: count("passed"),
            failed: count("failed") + if nextest { count("timed") } else { 0 },
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Removes the escape sequences with which terminals are told colours.
fn without_colours(line: &str) -> String {
    let mut rest = line;
    let mut plain = String::with_capacity(line.len());
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    plain + rest
}

/// A list of steps of known length.
pub(crate) struct Steps {
    total: usize,
    started: Instant,
    /// What was not done has no tally.
    done: Vec<(String, Duration, Option<Tally>)>,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            total,
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Does one step; an error counts as one failure and does not stop the next step.
    pub(crate) fn step(&mut self, what: &str, work: impl FnOnce() -> Result<Tally>) {
        println!("\n[{}/{}] {what}", self.done.len() + 1, self.total);
        let started = Instant::now();
        let tally = work().unwrap_or_else(|error| {
            println!("      {error:#}");
            Tally {
                passed: 0,
                failed: 1,
            }
        });
        let (took, verdict) = (started.elapsed(), verdict(tally));
        println!(
            "      {verdict} in {} (total {})",
            human(took),
            human(self.started.elapsed())
        );
        self.done.push((what.to_owned(), took, Some(tally)));
    }

    /// Says that a step is not done here, and why.
    pub(crate) fn leave_out(&mut self, what: &str, reason: &str) {
        println!("\n[{}/{}] {what}", self.done.len() + 1, self.total);
        println!("      NOT RUN: {reason}");
        self.done.push((what.to_owned(), Duration::ZERO, None));
    }

    /// Prints what came of all steps; the last line is `N passed, N failed`. True when nothing failed.
    pub(crate) fn finish(self) -> bool {
        println!("\nSummary, {}:", human(self.started.elapsed()));
        let mut sum = Tally::default();
        for (what, took, tally) in &self.done {
            sum += tally.unwrap_or_default();
            let verdict = tally.map_or_else(|| "NOT RUN".to_owned(), verdict);
            println!("  {:>8}  {verdict:24} {what}", human(*took));
        }
        println!("\n{} passed, {} failed", sum.passed, sum.failed);
        sum.failed == 0
    }
}

fn verdict(tally: Tally) -> String {
    match tally {
        Tally {
            passed: 1,
            failed: 0,
        } => "ok".into(),
        Tally { passed, failed: 0 } => format!("ok ({passed} passed)"),
        Tally { passed: 0, .. } => "FAILED".into(),
        Tally { passed, failed } => format!("FAILED ({passed} passed, {failed} failed)"),
    }
}

/// A duration as a person would say it.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_cargo_test_is_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(
            Tally::from_report(line),
            Tally {
                passed: 12,
                failed: 3
            }
        );
    }

    #[test]
    fn the_summary_of_nextest_is_counted_through_its_colours() {
        let line = "\u{1b}[32;1m     Summary\u{1b}[0m [   0.012s] 25 tests run: 23 passed (1 slow), 1 failed, 1 timed out, 0 skipped";
        assert_eq!(
            Tally::from_report(line),
            Tally {
                passed: 23,
                failed: 2
            }
        );
    }

    #[test]
    fn what_nextest_shows_of_a_failed_test_is_not_counted_again() {
        let line =
            "    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 53 filtered out";
        assert_eq!(Tally::from_report(line), Tally::default());
    }

    #[test]
    fn a_line_that_only_talks_of_passing_is_not_counted() {
        assert_eq!(Tally::from_report("2 passed on the way"), Tally::default());
    }
}

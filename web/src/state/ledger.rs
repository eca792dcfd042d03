//! What this browser has contributed, day by day.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::platform::storage;

const KEY: &str = "iap2p.contributed";
/// Days that are kept.
const DAYS: usize = 366;

/// What was done on a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Day {
    /// Requests of others answered.
    pub(crate) answered: u64,
    /// Bytes sent to others.
    pub(crate) sent: u64,
}

impl Day {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.sent += other.sent;
    }

    /// What has come since this was counted. Connections that are gone have taken their bytes with them.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            answered: self.answered.saturating_sub(before.answered),
            sent: self.sent.saturating_sub(before.sent),
        }
    }
}

/// Days by their dates, as `2026-11-30`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    days: BTreeMap<String, Day>,
}

impl Ledger {
    /// As this browser has it; what cannot be read is as if nothing had been done.
    pub(crate) fn load() -> Self {
        let text = storage::browser().get(KEY);
        text.and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default()
    }

    /// Adds what was done today, to what other tabs have written meanwhile.
    pub(crate) fn note(today: &str, more: Day) -> Self {
        let mut ledger = Self::load();
        ledger.add(today, more);
        if let Ok(text) = serde_json::to_string(&ledger) {
            storage::browser().set(KEY, &text);
        }
        ledger
    }

    fn add(&mut self, today: &str, more: Day) {
        self.days.entry(today.to_owned()).or_default().add(more);
        while self.days.len() > DAYS {
            self.days.pop_first();
        }
    }

    pub(crate) fn total(&self) -> Day {
        let mut total = Day::default();
        self.days.values().for_each(|day| total.add(*day));
        total
    }

    /// How many days something was done on.
    pub(crate) fn days(&self) -> usize {
        self.days.values().filter(|day| day.answered > 0).count()
    }

    /// The last of them on which something was done, in their order.
    pub(crate) fn last(&self, count: usize) -> Vec<(String, Day)> {
        let skipped = self.days.len().saturating_sub(count);
        let last = self.days.iter().skip(skipped);
        last.map(|(date, day)| (date.clone(), *day)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(answered: u64, sent: u64) -> Day {
        Day { answered, sent }
    }

    #[test]
    fn days_are_added_up_and_old_ones_forgotten() {
        let mut ledger = Ledger::default();
        ledger.add("2026-01-01", day(1, 10));
        ledger.add("2026-01-01", day(2, 20));
        ledger.add("2026-01-02", day(0, 5));
        assert_eq!(ledger.total(), day(3, 35));
        assert_eq!(ledger.days(), 1);
        assert_eq!(ledger.last(1), [("2026-01-02".to_owned(), day(0, 5))]);
        for number in 0..500 {
            ledger.add(&format!("2027-{number:03}"), day(1, 0));
        }
        assert_eq!(ledger.total().answered, DAYS as u64);
    }

    #[test]
    fn what_went_with_a_connection_is_not_counted_again() {
        assert_eq!(day(9, 5).since(day(4, 5)), day(5, 0));
        assert_eq!(day(5, 1).since(day(4, 500)), day(1, 0));
    }
}

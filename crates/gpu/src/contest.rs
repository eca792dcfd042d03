//! Which device multiplies: decided by racing them on real work, not by what devices say of themselves.
//!
//! Here times come in and decisions go out; whoever computes has the clock.

use std::{collections::BTreeMap, time::Duration};

/// Products that both devices compute before one is chosen. Odd, so that there is one in the middle.
const HEATS: usize = 5;
/// Products that the winner computes alone before it is challenged again: a device heats up, another program ends.
const REIGN: u32 = 2000;

/// How many tokens a product is about, as far as it decides which device is quicker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Batch {
    /// One: weights are read once and used once.
    One,
    /// Up to eight: a read of weights serves them all.
    Few,
    /// More: multiplying takes longer than reading.
    Many,
}

impl Batch {
    /// Of so many tokens.
    #[must_use]
    pub fn of(tokens: usize) -> Self {
        match tokens {
            0 | 1 => Self::One,
            2..=8 => Self::Few,
            _ => Self::Many,
        }
    }
}

/// Who computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The CPU.
    Cpu,
    /// The graphics processor.
    Gpu,
    /// Both, timed: [`Contest::timed`] wants to know.
    Both,
}

/// Races the graphics processor against the CPU, in each kind of product `K` by itself.
///
/// It never forgets a kind, so there must not be many: let strangers name none.
#[derive(Clone, Debug)]
pub struct Contest<K> {
    races: BTreeMap<K, Race>,
}

#[derive(Clone, Debug, Default)]
struct Race {
    /// What the heats so far took: the CPU, the graphics processor.
    heats: Vec<(Duration, Duration)>,
    /// Whether the graphics processor won the last race, and how many products are left until the next.
    won: Option<bool>,
    reign: u32,
}

/// In how many kinds of product a graphics processor stands how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// It is the quicker one.
    pub won: usize,
    /// The CPU is.
    pub lost: usize,
    /// The first race goes on.
    pub open: usize,
}

impl<K: Ord> Contest<K> {
    /// With nothing decided.
    #[must_use]
    pub fn new() -> Self {
        Self {
            races: BTreeMap::new(),
        }
    }

    /// Whose turn it is to compute a product of this kind.
    pub fn turn(&mut self, kind: K) -> Turn {
        let race = self.races.entry(kind).or_default();
        match race.won {
            Some(won) if race.reign > 0 => {
                race.reign -= 1;
                if won { Turn::Gpu } else { Turn::Cpu }
            }
            _ => Turn::Both,
        }
    }

    /// How long both took for a product of this kind.
    pub fn timed(&mut self, kind: K, cpu: Duration, gpu: Duration) {
        let race = self.races.entry(kind).or_default();
        race.heats.push((cpu, gpu));
        if race.heats.len() < HEATS {
            return;
        }
        // The one in the middle: the first product of a shader waits for its compiler, and anything may come between.
        let (cpu, gpu): (Vec<_>, Vec<_>) = std::mem::take(&mut race.heats).into_iter().unzip();
        race.won = Some(median(gpu) < median(cpu));
        race.reign = REIGN;
    }

    /// The last decisions.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let count = |won| self.races.values().filter(|race| race.won == won).count();
        Standing {
            won: count(Some(true)),
            lost: count(Some(false)),
            open: count(None),
        }
    }
}

impl<K: Ord> Default for Contest<K> {
    fn default() -> Self {
        Self::new()
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn race(contest: &mut Contest<Batch>, kind: Batch, cpu: u64, gpu: u64) {
        for _ in 0..HEATS {
            assert_eq!(contest.turn(kind), Turn::Both);
            contest.timed(kind, ms(cpu), ms(gpu));
        }
    }

    #[test]
    fn both_compute_until_the_quicker_one_is_known() {
        for (cpu, gpu, winner) in [(3, 2, Turn::Gpu), (2, 3, Turn::Cpu)] {
            let mut contest = Contest::new();
            race(&mut contest, Batch::One, cpu, gpu);
            assert_eq!(contest.turn(Batch::One), winner);
        }
    }

    #[test]
    fn a_draw_leaves_the_work_with_the_exact_one() {
        let mut contest = Contest::new();
        race(&mut contest, Batch::One, 2, 2);
        assert_eq!(contest.turn(Batch::One), Turn::Cpu);
    }

    #[test]
    fn a_slow_start_costs_no_victory() {
        let mut contest = Contest::new();
        for gpu in [900, 1, 1, 70, 1] {
            contest.timed(Batch::One, ms(2), ms(gpu));
        }
        assert_eq!(contest.turn(Batch::One), Turn::Gpu);
    }

    #[test]
    fn each_kind_has_its_own_winner() {
        let mut contest = Contest::new();
        race(&mut contest, Batch::One, 1, 2);
        race(&mut contest, Batch::Many, 50, 4);
        assert_eq!(contest.turn(Batch::One), Turn::Cpu);
        assert_eq!(contest.turn(Batch::Few), Turn::Both);
        assert_eq!(contest.turn(Batch::Many), Turn::Gpu);
        let standing = Standing {
            won: 1,
            lost: 1,
            open: 1,
        };
        assert_eq!(contest.standing(), standing);
    }

    #[test]
    fn a_winner_is_challenged_again_now_and_then() {
        let mut contest = Contest::new();
        race(&mut contest, Batch::One, 3, 2);
        for _ in 0..REIGN {
            assert_eq!(contest.turn(Batch::One), Turn::Gpu);
        }
        // It counts as the winner until it has lost.
        assert_eq!(contest.turn(Batch::One), Turn::Both);
        assert_eq!(contest.standing().won, 1);
        race(&mut contest, Batch::One, 1, 2);
        assert_eq!(contest.turn(Batch::One), Turn::Cpu);
    }

    #[test]
    fn tokens_are_counted_as_one_few_or_many() {
        let kinds = [1, 2, 8, 9, 256].map(Batch::of);
        assert_eq!(
            kinds,
            [Batch::One, Batch::Few, Batch::Few, Batch::Many, Batch::Many]
        );
    }
}

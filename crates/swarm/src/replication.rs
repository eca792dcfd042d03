//! How many nodes should hold each fragment.
//!
//! If a share `loss` of all nodes goes at once, and who goes does not depend on what it holds, all replicas of a fragment
//! go with probability `loss^replicas`, and a fragment of every kind is left with
//! `(1 − loss^replicas)^fragments`: see [`survival`]. What matters is thus the *number of fragments that have to be
//! there*: the few that every token needs can be given many replicas for little, the many expert fragments cannot, and
//! need not, because an answer can do without some of them.
//!
//! Every node has to reach the same figures, so there are only additions, multiplications and divisions here: powers and
//! logarithms of the platform may differ in the last bit.

use crate::{Catalogue, FragmentInfo};
use std::time::Duration;

/// The most replicas that are ever wanted, whatever is asked for. With half of all nodes lost at once, one of a million
/// fragments is lost then with a probability below one in 10¹³.
pub const MOST_REPLICAS: u32 = 64;

/// How many replicas each class of fragments should have. At least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Replication {
    /// Of a fragment that every token needs.
    pub always_active: u32,
    /// Of a fragment that only some tokens need.
    pub conditional: u32,
}

/// What is to be kept while nodes come and go, as often as they are seen to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// With which probability a replica of every fragment is left at any time.
    pub probability: f64,
    /// For how long that is to hold.
    pub over: Duration,
    /// The fewest replicas of anything, however seldom nodes are seen to go: many may go at once all the same.
    pub least: u32,
}

impl Target {
    /// With 99 % nothing is lost in a month, and there are three of everything at least.
    pub const MONTH: Self = Self {
        probability: 0.99,
        over: Duration::from_secs(30 * 24 * 3600),
        least: 3,
    };
}

/// Of each class the share of replicas that goes before it is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Losses {
    /// Of fragments that every token needs.
    pub always_active: f64,
    /// Of the others.
    pub conditional: f64,
}

/// What has to be left after a loss.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// The share of all nodes that goes before anything can be repaired, 0 to 1.
    pub loss: f64,
    /// With which probability enough is left.
    pub probability: f64,
    /// The share of the conditional fragments that an answer needs: 1 for all of them, less for one that may be degraded.
    pub conditional: f64,
}

impl Replication {
    /// Three of everything.
    pub const THREE: Self = Self::uniform(3);
    /// Five of everything.
    pub const FIVE: Self = Self::uniform(5);

    /// The same for both classes.
    #[must_use]
    pub const fn uniform(replicas: u32) -> Self {
        Self {
            always_active: replicas,
            conditional: replicas,
        }
    }

    /// The fewest replicas that reach all of `goals`, at most [`MOST_REPLICAS`]. Each class may fail half as often as all
    /// together.
    #[must_use]
    pub fn reaching(goals: &[Goal], catalogue: &Catalogue) -> Self {
        let always_active = catalogue.always_active();
        let conditional = catalogue.fragments.len() - always_active;
        let fewest = |enough: &dyn Fn(&Goal, u32) -> bool| {
            fewest(|replicas| goals.iter().all(|goal| enough(goal, replicas)))
        };
        let each = |goal: &Goal| 1.0 - (1.0 - goal.probability) / 2.0;
        Self {
            always_active: fewest(&|goal, replicas| {
                survival(goal.loss, replicas, always_active) >= each(goal)
            }),
            conditional: fewest(&|goal, replicas| {
                let may_go = ((1.0 - goal.conditional) * conditional as f64) as usize;
                if may_go == 0 {
                    survival(goal.loss, replicas, conditional) >= each(goal)
                } else {
                    let lost = power(goal.loss, replicas as usize);
                    stays_below(lost, conditional, may_go, 1.0 - each(goal))
                }
            }),
        }
    }

    /// The fewest replicas with which `target` is met, if in each of `periods` such shares of them go and the rest is
    /// repaired. Shares are rounded up to powers of two, so that nodes which see nearly the same want the same.
    #[must_use]
    pub fn keeping(target: &Target, losses: Losses, periods: f64, catalogue: &Catalogue) -> Self {
        let always_active = catalogue.always_active();
        let conditional = catalogue.fragments.len() - always_active;
        // Each class may fail half as often as both together, in each period as seldom as in all of them together.
        let allowed = (1.0 - target.probability) / (2.0 * periods.max(1.0));
        let of_class = |loss: f64, fragments: usize| {
            let loss = power_of_two_above(loss);
            // Not 1 − (1 − loss^replicas)^fragments, of which nothing would be left beside the 1.
            fewest(|replicas| power(loss, replicas as usize) * fragments as f64 <= allowed)
                .clamp(target.least.max(1), MOST_REPLICAS)
        };
        Self {
            always_active: of_class(losses.always_active, always_active),
            conditional: of_class(losses.conditional, conditional),
        }
    }

    /// How many replicas a fragment should have.
    #[must_use]
    pub fn of(&self, fragment: &FragmentInfo) -> u32 {
        let wanted = if fragment.always_active {
            self.always_active
        } else {
            self.conditional
        };
        wanted.clamp(1, MOST_REPLICAS)
    }

    /// What all replicas together take.
    #[must_use]
    pub fn bytes(&self, catalogue: &Catalogue) -> u64 {
        let each = |fragment| self.of(fragment) as u64 * fragment.bytes;
        catalogue.fragments.iter().map(each).sum()
    }
}

impl Default for Replication {
    fn default() -> Self {
        Self::THREE
    }
}

/// The probability that of each of so many fragments a replica is left: `(1 − loss^replicas)^fragments`.
#[must_use]
pub fn survival(loss: f64, replicas: u32, fragments: usize) -> f64 {
    power(1.0 - power(loss, replicas as usize), fragments)
}

/// The share of replicas that goes while one that is lost is being replaced, if that takes `repair`, from how often they
/// are seen to go: `lost` in the `seconds` that all of them together were there. Everything is taken for lost at once,
/// which errs on the safe side.
#[must_use]
pub fn loss_within(repair: Duration, lost: f64, seconds: f64) -> f64 {
    if seconds <= 0.0 {
        return 0.0;
    }
    (lost * repair.as_secs_f64() / seconds).min(1.0)
}

/// The smallest number of replicas that is enough, at most [`MOST_REPLICAS`].
fn fewest(enough: impl Fn(u32) -> bool) -> u32 {
    (1..MOST_REPLICAS)
        .find(|replicas| enough(*replicas))
        .unwrap_or(MOST_REPLICAS)
}

/// 1, ½, ¼ and so on: the smallest of them that is not below.
fn power_of_two_above(share: f64) -> f64 {
    let mut power = 1.0;
    while power / 2.0 >= share && power > f64::EPSILON {
        power /= 2.0;
    }
    power
}

/// Whether more than `most` of `fragments` are lost with a probability of at most `allowed`, each with `lost`. Chebyshev's
/// inequality asks for far more room than independent losses need; what it leaves is for fragments that are held together
/// and go together.
fn stays_below(lost: f64, fragments: usize, most: usize, allowed: f64) -> bool {
    let mean = lost * fragments as f64;
    let spare = most as f64 + 1.0 - mean;
    spare > 0.0 && mean * (1.0 - lost) <= allowed * spare * spare
}

/// By repeated squaring.
fn power(base: f64, exponent: usize) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left & 1 == 1 {
            result *= square;
        }
        square *= square;
        left >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentId;

    /// As in the project's first plan.
    fn catalogue() -> Catalogue {
        let info = |always_active| FragmentInfo {
            content: ContentId([0; 32]),
            bytes: 10,
            always_active,
        };
        let fragments = std::iter::repeat_n(info(true), 1218);
        Catalogue {
            fragments: fragments
                .chain(std::iter::repeat_n(info(false), 44_907))
                .collect(),
        }
    }

    #[test]
    fn three_replicas_do_not_keep_a_large_model_whole_when_a_tenth_of_the_nodes_goes() {
        // 1 − (1 − 0.1³)^1218, worked out apart.
        assert!((1.0 - survival(0.1, 3, 1218) - 0.704_36).abs() < 1e-5);
        assert!((survival(0.5, 1, 2) - 0.25).abs() < 1e-15);
    }

    #[test]
    fn the_edges_of_survival() {
        assert_eq!(survival(0.0, 1, 1_000_000), 1.0);
        assert_eq!(survival(1.0, 64, 1), 0.0);
        assert_eq!(survival(0.9, 1, 0), 1.0);
    }

    #[test]
    fn the_factors_are_the_smallest_that_reach_the_goal() {
        let catalogue = catalogue();
        let whole = Goal {
            loss: 0.1,
            probability: 0.99,
            conditional: 1.0,
        };
        let found = Replication::reaching(&[whole], &catalogue);
        for (replicas, fragments) in [(found.always_active, 1218), (found.conditional, 44_907)] {
            assert!(survival(0.1, replicas, fragments) >= 0.995);
            assert!(survival(0.1, replicas - 1, fragments) < 0.995);
        }
        assert_eq!((found.always_active, found.conditional), (6, 7));
    }

    #[test]
    fn what_may_be_missing_needs_fewer_replicas() {
        let catalogue = catalogue();
        let degraded = Goal {
            loss: 0.3,
            probability: 0.99,
            conditional: 0.9,
        };
        let found = Replication::reaching(&[degraded], &catalogue);
        // Two would lose 9 % on average, too near to the 10 % that may be lost.
        assert_eq!(found.conditional, 3);
        assert!(found.always_active >= 10, "{found:?}");
        let both = Replication::reaching(
            &[
                degraded,
                Goal {
                    loss: 0.1,
                    probability: 0.99,
                    conditional: 1.0,
                },
            ],
            &catalogue,
        );
        assert_eq!(both.conditional, 7);
    }

    #[test]
    fn an_impossible_goal_asks_for_the_most_and_ends() {
        let impossible = Goal {
            loss: 1.0,
            probability: 1.0,
            conditional: 1.0,
        };
        let found = Replication::reaching(&[impossible], &catalogue());
        assert_eq!(found, Replication::uniform(MOST_REPLICAS));
    }

    #[test]
    fn churn_says_how_many_go_before_repair_is_done() {
        let hour = 3600.0;
        let minute = Duration::from_secs(60);
        // A thousand of them for an hour, of which 600 go.
        assert!((loss_within(minute, 600.0, 1000.0 * hour) - 0.01).abs() < 1e-12);
        assert_eq!(loss_within(minute, 600.0, 0.0), 0.0);
        assert_eq!(loss_within(6000 * minute, 600.0, 1000.0 * hour), 1.0);
    }

    #[test]
    fn the_more_goes_the_more_is_wanted_in_the_class_where_it_goes() {
        let catalogue = catalogue();
        // A month in periods of four minutes.
        let periods = 30.0 * 24.0 * 15.0;
        let wanted = |always_active, conditional| {
            let losses = Losses {
                always_active,
                conditional,
            };
            Replication::keeping(&Target::MONTH, losses, periods, &catalogue)
        };
        // 0.005 / 10,800 may be lost in a period: 1218 · (1/8)^r ≤ 4.6e-7 from r = 10.4 on, 44,907 · (1/8)^r from 12.2,
        // 44,907 · (1/1024)^r from 3.7.
        let both = wanted(0.12, 0.12);
        assert_eq!((both.always_active, both.conditional), (11, 13));
        let servers = wanted(1e-5, 0.0009);
        assert_eq!((servers.always_active, servers.conditional), (3, 4));
        assert_eq!(wanted(0.0, 0.0), Replication::THREE);
        assert_eq!(wanted(1.0, 1.0), Replication::uniform(MOST_REPLICAS));
        // Nearly the same is the same.
        assert_eq!(wanted(0.07, 0.09), wanted(0.12, 0.124));
    }

    #[test]
    fn shares_are_rounded_up() {
        for (share, rounded) in [
            (1.0, 1.0),
            (0.5, 0.5),
            (0.51, 1.0),
            (0.1, 0.125),
            (2.0, 1.0),
        ] {
            assert_eq!(power_of_two_above(share), rounded, "{share}");
        }
        assert!(power_of_two_above(0.0) < 1e-15);
    }
}

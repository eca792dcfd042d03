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
            (1..MOST_REPLICAS)
                .find(|replicas| goals.iter().all(|goal| enough(goal, *replicas)))
                .unwrap_or(MOST_REPLICAS)
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

/// The share of nodes that goes while a lost replica is being replaced, from how often nodes are seen to go: so many of
/// `nodes` in `observed`, if repair takes `repair`. Everything is taken for lost at once, which errs on the safe side.
#[must_use]
pub fn loss_within(repair: Duration, departures: u64, nodes: u64, observed: Duration) -> f64 {
    let node_seconds = nodes as f64 * observed.as_secs_f64();
    if node_seconds <= 0.0 {
        return 0.0;
    }
    (departures as f64 * repair.as_secs_f64() / node_seconds).min(1.0)
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
        let hour = Duration::from_secs(3600);
        let minute = Duration::from_secs(60);
        assert!((loss_within(minute, 600, 1000, hour) - 0.01).abs() < 1e-12);
        assert_eq!(loss_within(minute, 600, 0, hour), 0.0);
        assert_eq!(loss_within(hour * 100, 600, 1000, hour), 1.0);
    }
}

//! Which way a token should take: who runs which layers, and how long that takes.
//!
//! A token goes through the layers one after the other, and through the steps of a layer one after the other: the answers
//! to one step are needed for the next. Whoever runs a layer (an *executor*) computes what it holds and asks others for the
//! rest, all of a step at the same time. So what counts is how often somebody waits for somebody else, and for how long:
//! [`layer_time`] says so for one executor, and [`plan`] finds the sequence of executors for which the sum is least, by
//! dynamic programming over (layer, executor), with the way from one executor to the next between them.
//!
//! The planner knows nobody; what it has to know is asked of a [`Sight`].

use crate::FragmentIndex;
use std::{ops::Range, time::Duration};

/// One request: a part of a fragment that a token's row is multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Of which fragment.
    pub fragment: FragmentIndex,
    /// Bytes of weights that are read for it.
    pub weights: u64,
    /// Bytes of the request, about: how long an answer takes depends on them.
    pub request: u32,
}

/// Of several groups of parts each token needs some, nobody knows which beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The groups; whoever is chosen is needed with all its parts.
    pub groups: Vec<Vec<Part>>,
    /// How many of them a token needs.
    pub used: usize,
}

/// What can be asked at the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What every token needs.
    pub always: Vec<Part>,
    /// What some need.
    pub some: Option<Choice>,
}

/// What one executor does without handing the token on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// One after the other.
    pub steps: Vec<Step>,
    /// Only the one who asks may do it, because it shows the text: embedding and output head.
    pub private: bool,
}

/// What is known of the swarm. Executors are counted from 0, which is the one who asks.
pub trait Sight {
    /// How many executors there are.
    fn executors(&self) -> usize;

    /// Whether an executor holds a fragment itself.
    fn holds(&self, executor: usize, fragment: FragmentIndex) -> bool;

    /// How long an executor takes to read so many bytes of weights and multiply with them.
    fn compute(&self, executor: usize, weights: u64) -> Duration;

    /// How long it takes until an executor has the answer of the best of the others who hold a part's fragment; nothing if
    /// there is nobody.
    fn ask(&self, executor: usize, part: &Part) -> Option<Duration>;

    /// How long a token's row takes from one executor to another.
    fn hop(&self, from: usize, to: usize) -> Duration;

    /// How long an executor takes for a layer, the one with this number, and how often it waits for others; nothing if it
    /// does not run it, or cannot. What an executor says of itself may be better known than what follows from its parts.
    fn layer(&self, executor: usize, _number: usize, layer: &Layer) -> Option<(Duration, usize)>
    where
        Self: Sized,
    {
        layer_time(self, executor, &layer.steps)
    }
}

/// A token's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Who runs which layers, one after the other.
    pub stages: Vec<Stage>,
    /// How long a token takes, with its way back to the one who asks.
    pub time: Duration,
}

/// A range of layers run by one executor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Who.
    pub executor: usize,
    /// Which layers.
    pub layers: Range<usize>,
    /// How often it waits for others.
    pub waits: usize,
}

/// How long an executor takes for a layer, and how often it waits for others; nothing if something that every token needs
/// is held by nobody. Of a [`Choice`], groups that nobody has are left out, as those who answer do it.
pub fn layer_time(
    sight: &impl Sight,
    executor: usize,
    steps: &[Step],
) -> Option<(Duration, usize)> {
    let mut total = Duration::ZERO;
    let mut waits = 0;
    for step in steps {
        let mut own = 0;
        let mut others = Duration::ZERO;
        for part in &step.always {
            if sight.holds(executor, part.fragment) {
                own += part.weights;
            } else {
                others = others.max(sight.ask(executor, part)?);
            }
        }
        if let Some(choice) = &step.some {
            let (weights, time) = chosen(sight, executor, choice);
            own += weights;
            others = others.max(time);
        }
        waits += usize::from(others > Duration::ZERO);
        // What is here is computed while others compute the rest.
        total += others.max(sight.compute(executor, own));
    }
    Some((total, waits))
}

/// What a choice usually costs: bytes of weights to be read here, and the time until the last answer of others. If `used`
/// groups are drawn, the slowest of them is on average as slow as `used / (used + 1)` of all are at most.
fn chosen(sight: &impl Sight, executor: usize, choice: &Choice) -> (u64, Duration) {
    let mut own = 0;
    let mut times: Vec<Duration> = choice
        .groups
        .iter()
        .filter_map(|group| {
            let mut slowest = Duration::ZERO;
            for part in group {
                if sight.holds(executor, part.fragment) {
                    own += part.weights;
                } else {
                    slowest = slowest.max(sight.ask(executor, part)?);
                }
            }
            Some(slowest)
        })
        .collect();
    if times.is_empty() {
        return (0, Duration::ZERO);
    }
    let used = choice.used.min(times.len());
    let at = (times.len() * used / (used + 1)).min(times.len() - 1);
    let (_, slowest, _) = times.select_nth_unstable(at);
    let slowest = *slowest;
    (own * used as u64 / times.len() as u64, slowest)
}

/// A given way through all layers: for each the executor that runs it. Nothing if one of them cannot.
pub fn follow(sight: &impl Sight, layers: &[Layer], way: &[usize]) -> Option<Route> {
    let mut stages: Vec<Stage> = Vec::new();
    let (mut time, mut at) = (Duration::ZERO, 0);
    for ((number, layer), &executor) in layers.iter().enumerate().zip(way) {
        if layer.private && executor != 0 {
            return None;
        }
        if executor != at {
            time += sight.hop(at, executor);
            at = executor;
        }
        let (takes, waits) = sight.layer(executor, number, layer)?;
        time += takes;
        match stages.last_mut() {
            Some(stage) if stage.executor == executor => {
                stage.layers.end = number + 1;
                stage.waits += waits;
            }
            _ => stages.push(Stage {
                executor,
                layers: number..number + 1,
                waits,
            }),
        }
    }
    if at != 0 {
        time += sight.hop(at, 0);
    }
    (way.len() == layers.len()).then_some(Route { stages, time })
}

/// The fastest way through all layers; nothing if something that every token needs is held by nobody.
pub fn plan(sight: &impl Sight, layers: &[Layer]) -> Option<Route> {
    /// The fastest way through the layers up to here that ends at an executor.
    #[derive(Clone, Copy)]
    struct Best {
        time: Duration,
        /// Who ran the layer before.
        before: usize,
        waits: usize,
    }
    let executors = sight.executors();
    let mut table: Vec<Vec<Option<Best>>> = Vec::with_capacity(layers.len());
    for (number, layer) in layers.iter().enumerate() {
        let last = table.last();
        let row = (0..executors).map(|executor| {
            if layer.private && executor != 0 {
                return None;
            }
            let reached = match last {
                None if executor == 0 => Some((Duration::ZERO, 0)),
                None => Some((sight.hop(0, executor), 0)),
                Some(last) => (0..executors)
                    .filter_map(|before| {
                        let hop = match before == executor {
                            true => Duration::ZERO,
                            false => sight.hop(before, executor),
                        };
                        Some((last[before]?.time + hop, before))
                    })
                    .min(),
            };
            let (reached, before) = reached?;
            let (time, waits) = sight.layer(executor, number, layer)?;
            Some(Best {
                time: reached + time,
                before,
                waits,
            })
        });
        let row = row.collect();
        table.push(row);
    }
    let end = |executor: usize, best: &Best| match executor {
        0 => best.time,
        _ => best.time + sight.hop(executor, 0),
    };
    let ends = table.last()?.iter().enumerate();
    let (time, mut executor) = ends
        .filter_map(|(executor, best)| Some((end(executor, best.as_ref()?), executor)))
        .min()?;
    let mut stages: Vec<Stage> = Vec::new();
    for (layer, row) in table.iter().enumerate().rev() {
        let best = row[executor]?;
        match stages.last_mut() {
            Some(stage) if stage.executor == executor => {
                stage.layers.start = layer;
                stage.waits += best.waits;
            }
            _ => stages.push(Stage {
                executor,
                layers: layer..layer + 1,
                waits: best.waits,
            }),
        }
        executor = best.before;
    }
    stages.reverse();
    Some(Route { stages, time })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    /// Executors that each hold some fragments; everything that is held by somebody can be asked for in `round_trip`.
    struct World {
        holds: Vec<Vec<u32>>,
        round_trip: Duration,
        hop: Duration,
        nowhere: Vec<u32>,
    }

    impl Sight for World {
        fn executors(&self) -> usize {
            self.holds.len()
        }

        fn holds(&self, executor: usize, fragment: FragmentIndex) -> bool {
            self.holds[executor].contains(&fragment.0)
        }

        fn compute(&self, _: usize, weights: u64) -> Duration {
            MS * weights as u32
        }

        fn ask(&self, _: usize, part: &Part) -> Option<Duration> {
            let somewhere = !self.nowhere.contains(&part.fragment.0);
            somewhere.then(|| self.round_trip + MS * part.weights as u32)
        }

        fn hop(&self, from: usize, to: usize) -> Duration {
            assert_ne!(from, to, "nobody hands anything to itself");
            self.hop
        }
    }

    fn part(fragment: u32) -> Part {
        Part {
            fragment: FragmentIndex(fragment),
            weights: 1,
            request: 100,
        }
    }

    fn layer(fragments: &[u32]) -> Layer {
        let step = |fragment: &u32| Step {
            always: vec![part(*fragment)],
            some: None,
        };
        Layer {
            steps: fragments.iter().map(step).collect(),
            private: false,
        }
    }

    fn world(holds: &[&[u32]]) -> World {
        World {
            holds: holds.iter().map(|held| held.to_vec()).collect(),
            round_trip: 20 * MS,
            hop: 10 * MS,
            nowhere: Vec::new(),
        }
    }

    #[test]
    fn who_holds_nothing_waits_at_every_step() {
        let route = plan(&world(&[&[]]), &[layer(&[0, 1]), layer(&[2, 3])]).unwrap();
        assert_eq!(route.time, 4 * 21 * MS);
        let stage = Stage {
            executor: 0,
            layers: 0..2,
            waits: 4,
        };
        assert_eq!(route.stages, [stage]);
    }

    #[test]
    fn all_of_a_step_is_asked_at_once() {
        let step = Step {
            always: vec![part(0), part(1), part(2)],
            some: None,
        };
        let time = layer_time(&world(&[&[2]]), 0, &[step]);
        assert_eq!(time, Some((21 * MS, 1)));
    }

    #[test]
    fn a_token_goes_to_those_who_hold_its_layers() {
        let world = world(&[&[], &[0, 1, 2], &[3, 4]]);
        let route = plan(&world, &[layer(&[0, 1, 2]), layer(&[3, 4])]).unwrap();
        // There, on, and back; and five products.
        assert_eq!(route.time, 35 * MS);
        let ways: Vec<_> = route
            .stages
            .iter()
            .map(|it| (it.executor, it.waits))
            .collect();
        assert_eq!(ways, [(1, 0), (2, 0)]);
    }

    #[test]
    fn a_way_that_is_longer_than_what_it_saves_is_not_gone() {
        let mut world = world(&[&[], &[0]]);
        world.hop = 11 * MS;
        let route = plan(&world, &[layer(&[0])]).unwrap();
        assert_eq!((route.time, route.stages[0].executor), (21 * MS, 0));
    }

    #[test]
    fn what_shows_the_text_stays_with_who_asks() {
        let mut private = layer(&[0]);
        private.private = true;
        let world = world(&[&[], &[0, 1, 2, 3]]);
        let layers = [private.clone(), layer(&[1, 2]), layer(&[3]), private];
        let route = plan(&world, &layers).unwrap();
        let ways: Vec<_> = route
            .stages
            .iter()
            .map(|it| (it.executor, it.layers.clone()))
            .collect();
        assert_eq!(ways, [(0, 0..1), (1, 1..3), (0, 3..4)]);
    }

    #[test]
    fn nothing_leads_through_what_nobody_has_unless_it_can_be_left_out() {
        let mut world = world(&[&[]]);
        world.nowhere = vec![1];
        assert_eq!(plan(&world, &[layer(&[0, 1])]), None);
        let step = Step {
            always: vec![part(0)],
            some: Some(Choice {
                groups: vec![vec![part(1)], vec![part(2), part(3)]],
                used: 1,
            }),
        };
        assert_eq!(layer_time(&world, 0, &[step]), Some((21 * MS, 1)));
    }

    #[test]
    fn of_a_choice_what_is_held_costs_its_share() {
        let choice = Choice {
            groups: (0..4).map(|fragment| vec![part(fragment)]).collect(),
            used: 2,
        };
        let step = Step {
            always: Vec::new(),
            some: Some(choice),
        };
        // All are here: two of four are computed.
        let here = world(&[&[0, 1, 2, 3]]);
        assert_eq!(
            layer_time(&here, 0, std::slice::from_ref(&step)),
            Some((2 * MS, 0))
        );
        // Two are elsewhere: one of those is probably among the two.
        let half = world(&[&[0, 1]]);
        assert_eq!(layer_time(&half, 0, &[step]), Some((21 * MS, 1)));
    }

    proptest! {
        /// No other sequence of executors is faster, and the stages add up to the whole.
        #[test]
        fn no_way_is_faster(
            held in prop::collection::vec(prop::collection::vec(0_u32..8, 0..6), 3),
            wanted in prop::collection::vec(prop::collection::vec(0_u32..8, 1..3), 1..5),
            hop in 1_u32..40,
        ) {
            let mut world = world(&[]);
            world.holds = held;
            world.hop = MS * hop;
            let layers: Vec<_> = wanted.iter().map(|fragments| layer(fragments)).collect();
            let route = plan(&world, &layers).unwrap();
            let time = |way: &[usize]| follow(&world, &layers, way).unwrap().time;
            let ways = 3_usize.pow(layers.len() as u32);
            let fastest = (0..ways).map(|way| {
                let way: Vec<_> = (0..layers.len()).map(|layer| way / 3_usize.pow(layer as u32) % 3).collect();
                time(&way)
            }).min().unwrap();
            prop_assert_eq!(route.time, fastest);
            let planned: Vec<_> = route.stages.iter().flat_map(|stage| stage.layers.clone().map(|_| stage.executor)).collect();
            prop_assert_eq!(follow(&world, &layers, &planned), Some(route));
        }
    }
}

//! Which way own tokens should take, by what this node has measured.

use crate::latency;
use crate::peers::Peer;
use crate::routing::{self, Layer, Part, Route, Sight};
use crate::{FragmentIndex, Node, PeerId};
use std::ops::Range;
use std::time::Duration;

/// Others who run layers, of whom the nearest are looked at.
const MAX_EXECUTORS: usize = 24;
/// What one node multiplies with in a second, in bytes of weights, before it has measured it.
const SPEED: u64 = 2 << 30;

/// What somebody takes of whom nothing is known, nor of others.
const UNKNOWN: Duration = Duration::from_millis(100);

/// A better way is looked for no more often, and not before so many tokens have gone the present one.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const SETTLED: u32 = 4;
/// A way is left for one that takes less than so many percent of its time: who runs layers next has to be sent what others
/// know.
const MUCH_BETTER: u32 = 70;

/// A way through all layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Who runs which layers, one after the other.
    pub legs: Vec<Leg>,
    /// What a token should take, from one to the next.
    pub time: Duration,
    /// How often somebody waits for somebody else.
    pub waits: usize,
}

/// Layers that one node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// Which, counted without the embedding.
    pub layers: Range<u32>,
    /// Who; this node itself, if it is nobody else.
    pub runner: Option<PeerId>,
}

/// How tokens get on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    /// What the next one should take on its present way; nothing if that is a way no longer.
    pub next: Option<Duration>,
    /// A much better way.
    pub better: Option<Plan>,
}

/// What tokens took beside what was planned.
#[derive(Debug, Default)]
pub(crate) struct Paced {
    /// What this node itself takes for each time it waits: between an answer and the next request.
    own: Duration,
    /// The way tokens go at present, and what they took.
    legs: Vec<Leg>,
    measured: Duration,
    tokens: u32,
    /// When it was last looked for a better one.
    looked: Duration,
    /// Somebody has begun to run layers since then.
    pub(super) news: bool,
}

/// The swarm as this node sees it.
struct Seen<'a> {
    node: &'a Node,
    /// Others who run layers; counted from 1.
    executors: Vec<(&'a PeerId, &'a Peer)>,
    /// For each fragment who holds it, by their place in `times`.
    holders: Vec<Vec<u16>>,
    /// What each peer takes, by size class.
    times: Vec<[Duration; latency::CLASSES]>,
}

impl<'a> Seen<'a> {
    fn new(node: &'a Node, now: Duration) -> Self {
        let model = node.config.model;
        let mut holders = vec![Vec::new(); node.catalogue.len() as usize];
        let mut times = Vec::new();
        let serving = node.peers.connected.iter();
        let serving = serving.filter(|(_, peer)| peer.serves(model) && peer.suspicion.is_none());
        for (number, (_, peer)) in (0..).zip(serving.clone()) {
            times.push(std::array::from_fn(|class| {
                let known = peer.latency.typical(class).or(peer.round_trip);
                let guess = || node.dispatch.typical(class).unwrap_or(UNKNOWN);
                known.unwrap_or_else(guess)
            }));
            for index in peer.computes.iter() {
                if let Some(holders) = holders.get_mut(index as usize) {
                    holders.push(number);
                }
            }
        }
        let fit = |peer: &Peer| peer.is_fit(now) && !peer.relayed;
        let mut executors: Vec<_> = serving.filter(|(_, peer)| fit(peer)).collect();
        executors.sort_by_key(|(_, peer)| peer.round_trip);
        executors.truncate(MAX_EXECUTORS);
        Self {
            node,
            executors,
            holders,
            times,
        }
    }

    fn executor(&self, number: usize) -> Option<&'a Peer> {
        let (_, peer) = self.executors.get(number.checked_sub(1)?)?;
        Some(peer)
    }

    /// The executor of each layer; nothing if one of them is not there any more.
    fn way(&self, plan: &Plan) -> Option<Vec<usize>> {
        let executor = |leg: &Leg| match &leg.runner {
            None => Some(0),
            Some(runner) => {
                let at = self.executors.iter().position(|(name, _)| *name == runner);
                Some(at? + 1)
            }
        };
        let mut way = vec![0];
        for leg in &plan.legs {
            let executor = executor(leg)?;
            way.extend(leg.layers.clone().map(|_| executor));
        }
        way.push(0);
        Some(way)
    }

    /// A route by the names of those who are on it.
    fn plan(&self, route: &Route) -> Plan {
        let body = self.node.stages.shape.layers.len().saturating_sub(2) as u32;
        let mut legs: Vec<Leg> = Vec::new();
        let mut waits = 0;
        for stage in &route.stages {
            waits += stage.waits + usize::from(stage.executor > 0);
            // Without the embedding in front and the output head behind.
            let place = |at: usize| (at.saturating_sub(1) as u32).min(body);
            let layers = place(stage.layers.start)..place(stage.layers.end);
            let runner = self.executors.get(stage.executor.wrapping_sub(1));
            let runner = runner.map(|(name, _)| (*name).clone());
            if !layers.is_empty() {
                legs.push(Leg { layers, runner });
            }
        }
        Plan {
            legs,
            time: route.time,
            waits,
        }
    }

    fn round_trip(&self, number: usize) -> Duration {
        let peer = self.executor(number);
        let measured = peer.map(|peer| peer.round_trip.unwrap_or(UNKNOWN));
        measured.unwrap_or_default()
    }
}

impl Sight for Seen<'_> {
    fn executors(&self) -> usize {
        self.executors.len() + 1
    }

    fn holds(&self, executor: usize, fragment: FragmentIndex) -> bool {
        let computes = match self.executor(executor) {
            Some(peer) => &peer.computes,
            None => &self.node.computes,
        };
        computes.contains(fragment.0)
    }

    fn compute(&self, _: usize, weights: u64) -> Duration {
        let speed = self.node.server.speed().unwrap_or(SPEED);
        Duration::from_nanos(weights.saturating_mul(1_000_000_000) / speed.max(1))
    }

    fn ask(&self, _: usize, part: &Part) -> Option<Duration> {
        let class = latency::class(part.request as usize);
        let holders = self.holders.get(part.fragment.0 as usize)?;
        let times = holders.iter().filter_map(|holder| {
            let times = self.times.get(usize::from(*holder))?;
            times.get(class).copied()
        });
        let best = times.clone().min()?;
        // Those who are about as quick are asked in turn.
        let like = best.max(self.node.config.spread_below);
        let like = times.filter(|time| *time <= like);
        let (count, sum) = like.fold((0, Duration::ZERO), |(n, sum), time| (n + 1, sum + time));
        Some(sum / count)
    }

    fn hop(&self, from: usize, to: usize) -> Duration {
        // By way of the one who asks.
        let half = |executor| self.round_trip(executor) / 2;
        let own = if to == 0 {
            Duration::ZERO
        } else {
            self.node.stages.paced.own
        };
        half(from) + half(to) + own
    }

    fn layer(&self, executor: usize, number: usize, layer: &Layer) -> Option<(Duration, usize)> {
        let Some(peer) = self.executor(executor) else {
            let (time, waits) = routing::layer_time(self, executor, &layer.steps)?;
            let own = self.node.stages.paced.own * waits as u32;
            return Some((time + own, waits));
        };
        // The embedding comes first.
        let number = u32::try_from(number).ok()?.checked_sub(1)?;
        let runs = peer.runs.as_ref()?;
        let told = runs.time / runs.layers.len().max(1) as u32;
        let time = peer.stage_each.unwrap_or(told);
        runs.layers.contains(&number).then_some((time, 0))
    }
}

impl Node {
    /// The quickest way for own tokens, by what was measured of everybody: through layers that others run, or by asking
    /// about each fragment. The way they go at present is kept unless another is much quicker, because who is new has to be
    /// sent what others know. Nothing if something is held by nobody, or the model's [shape](super::Shape) is not known.
    #[must_use]
    pub fn route(&self, present: Option<&Plan>, now: Duration) -> Option<Plan> {
        let seen = Seen::new(self, now);
        let layers = &self.stages.shape.layers;
        let best = seen.plan(&routing::plan(&seen, layers)?);
        let present = present.and_then(|present| {
            let way = seen.way(present)?;
            let route = routing::follow(&seen, layers, &way)?;
            Some(seen.plan(&route))
        });
        Some(match present {
            Some(present) if best.time * 100 >= present.time * MUCH_BETTER => present,
            _ => best,
        })
    }

    /// The way for own tokens if this node runs all layers itself, whoever else does.
    #[must_use]
    pub fn route_alone(&self, now: Duration) -> Option<Plan> {
        let seen = Seen::new(self, now);
        let layers = &self.stages.shape.layers;
        let route = routing::follow(&seen, layers, &vec![0; layers.len()])?;
        (!layers.is_empty()).then(|| seen.plan(&route))
    }

    /// What a token should take through these layers if this node runs them.
    pub(super) fn expected_here(&self, layers: Range<u32>, now: Duration) -> Option<Duration> {
        let seen = Seen::new(self, now);
        let body = self.stages.shape.layers.iter().enumerate();
        let body = body.filter(|(_, layer)| !layer.private);
        let wanted = body.skip(layers.start as usize).take(layers.len());
        let each = wanted.map(|(number, layer)| Some(seen.layer(0, number, layer)?.0));
        each.sum()
    }

    /// Says what a token took that went the way of a plan, and hears what the next one should take. Predictions get better by
    /// it. If by now there is a much better way, it is said, too.
    pub fn token_took(&mut self, plan: &Plan, took: Duration, now: Duration) -> Pace {
        let waits = u32::try_from(plan.waits).unwrap_or(u32::MAX);
        let paced = &mut self.stages.paced;
        // What was planned contains what was known of this then.
        let beyond = took.as_secs_f64() - plan.time.as_secs_f64();
        let each = paced.own.as_secs_f64() + beyond / f64::from(waits.max(1));
        let own = (paced.own.as_secs_f64() * 7.0 + each) / 8.0;
        paced.own = Duration::try_from_secs_f64(own).unwrap_or_default();
        if paced.legs != plan.legs {
            paced.legs.clone_from(&plan.legs);
            paced.tokens = 0;
        }
        paced.tokens = paced.tokens.saturating_add(1);
        paced.measured = match paced.tokens {
            1 => took,
            _ => (paced.measured * 7 + took) / 8,
        };
        let due = paced.news || now >= paced.looked + LOOK_EVERY;
        let look = paced.tokens >= SETTLED && due;
        let measured = paced.measured;
        let seen = Seen::new(self, now);
        let layers = &self.stages.shape.layers;
        let way = seen.way(plan);
        let route = way.and_then(|way| routing::follow(&seen, layers, &way));
        let better = look.then(|| Some(seen.plan(&routing::plan(&seen, layers)?)));
        let better = better.flatten().filter(|better| {
            let much = better.time * 100 < measured * MUCH_BETTER;
            much && better.legs != plan.legs
        });
        if look {
            self.stages.paced.looked = now;
            self.stages.paced.news = false;
        }
        Pace {
            next: route.map(|route| route.time),
            better,
        }
    }
}

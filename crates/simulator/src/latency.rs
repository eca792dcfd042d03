//! How long a token takes, as the planner of real nodes predicts it for a swarm of many.

mod pages;
pub mod study;

use std::time::Duration;

use swarm::{
    FragmentIndex,
    routing::{Part, Sight},
    stages,
};

use crate::{
    Model, Placed, REGIONS,
    population::{Device, Member},
};

/// What lies between two nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// Its name.
    pub name: &'static str,
    /// How far apart they are.
    pub distance: Distance,
    /// What the first plan estimated for a token, in seconds.
    pub estimate: (f64, f64),
}

/// How far apart nodes are, as round trips in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distance {
    /// From the shortest to the longest, wherever they are. Each pair has its own.
    Between(u64, u64),
    /// As it is between [`REGIONS`], and from each device to the network behind its line.
    World,
}

/// Between data centres in Europe, North America, South America, Africa, the south and the east of Asia, about as their
/// operators publish them, in milliseconds; the diagonal is what lies between two providers of one region.
const WORLD: [[u64; REGIONS as usize]; REGIONS as usize] = [
    [20, 80, 190, 160, 120, 230],
    [80, 40, 120, 230, 200, 160],
    [190, 120, 40, 340, 300, 270],
    [160, 230, 340, 60, 250, 360],
    [120, 200, 300, 250, 40, 120],
    [230, 160, 270, 360, 120, 50],
];

/// From a device over its line to its provider and back: a phone's by radio, a household's, a data centre's. By assumption.
fn access(device: Device) -> u64 {
    match device {
        Device::Phone => 30,
        Device::Home => 10,
        Device::Server => 0,
    }
}

/// One building, homes on fibre, phones, and all of them all over the world.
pub const CONDITIONS: [Conditions; 4] = [
    Conditions {
        name: "LAN",
        distance: Distance::Between(1, 1),
        estimate: (5.0, 10.0),
    },
    Conditions {
        name: "fibre",
        distance: Distance::Between(20, 20),
        estimate: (15.0, 30.0),
    },
    Conditions {
        name: "mobile",
        distance: Distance::Between(50, 100),
        estimate: (30.0, 60.0),
    },
    Conditions {
        name: "world",
        distance: Distance::World,
        estimate: (30.0, 60.0),
    },
];

/// Bytes of weights that a device reads and multiplies with in a second: a server by native code with one thread (30 GB/s
/// measured on the machine of `docs/benchmarks.md`), computers and phones in a browser by assumption.
fn speed(device: Device) -> u64 {
    match device {
        Device::Phone => 3_000_000_000,
        Device::Home => 10_000_000_000,
        Device::Server => 30_000_000_000,
    }
}

fn compute(device: Device, weights: u64) -> Duration {
    Duration::from_nanos(weights.saturating_mul(1_000_000_000) / speed(device))
}

/// A swarm as somebody sees it who asks from a phone.
pub(crate) struct Seen<'a> {
    placed: &'a Placed,
    conditions: Conditions,
    /// Nodes that run layers for others, after the one who asks.
    executors: Vec<Executor>,
    /// Of those who hold a fragment the quickest is asked; else the first in the list.
    quickest: bool,
}

struct Executor {
    /// Its number among the members; none of the one who asks.
    member: Option<u32>,
    device: Device,
    /// For each fragment whether it is held here.
    holds: Vec<bool>,
}

impl<'a> Seen<'a> {
    /// The swarm without anybody who runs layers for others.
    pub(crate) fn alone(model: &Model, placed: &'a Placed, conditions: Conditions) -> Self {
        let asker = Executor {
            member: None,
            device: Device::Phone,
            holds: vec![false; model.catalogue.fragments.len()],
        };
        Self {
            placed,
            conditions,
            executors: vec![asker],
            quickest: false,
        }
    }

    /// The same with the first so many servers, each of which runs as many layers as it has room for.
    pub(crate) fn with_stages(mut self, model: &Model, servers: usize) -> Self {
        let body: Vec<Vec<FragmentIndex>> = model
            .layers
            .iter()
            .map(|layer| {
                let parts = layer.steps.iter().flat_map(|step| &step.always);
                let mut fragments: Vec<_> = parts.map(|part| part.fragment).collect();
                fragments.sort_unstable();
                fragments.dedup();
                if layer.private { Vec::new() } else { fragments }
            })
            .collect();
        let sizes: Vec<_> = body.iter().map(Vec::len).collect();
        let mut runs = vec![0; body.len()];
        let members = (0..).zip(&self.placed.members);
        let members = members.filter(|(_, member)| member.device == Device::Server);
        for (number, member) in members.take(servers) {
            let Member { peer, capacity, .. } = member;
            let mut holds = vec![false; model.catalogue.fragments.len()];
            for layer in stages::choose(peer, *capacity, &sizes, &runs).unwrap_or_default() {
                runs[layer] += 1;
                for fragment in &body[layer] {
                    holds[fragment.0 as usize] = true;
                }
            }
            self.executors.push(Executor {
                member: Some(number),
                device: member.device,
                holds,
            });
        }
        self
    }

    /// The same asking the quickest of those who hold a fragment.
    pub(crate) fn quickest(self) -> Self {
        Self {
            quickest: true,
            ..self
        }
    }

    fn round_trip(&self, a: Option<u32>, b: Option<u32>) -> Duration {
        let (shortest, longest) = match self.conditions.distance {
            Distance::Between(shortest, longest) => (shortest, longest),
            Distance::World => {
                // Who asks has a phone, and is where most are.
                let place = |it: Option<u32>| match it {
                    None => (0, Device::Phone),
                    Some(number) => {
                        let member = &self.placed.members[number as usize];
                        (usize::from(member.region), member.device)
                    }
                };
                let ((from, one), (to, other)) = (place(a), place(b));
                let time = WORLD[from][to] + access(one) + access(other);
                return Duration::from_millis(time);
            }
        };
        let number = |it: Option<u32>| it.map_or(u64::from(u32::MAX), u64::from);
        let (low, high) = (number(a).min(number(b)), number(a).max(number(b)));
        let mixed = (low << 32 | high).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
        Duration::from_millis(shortest + mixed % (longest - shortest + 1))
    }
}

impl Sight for Seen<'_> {
    fn executors(&self) -> usize {
        self.executors.len()
    }

    fn holds(&self, executor: usize, fragment: FragmentIndex) -> bool {
        self.executors[executor].holds[fragment.0 as usize]
    }

    fn compute(&self, executor: usize, weights: u64) -> Duration {
        compute(self.executors[executor].device, weights)
    }

    fn ask(&self, executor: usize, part: &Part) -> Option<Duration> {
        let from = self.executors[executor].member;
        let holders = self.placed.holders[part.fragment.0 as usize].iter();
        let time = |holder: &u32| {
            let device = self.placed.members[*holder as usize].device;
            self.round_trip(from, Some(*holder)) + compute(device, part.weights)
        };
        let asked = if self.quickest { usize::MAX } else { 1 };
        holders.take(asked).map(time).min()
    }

    fn hop(&self, from: usize, to: usize) -> Duration {
        let (from, to) = (&self.executors[from], &self.executors[to]);
        self.round_trip(from.member, to.member) / 2
    }
}

/// How long a token takes if the one who asks sends one request after the other.
pub(crate) fn one_by_one(model: &Model, seen: &Seen<'_>) -> Option<Duration> {
    let mut total = Duration::ZERO;
    for step in model.layers.iter().flat_map(|layer| &layer.steps) {
        for part in &step.always {
            total += seen.ask(0, part)?;
        }
        if let Some(choice) = &step.some {
            let mut all = Duration::ZERO;
            for part in choice.groups.iter().flatten() {
                all += seen.ask(0, part)?;
            }
            let groups = u32::try_from(choice.groups.len())
                .unwrap_or(u32::MAX)
                .max(1);
            let used = u32::try_from(choice.used).unwrap_or(u32::MAX);
            total += all * used / groups;
        }
    }
    Some(total)
}

//! A swarm after everybody has joined: who holds what.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use swarm::{
    FragmentIndex, Replication,
    placement::{self, Newcomer, Replicas},
};

use crate::{
    Model,
    population::{Member, Population},
};

/// How a swarm comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// Who joins.
    pub population: Population,
    /// So many decide what to hold before they hear of each other.
    pub at_once: usize,
    /// How often each fragment is wanted. Who joins takes no more, and the swarm is complete when all are held so often.
    pub wanted: Replication,
    /// Nodes know where others are. As it should be; without, to see what it is good for.
    pub places_known: bool,
}

/// Who is in the swarm, and who holds which fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Everybody, in the order in which they joined.
    pub members: Vec<Member>,
    /// For each fragment the members that hold it.
    pub holders: Vec<Vec<u32>>,
    /// Those who found nothing to do.
    pub idle: usize,
}

impl Placed {
    /// Lets nodes join until the model is held as often as wanted. `told` hears how many fragments are, after each
    /// round.
    #[must_use]
    pub fn new(model: &Model, growth: &Growth, seed: u64, mut told: impl FnMut(usize)) -> Self {
        let catalogue = &model.catalogue;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut placed = Self {
            members: Vec::new(),
            holders: vec![Vec::new(); catalogue.fragments.len()],
            idle: 0,
        };
        let mut counts = Counts::new(catalogue.fragments.len());
        let wanted: Vec<_> = catalogue
            .fragments
            .iter()
            .map(|info| growth.wanted.of(info))
            .collect();
        loop {
            let complete = (0..wanted.len())
                .filter(|index| counts.is_enough(*index, wanted[*index], growth.places_known))
                .count();
            told(complete);
            if complete == wanted.len() {
                return placed;
            }
            let begin = placed.members.len();
            let numbers = begin as u32..(begin + growth.at_once) as u32;
            let joining = numbers.map(|number| growth.population.draw(number, &mut rng));
            placed.members.extend(joining);
            // All of them see what was there before them, so it does not matter who decides first.
            let chosen: Vec<_> = placed.members[begin..]
                .par_iter()
                .map(|member| {
                    let newcomer = Newcomer {
                        me: &member.peer,
                        capacity: member.capacity,
                        stable: member.is_stable(),
                    };
                    let seen = counts.seen_by(member, growth.places_known);
                    let enough = |index: FragmentIndex| {
                        !placement::lacks(wanted[index.0 as usize], &seen(index))
                    };
                    placement::assign(&newcomer, catalogue, growth.wanted, &seen, enough)
                })
                .collect();
            for ((number, member), chosen) in
                (begin as u32..).zip(&placed.members[begin..]).zip(chosen)
            {
                placed.idle += usize::from(chosen.is_empty());
                for index in chosen {
                    counts.add(member, index);
                    placed.holders[index.0 as usize].push(number);
                }
            }
        }
    }

    /// Replicas of all fragments together.
    #[must_use]
    pub fn replicas(&self) -> usize {
        self.holders.iter().map(Vec::len).sum()
    }
}

/// How many hold each fragment.
struct Counts {
    all: Vec<u32>,
    stable: Vec<u32>,
    regions: Places,
    networks: Places,
}

/// How many hold each fragment in each place of a kind.
struct Places {
    held: BTreeMap<u16, Vec<u32>>,
    /// For each fragment the places that hold it.
    different: Vec<u32>,
}

impl Places {
    fn new(fragments: usize) -> Self {
        Self {
            held: BTreeMap::new(),
            different: vec![0; fragments],
        }
    }

    fn add(&mut self, place: u16, index: usize) {
        let fragments = self.different.len();
        let held = self.held.entry(place);
        let held = &mut held.or_insert_with(|| vec![0; fragments])[index];
        self.different[index] += u32::from(*held == 0);
        *held += 1;
    }
}

impl Counts {
    fn new(fragments: usize) -> Self {
        Self {
            all: vec![0; fragments],
            stable: vec![0; fragments],
            regions: Places::new(fragments),
            networks: Places::new(fragments),
        }
    }

    fn add(&mut self, member: &Member, index: FragmentIndex) {
        let index = index.0 as usize;
        self.all[index] += 1;
        self.stable[index] += u32::from(member.is_stable());
        self.regions.add(member.region.into(), index);
        self.networks.add(member.network, index);
    }

    /// Whether nobody, wherever it is, sees that a fragment lacks replicas.
    fn is_enough(&self, index: usize, wanted: u32, places_known: bool) -> bool {
        let replicas = Replicas {
            all: self.all[index],
            regions: if places_known {
                self.regions.different[index]
            } else {
                0
            },
            ..Replicas::default()
        };
        !placement::lacks(wanted, &replicas)
    }

    fn seen_by(
        &self,
        member: &Member,
        places_known: bool,
    ) -> impl Fn(FragmentIndex) -> Replicas + use<'_> {
        let region = self.regions.held.get(&member.region.into());
        let network = self.networks.held.get(&member.network);
        let at = |held: Option<&Vec<u32>>, index: usize| held.map_or(0, |held| held[index]);
        move |index| {
            let index = index.0 as usize;
            let blind = Replicas {
                all: self.all[index],
                stable: self.stable[index],
                ..Replicas::default()
            };
            if !places_known {
                return blind;
            }
            Replicas {
                same_network: at(network, index),
                same_region: at(region, index),
                networks: self.networks.different[index],
                regions: self.regions.different[index],
                ..blind
            }
        }
    }
}
